"""Channels, groups and biases: dropped, mixed up, taken from the wrong block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.mutants.mutant import biased, by_channel, mutant, with_channels, without_bias

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]

EVERY = "conv conv_transpose separable deform_conv deform_conv_pack"
PLAIN = "conv conv_transpose deform_conv"


def _fed(layer: Any, arrays: Arrays, change: Callable[[Array], Array]) -> Array:
    return ours.forward(layer, {**arrays, "x": with_channels(layer, arrays["x"], change)})


def _block(array: Array, groups: int, block: int) -> Array:
    """Every block of `array`'s first axis, there are `groups`, as the one of that number."""
    blocks = array.reshape(groups, -1, *array.shape[1:])
    return np.ascontiguousarray(np.broadcast_to(blocks[block], blocks.shape)).reshape(array.shape)


def _interleaved(array: Array, groups: int) -> Array:
    """Channel j*n + i of the groups, where channel i*groups + j belongs."""
    return array.reshape(groups, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)


def _head(count: int, width: int) -> int:
    """The channels that whole vectors of `width` cover."""
    return count // width * width


def _zeroed(array: Array, place: Any) -> Array:
    array[place] = 0
    return array


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 1))
def first_channel_dropped(layer: Any, arrays: Arrays) -> Array:
    """the first input channel left out"""
    return _fed(layer, arrays, lambda x: _zeroed(x, slice(1)))


@mutant(EVERY, "Conv1d(2, 1, 1)", (1, 2, 1))
def last_channel_dropped(layer: Any, arrays: Arrays) -> Array:
    """the last input channel left out, of several"""
    return _fed(layer, arrays, lambda x: _zeroed(x, slice(len(x) - 1, len(x)) if len(x) > 1 else slice(0)))


@mutant(EVERY, "Conv1d(5, 1, 1)", (1, 5, 1))
def channels_past_vectors_of_4_dropped(layer: Any, arrays: Arrays) -> Array:
    """input channels past the last whole vector of 4 left out"""
    return _fed(layer, arrays, lambda x: _zeroed(x, slice(_head(len(x), 4) or len(x), None)))


@mutant(EVERY, "Conv1d(9, 1, 1)", (1, 9, 1))
def channels_past_vectors_of_8_dropped(layer: Any, arrays: Arrays) -> Array:
    """input channels past the last whole vector of 8 left out"""
    return _fed(layer, arrays, lambda x: _zeroed(x, slice(_head(len(x), 8) or len(x), None)))


@mutant(EVERY, "Conv1d(17, 1, 1)", (1, 17, 1))
def channels_past_vectors_of_16_dropped(layer: Any, arrays: Arrays) -> Array:
    """input channels past the last whole vector of 16 left out"""
    return _fed(layer, arrays, lambda x: _zeroed(x, slice(_head(len(x), 16) or len(x), None)))


@mutant(EVERY, "Conv1d(1, 5, 1)", (1, 1, 1))
def output_channels_past_vectors_of_4_zero(layer: Any, arrays: Arrays) -> Array:
    """output channels past the last whole vector of 4 left zero"""
    y = ours.forward(layer, arrays)
    return with_channels(layer, y, lambda y: _zeroed(y, slice(_head(len(y), 4) or len(y), None)))


@mutant(EVERY, "Conv1d(1, 2, 1)", (1, 1, 1))
def last_output_channel_zero(layer: Any, arrays: Arrays) -> Array:
    """the last output channel left zero, of several"""
    y = ours.forward(layer, arrays)
    return with_channels(layer, y, lambda y: _zeroed(y, slice(len(y) - 1, len(y)) if len(y) > 1 else slice(0)))


@mutant(EVERY, "Conv1d(2, 1, 1)", (1, 2, 2))
def channels_reversed(layer: Any, arrays: Arrays) -> Array:
    """the input's channels in reverse order (BGR for RGB)"""
    return _fed(layer, arrays, lambda x: x[::-1])


@mutant(EVERY, "Conv1d(1, 2, 1)", (1, 1, 1))
def output_channels_reversed(layer: Any, arrays: Arrays) -> Array:
    """the output's channels in reverse order"""
    return with_channels(layer, ours.forward(layer, arrays), lambda y: y[::-1])


@mutant(PLAIN, "Conv1d(2, 2, 1)", (1, 2, 1))
def weight_in_out_swapped(layer: Any, arrays: Arrays) -> Array:
    """the weight's input and output channels exchanged"""
    weight = arrays["weight"]
    turned = np.ascontiguousarray(weight.swapaxes(0, 1)).reshape(weight.shape)
    return ours.forward(layer, {**arrays, "weight": turned})


@mutant(PLAIN, "Conv1d(4, 2, 1, groups=2)", (1, 4, 2))
def groups_interleaved(layer: Any, arrays: Arrays) -> Array:
    """groups of every g-th input channel instead of neighbouring ones"""
    return _fed(layer, arrays, lambda x: _interleaved(x, len(x) // (layer.groups or 1)))


@mutant(PLAIN, "Conv1d(2, 4, 1, groups=2)", (1, 2, 1))
def output_groups_interleaved(layer: Any, arrays: Arrays) -> Array:
    """groups of every g-th output channel instead of neighbouring ones"""
    return with_channels(layer, ours.forward(layer, arrays), lambda y: _interleaved(y, layer.groups or 1))


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 2))
def groups_ignored_on_the_input(layer: Any, arrays: Arrays) -> Array:
    """every group reads the first group's input channels"""
    return _fed(layer, arrays, lambda x: _block(x, layer.groups or 1, 0))


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 4))
def groups_ignored_on_the_weight(layer: Any, arrays: Arrays) -> Array:
    """every group uses the first group's weight"""
    return ours.forward(layer, {**arrays, "weight": _block(arrays["weight"], layer.groups or 1, 0)})


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2, bias=False)", (1, 2, 1))
def last_group_unwritten(layer: Any, arrays: Arrays) -> Array:
    """the last group's output left zero, of several"""
    groups = layer.groups or 1
    y = ours.forward(layer, arrays)
    return with_channels(layer, y, lambda y: _zeroed(y, slice(len(y) // groups * (groups - 1) or len(y), None)))


@mutant("conv", "Conv1d(2, 4, 1, groups=2)", (1, 2, 1))
def depthwise_multiplier_order(layer: Any, arrays: Arrays) -> Array:
    """a depthwise layer's output channels ordered by multiplier first, then by input channel"""
    if layer.groups != layer.in_channels:
        return ours.forward(layer, arrays)
    return with_channels(layer, ours.forward(layer, arrays), lambda y: _interleaved(y, layer.groups))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def bias_missing(layer: Any, arrays: Arrays) -> Array:
    """the bias left out"""
    return ours.forward(layer, without_bias(arrays))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def bias_twice(layer: Any, arrays: Arrays) -> Array:
    """the bias added twice"""
    return biased(layer, ours.forward(layer, arrays), arrays)


@mutant(PLAIN, "Conv1d(2, 1, 1)", (1, 2, 1))
def bias_once_per_channel(layer: Any, arrays: Arrays) -> Array:
    """the bias added once for every input channel of the group"""
    times = by_channel(layer, arrays["x"]).shape[0] // (layer.groups or 1)
    scaled = {"bias": arrays["bias"] * times} if "bias" in arrays else {}
    return ours.forward(layer, {**arrays, **scaled})


@mutant(PLAIN, "Conv1d(1, 1, 2)", (1, 1, 2))
def bias_once_per_tap(layer: Any, arrays: Arrays) -> Array:
    """the bias added once for every tap"""
    taps = arrays["weight"][0, 0].size
    scaled = {"bias": arrays["bias"] * taps} if "bias" in arrays else {}
    return ours.forward(layer, {**arrays, **scaled})


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 1))
def bias_of_the_last_group_dropped(layer: Any, arrays: Arrays) -> Array:
    """the bias of the last group left out"""
    if "bias" not in arrays:
        return ours.forward(layer, arrays)
    bias, groups = arrays["bias"].copy(), layer.groups or 1
    return ours.forward(layer, {**arrays, "bias": _zeroed(bias, slice(len(bias) // groups * (groups - 1), None))})


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 1))
def bias_not_sliced(layer: Any, arrays: Arrays) -> Array:
    """every group adds the first group's bias"""
    sliced = {"bias": _block(arrays["bias"], layer.groups or 1, 0)} if "bias" in arrays else {}
    return ours.forward(layer, {**arrays, **sliced})


@mutant(PLAIN, "Conv1d(1, 2, 1)", (1, 1, 1))
def bias_of_the_next_channel(layer: Any, arrays: Arrays) -> Array:
    """each output channel with its neighbour's bias"""
    rolled = {"bias": np.roll(arrays["bias"], -1)} if "bias" in arrays else {}
    return ours.forward(layer, {**arrays, **rolled})


@mutant(PLAIN, "Conv1d(1, 2, 1)", (1, 1, 2))
def bias_along_the_last_axis(layer: Any, arrays: Arrays) -> Array:
    """the bias spread along the output's last axis instead of its channels"""
    y = ours.forward(layer, without_bias(arrays))
    return (
        y + arrays["bias"] if "bias" in arrays and y.shape[-1] == len(arrays["bias"]) else ours.forward(layer, arrays)
    )


@mutant("conv", "Conv1d(1, 1, 1, padding=((0, 1),))", (1, 1, 1))
def bias_before_the_padding(layer: Any, arrays: Arrays) -> Array:
    """no bias where the kernel sees nothing but padding"""
    y = ours.forward(layer, arrays)
    if layer.padding_mode != "zeros":
        return y
    ones = {"x": np.ones_like(arrays["x"]), "weight": np.ones_like(arrays["weight"])}
    seen = ours.forward(msgspec.structs.replace(layer, bias=False), ones) > 0
    return np.where(seen, y, ours.forward(layer, without_bias(arrays))).astype(y.dtype)
