"""TensorFlow's CPU kernels as a backend, forward only: tf.nn.conv2d, conv_transpose. Only workers import it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import Facts, Unsupported
from convcli.backends.compose import composed
from convcli.layers import Conv, ConvTranspose, Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays


@contextmanager
def _silence() -> Iterator[None]:
    """Standard error goes nowhere: the library greets whoever loads it, whatever its log level."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _silence():
    import tensorflow as tf

LACKING = re.compile(r"CPU implementations?.*(not yet support|only supports)")
CONV = {1: tf.nn.conv1d, 2: tf.nn.conv2d, 3: tf.nn.conv3d}  # tf.nn.convolution takes no stride beside a dilation
MODES = {"zeros": "CONSTANT", "reflect": "REFLECT"}


def versions() -> dict[str, str]:
    """tensorflow's version."""
    return {"tensorflow": tf.__version__}


def set_threads(threads: int) -> None:
    """How many threads one operation may use."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def forward(layer: Layer, arrays: Arrays) -> Array:
    """y of `layer`, part by part."""
    return composed(layer, arrays, _primitive)


def facts(layer: Layer, shape: Shape) -> Facts:
    """It states none."""
    raise Unsupported(f"tensorflow says nothing of a {layer.kind} on {shape} without running it")


def _primitive(layer: Layer, arrays: Arrays) -> Array:
    batched = arrays["x"].ndim == len(layer.axes) + 2
    x = np.moveaxis(arrays["x"] if batched else arrays["x"][None], 1, -1)  # its kernels on a CPU want channels last
    if any(min(axis.before, axis.after) < 0 for axis in layer.axes):
        raise Unsupported("tensorflow has no negative padding")
    try:
        if isinstance(layer, ConvTranspose):
            y = _transposed(layer, x, arrays["weight"])
        elif isinstance(layer, Conv) and layer.kind == "conv":
            y = _conv(layer, x, arrays["weight"])
        else:
            raise Unsupported(f"tensorflow has no {layer.kind}")
    except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as error:
        if not LACKING.search(error.message):
            raise
        raise Unsupported(error.message.rpartition("}} ")[2]) from error
    if "bias" in arrays:
        y += arrays["bias"]
    result: Array = np.moveaxis(y.numpy(), -1, 1)
    return result if batched else result[0]


def _conv(layer: Conv, x: Any, weight: Array) -> Any:
    if layer.padding_mode not in MODES:
        raise Unsupported(f"tensorflow does not pad with padding_mode={layer.padding_mode!r}")
    rank = len(layer.axes)
    if rank == 3 and (layer.groups or 1) > 1:
        raise Unsupported("tf.nn.conv3d has no groups")
    around = [(0, 0), *((axis.before, axis.after) for axis in layer.axes), (0, 0)]
    x = tf.pad(x, around, MODES[layer.padding_mode])
    taps = np.moveaxis(weight, (0, 1), (-1, -2))
    strides, dilations = _sliding(layer)
    if rank > 1:  # with the batch and the channels; of one axis the only one
        strides, dilations = [1, *strides, 1], [1, *dilations, 1]
    return CONV[rank](x, taps, strides, "VALID", dilations=dilations)


def _transposed(layer: ConvTranspose, x: Any, weight: Array) -> Any:
    """The whole of what the kernel reaches; the padding crops it, the output padding adds what is 0 to it."""
    if layer.groups > 1:
        raise Unsupported("tf.nn.conv_transpose has no groups")
    strides, dilations = _sliding(layer)
    sizes = [(size - 1) * axis.stride + axis.span for axis, size in zip(layer.axes, x.shape[1:-1], strict=True)]
    taps = np.moveaxis(weight, (1, 0), (-2, -1))
    shape = [x.shape[0], *sizes, weight.shape[1]]
    y = tf.nn.conv_transpose(x, taps, shape, strides, "VALID", dilations=dilations)
    y = tf.pad(y, [(0, 0), *((0, axis.output_padding) for axis in layer.axes), (0, 0)])
    inside = [slice(axis.before, y.shape[at] - axis.after) for at, axis in enumerate(layer.axes, 1)]
    return y[(slice(None), *inside)]


def _sliding(layer: Layer) -> tuple[list[int], list[int]]:
    return [axis.stride for axis in layer.axes], [axis.dilation for axis in layer.axes]
