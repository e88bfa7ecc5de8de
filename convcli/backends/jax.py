"""JAX (XLA) on the CPU as a backend, forward only: lax.conv_general_dilated. Only worker processes import it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from convcli.backends import Facts, Unsupported
from convcli.backends.compose import composed
from convcli.layers import Conv, ConvTranspose, Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

jax.config.update("jax_enable_x64", True)  # noqa: FBT003 - its own signature
jax.config.update("jax_platforms", "cpu")
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def versions() -> dict[str, str]:
    """jax' version."""
    return {"jax": jax.__version__}


def forward(layer: Layer, arrays: Arrays) -> Array:
    """y of `layer`, part by part."""
    return np.asarray(composed(layer, arrays, _primitive))


def set_threads(threads: int) -> None:
    """How many threads one operation may use; XLA reads it at its first."""
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"


def prepared(layer: Layer, arrays: Arrays, dy: Array | None = None) -> Callable[[], object]:
    """The layer as a call without arguments, compiled once; with dy, of its gradients alone, by the arrays' names."""
    if layer.kind.startswith("deform"):
        raise Unsupported(f"jax has no {layer.kind}")

    def y(given: Arrays) -> Any:
        return composed(layer, given, _primitive)

    def gradients(given: Arrays) -> Any:
        return jax.vjp(y, given)[1](dy)[0]

    compiled, given = jax.jit(y if dy is None else gradients), {name: jnp.asarray(a) for name, a in arrays.items()}
    return lambda: jax.block_until_ready(compiled(given))


def facts(layer: Layer, shape: Shape) -> Facts:
    """It states none."""
    raise Unsupported(f"jax says nothing of a {layer.kind} on {shape} without running it")


def _primitive(layer: Layer, arrays: Arrays) -> Any:
    batched = arrays["x"].ndim == len(layer.axes) + 2
    x, weight = jnp.asarray(arrays["x"] if batched else arrays["x"][None]), jnp.asarray(arrays["weight"])
    if isinstance(layer, ConvTranspose):
        y = _transposed(layer, x, weight)
    elif isinstance(layer, Conv) and layer.kind == "conv":
        y = _conv(layer, x, weight)
    else:
        raise Unsupported(f"jax has no {layer.kind}")
    if "bias" in arrays:
        y += arrays["bias"].reshape(-1, *(1,) * len(layer.axes))
    return y if batched else y[0]


def _conv(layer: Conv, x: Any, weight: Any) -> Any:
    padding = [(axis.before, axis.after) for axis in layer.axes]
    if layer.padding_mode != "zeros":
        x = jnp.pad(x, [(0, 0), (0, 0), *padding], mode=MODES[layer.padding_mode])
        padding = [(0, 0)] * len(padding)
    return lax.conv_general_dilated(
        x,
        weight,
        [axis.stride for axis in layer.axes],
        padding,
        rhs_dilation=[axis.dilation for axis in layer.axes],
        feature_group_count=layer.groups or 1,
    )


def _transposed(layer: ConvTranspose, x: Any, weight: Any) -> Any:
    """The convolution of the input with zeros between its cells, by the flipped kernel, its channels swapped."""
    groups, space = layer.groups, weight.shape[2:]
    turned = jnp.flip(weight, range(2, weight.ndim))
    turned = turned.reshape(groups, weight.shape[0] // groups, weight.shape[1], *space).swapaxes(1, 2)
    return lax.conv_general_dilated(
        x,
        turned.reshape(groups * weight.shape[1], weight.shape[0] // groups, *space),
        [1] * len(space),
        [(a.span - 1 - a.before, a.span - 1 - a.after + a.output_padding) for a in layer.axes],
        lhs_dilation=[axis.stride for axis in layer.axes],
        rhs_dilation=[axis.dilation for axis in layer.axes],
        feature_group_count=groups,
    )
