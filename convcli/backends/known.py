"""Where another implementation is known to be wrong: each with its versions, its layers and its reason.

What is listed here and right after all fails: the list must not outlive the bugs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Shape


class Known(msgspec.Struct, frozen=True):
    """`backend` with a `library` of a version that begins with `version` is wrong where `applies`."""

    backend: str
    library: str
    version: str
    applies: Callable[[Layer, Shape, Shape], bool]  # the layer, its input (channels, *space), its batch
    reason: str


def _grouped_transposed(layer: Layer, x: Shape, batch: Shape) -> bool:
    """A depthwise one without bias is right."""
    del batch
    if not isinstance(layer, ConvTranspose) or layer.groups == 1:
        return False
    return layer.bias or {x[0], layer.out_channels} != {layer.groups}


def _dilated_further_than_strided(layer: Layer, x: Shape, batch: Shape) -> bool:
    """Output padding from the stride up to the dilation."""
    del x, batch
    return isinstance(layer, ConvTranspose) and any(axis.output_padding >= axis.stride for axis in layer.axes)


def _nothing_around(layer: Layer, x: Shape, batch: Shape) -> bool:
    """Circular padding of an empty batch."""
    del x
    return isinstance(layer, Conv) and layer.padding_mode == "circular" and 0 in batch


def _transposed_of_nothing(layer: Layer, x: Shape, batch: Shape) -> bool:
    del x
    return isinstance(layer, ConvTranspose) and 0 in batch


def _sampled_single_cell(layer: Layer, x: Shape, batch: Shape) -> bool:
    """A deformable layer on an input with an axis of one cell."""
    return isinstance(layer, DeformConv | DeformConvPack) and 1 in x[1:] and 0 not in batch


DIFFERENCES = (
    Known(
        "onnx-reference",
        "onnx",
        "1.23.",
        _grouped_transposed,
        "onnx.reference keeps one output channel of each group of a ConvTranspose, and gives all the first one's bias",
    ),
    Known(
        "onnx-reference",
        "onnx",
        "1.23.",
        _dilated_further_than_strided,
        "onnx.reference expects another size when a ConvTranspose's output_padding reaches the stride",
    ),
    Known(
        "onnx-reference",
        "onnx",
        "1.23.",
        _transposed_of_nothing,
        "onnx.reference fails for a ConvTranspose of an empty batch",
    ),
    Known(
        "onnx-reference",
        "onnx",
        "1.23.",
        _sampled_single_cell,
        "onnx.reference's DeformConv divides by the size less one, and so by 0",
    ),
    Known(
        "onnxruntime",
        "onnxruntime",
        "1.32.",
        _dilated_further_than_strided,
        "onnxruntime compares a ConvTranspose's output_padding with the stride alone, not with the dilation",
    ),
    Known(
        "onnxruntime",
        "onnxruntime",
        "1.32.",
        _nothing_around,
        'onnxruntime\'s Pad refuses the mode "wrap" for an empty input',
    ),
)


def difference_known(backend: str, environment: Mapping[str, Any], layer: Layer, x: Shape, batch: Shape) -> str:
    """The reason why `backend` is expected to be wrong here, or nothing."""
    for known in DIFFERENCES:
        version = str(environment.get(known.library, ""))
        if known.backend == backend and version.startswith(known.version) and known.applies(layer, x, batch):
            return known.reason
    return ""
