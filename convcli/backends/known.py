"""Where another implementation is known to be wrong: each with its versions, its layers and its reason.

What is listed here and right after all fails: the list must not outlive the bugs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from convcli.layers import ConvTranspose, Layer, Shape


class Known(msgspec.Struct, frozen=True):
    """`backend` with a `library` of a version that begins with `version` is wrong where `applies`."""

    backend: str
    library: str
    version: str
    applies: Callable[[Layer, Shape], bool]  # the layer and its input (channels, *space)
    reason: str


def _grouped_transposed(layer: Layer, x: Shape) -> bool:
    """A depthwise one without bias is right."""
    if not isinstance(layer, ConvTranspose) or layer.groups == 1:
        return False
    return layer.bias or {x[0], layer.out_channels} != {layer.groups}


DIFFERENCES = (
    Known(
        "onnx-reference",
        "onnx",
        "1.23.",
        _grouped_transposed,
        "onnx.reference keeps one output channel of each group of a ConvTranspose, and gives all the first one's bias",
    ),
)


def difference_known(backend: str, environment: Mapping[str, Any], layer: Layer, x: Shape) -> str:
    """The reason why `backend` is expected to be wrong here, or nothing."""
    for known in DIFFERENCES:
        version = str(environment.get(known.library, ""))
        if known.backend == backend and version.startswith(known.version) and known.applies(layer, x):
            return known.reason
    return ""
