"""What could be wrong without anyone seeing it: taps and channels on which no output of these data depends.

A padding cell is seen where the taps that read it have a weight: were it not 0, an output would differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import part_arrays
from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer
from convcli.verifier.samples import seen_taps

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

NAMED = 3


def unseen(layer: Layer, arrays: Arrays) -> str:
    """What no output depends on: `tap (0, 1)`, `input channels 3, 4 of depthwise`; "" when there is no such thing.

    A pack's predictor is sparse: its parts are checked with data of their own.
    """
    if "rois" in arrays:  # every cell of x has a number; what the boxes miss, others hold
        return ""
    x = layer.split(arrays["x"].shape)[1]
    parts = layer.parts(x)
    found = _of_one(layer, arrays) if not parts else []
    for part in parts[isinstance(layer, DeformConvPack) :]:
        found += [f"{words} of {part.name}" for words in _of_one(part.layer, part_arrays(part.name, arrays))]
    return " and ".join(found)


def _of_one(layer: Layer, arrays: Arrays) -> list[str]:
    """For a layer without parts; an input that is not there is taken to be full."""
    weight = arrays["weight"] != 0
    space = tuple(range(2, weight.ndim))
    taps, outs, channels = weight.any(axis=(0, 1)), weight.any(axis=(1, *space)), weight.any(axis=(0, *space))
    if isinstance(layer, ConvTranspose):
        outs, channels = _grouped(weight.any(axis=space), layer.groups).any(axis=1).reshape(-1), outs
    elif isinstance(layer, Conv):
        channels = _grouped(weight.any(axis=space), layer.groups or 1).any(axis=1).reshape(-1)
    if "x" in arrays:
        x = arrays["x"].reshape(-1, *arrays["x"].shape[-1 - len(layer.axes) :])
        channels = channels & (x != 0).any(axis=(0, *range(2, x.ndim)))
    found = [_named("tap", taps), _named("input channel", channels), _named("output channel", outs)]
    if isinstance(layer, DeformConv) and "offset" in arrays:
        x_shape = arrays["x"].shape[-1 - len(layer.axes) :]
        found.append(_named("sampled tap", seen_taps(layer, arrays["offset"], arrays.get("mask"), x_shape)))
    return [words for words in found if words]


def _grouped(pairs: Array, groups: int) -> Array:
    """(rows, columns) -> (groups, rows / groups, columns)"""
    return pairs.reshape(groups, len(pairs) // groups, pairs.shape[1])


def _named(what: str, seen: Array) -> str:
    """tap (0, 1); input channels 3, 4, 5 and 7 more"""
    places = [tuple(int(i) for i in place) for place in np.argwhere(~seen)]
    if not places:
        return ""
    words = ", ".join(str(place[0] if len(place) == 1 else place) for place in places[:NAMED])
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"{what}{'s' if len(places) > 1 else ''} {words}{more}"
