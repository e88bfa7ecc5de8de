"""JAX (XLA) on the CPU as a backend, forward only: lax.conv_general_dilated. Only worker processes import it."""

from __future__ import annotations

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
    return composed(layer, arrays, _primitive)


def facts(layer: Layer, shape: Shape) -> Facts:
    """It states none."""
    raise Unsupported(f"jax says nothing of a {layer.kind} on {shape} without running it")


def _primitive(layer: Layer, arrays: Arrays) -> Array:
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
    return np.asarray(y if batched else y[0])


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
