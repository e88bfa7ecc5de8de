"""RoI pooling on our side: the kernels as adapters, the packs' chain of linear layers, the magnitudes for proofs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from convcli import kernels
from convcli.backends.compose import Primitive, fully_connected, roi_pack, told
from convcli.kernels import roi_pool, roi_pool_backward
from convcli.kernels.roi_call import RoICall, roi_call
from convcli.layers import DeformRoIPool, DeformRoIPoolPack, FullyConnected, Layer

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

    Gradients = dict[str, Array]

COORDINATE_ROUNDINGS = 12  # of a sample's coordinate: each at most u times the largest number on the way


def options(layer: DeformRoIPool) -> dict[str, Any]:
    """The keywords of the kernels."""
    names = ("output_size", "spatial_scale", "sampling_ratio", "gamma")
    return {name: getattr(layer, name) for name in names}


def pooled(layer: DeformRoIPool, arrays: Arrays, method: str = "auto") -> Array:
    """y."""
    given = (arrays["x"], arrays["rois"], arrays.get("offset"), arrays.get("mask"))
    return kernels.deform_roi_pool(*given, **options(layer), method=method)


def pooled_gradients(layer: DeformRoIPool, arrays: Arrays, dy: Array, method: str = "auto") -> Gradients:
    """Of x, and of the offset and the mask where they are."""
    given: Any = (arrays["x"], arrays["rois"], arrays.get("offset"), arrays.get("mask"))
    found = kernels.deform_roi_pool_backward(dy, *given, **options(layer), method=method)
    return {
        name: gradient for name, gradient in zip(("x", "offset", "mask"), found, strict=False) if gradient is not None
    }


def connected(layer: FullyConnected, arrays: Arrays, method: str = "auto") -> Array:
    """y of a linear layer; there is one way to compute it."""
    del layer, method
    return fully_connected(arrays)


def connected_gradients(layer: FullyConnected, arrays: Arrays, dy: Array, method: str = "auto") -> Gradients:
    """Of x, weight and bias."""
    del layer, method
    work = np.float32 if dy.dtype == np.float16 else dy.dtype
    x, weight, g = (array.astype(work, copy=False) for array in (arrays["x"], arrays["weight"], dy))
    found = {"x": g @ weight, "weight": g.T @ x, "bias": g.sum(axis=0)}
    return {name: gradient.astype(dy.dtype, copy=False) for name, gradient in found.items()}


def pack(layer: DeformRoIPoolPack, arrays: Arrays, method: str = "auto") -> Array:
    """y, each part by `method` as far as it has one."""
    return roi_pack(layer, arrays, _by(method))


def pack_gradients(layer: DeformRoIPoolPack, arrays: Arrays, dy: Array, method: str = "auto") -> Gradients:
    """Of x and of every linear layer's weight and bias."""
    return _chain(layer, told(layer, arrays, _by("auto")), dy, method)


def pack_magnitudes(layer: DeformRoIPoolPack, arrays: Arrays) -> dict[str, Array]:
    """S of each part on what really reaches it."""
    inputs = told(layer, arrays, _by("auto"))
    return {part.name: _by("auto")(part.layer, absolute(inputs[part.name])) for part in layer.parts(arrays["x"].shape)}


def pool_gradient_magnitudes(layer: DeformRoIPool, arrays: Arrays, dy: Array) -> Gradients:
    """S of every gradient: shares, slopes and sizes with their absolute values."""
    return _measured(layer, absolute(arrays), np.abs(dy), "absolute")


def pack_gradient_magnitudes(layer: DeformRoIPoolPack, arrays: Arrays, dy: Array) -> Gradients:
    """S of every gradient, carried on through the linear layers."""
    return _chain(layer, told(layer, arrays, _by("auto")), np.abs(dy), "")


def _chain(layer: DeformRoIPoolPack, inputs: dict[str, dict[str, Array]], dy: Array, method: str) -> Gradients:
    """Back through the pack; without a method the magnitudes."""
    first, *linear, last = layer.parts(inputs["roi_pool"]["x"].shape)
    if not method:
        found = pool_gradient_magnitudes(cast("DeformRoIPool", last.layer), inputs[last.name], dy)
    else:
        found = pooled_gradients(cast("DeformRoIPool", last.layer), inputs[last.name], dy, method)
    outs = {"offset_fc": found["offset"]}
    if "mask" in found:
        mask = inputs[last.name]["mask"]
        outs["mask_fc"] = found["mask"] * ((1 - mask) * mask)
    gradients: Gradients = {}
    pooled_dy = np.zeros((len(dy), linear[0].x[0]), dy.dtype)
    g: Array = np.zeros(0)
    for part in reversed(linear):
        branch = part.name.partition(".")[0]
        connected_layer = cast("FullyConnected", part.layer)
        if not connected_layer.relu:  # the branch's last
            g = outs[branch].reshape(len(dy), part.layer.output(part.x)[0])
        own = inputs[part.name] if method else absolute(inputs[part.name])
        one = connected_gradients(connected_layer, own, g)
        gradients |= {f"{part.name}.{name}": one[name] for name in ("weight", "bias")}
        g = one["x"]
        if part.x == linear[0].x and part.name.endswith(".0"):
            pooled_dy = pooled_dy + g
        else:
            g = g * (inputs[part.name]["x"] > 0)  # what the ReLU before it let through
    before, y = cast("DeformRoIPool", first.layer), pooled_dy.reshape(dy.shape)
    back = (
        pooled_gradients(before, inputs[first.name], y, method)
        if method
        else pool_gradient_magnitudes(before, inputs[first.name], y)
    )
    return {"x": found["x"] + back["x"], **gradients}


def absolute(arrays: Arrays) -> dict[str, Array]:
    """Magnitudes, but of what says where to look."""
    return {name: array if name in {"offset", "rois"} else np.abs(array) for name, array in arrays.items()}


def wobble(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """What the rounding of coordinates may move y by, in units of u: it moves every share by as much at the most."""
    rough = _call(layer, absolute(arrays), "unit")
    return roi_pool.gather(rough) * _reach(rough)


def gradient_wobble(layer: DeformRoIPool, arrays: Arrays, dy: Array) -> Gradients:
    """The same of every gradient."""
    reach = _reach(_call(layer, absolute(arrays), "unit"))
    return _measured(layer, absolute(arrays), np.abs(dy) * reach.astype(dy.dtype), "unit")


def region_reads(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """(N, 1, H, W): how often the samples of all bins read a cell."""
    call = _call(layer, arrays, "unit")
    found = np.zeros((len(call.x), call.x.shape[2] * call.x.shape[3]), np.int64)
    for image, regions in roi_pool.by_image(call):
        for _, down, right in roi_pool.blocks(call, regions):
            rows, _ = roi_pool.corners(call, down, right)
            found[image] += np.bincount(rows.ravel(), minlength=found.shape[1])
    return found.reshape(len(found), 1, *call.x.shape[2:])


def _reach(call: RoICall) -> Array:
    """(R, 1, 1, 1): by how much of u the coordinates of a region may be wrong, down and across together."""
    far = np.abs(call.start).max(axis=1, initial=0) + np.abs(call.size).max(axis=1, initial=0) + 1
    if call.offset is not None:
        moved = np.abs(call.offset).reshape(len(far), -1).max(axis=1, initial=0)
        far = far + abs(call.gamma) * np.abs(call.size).max(axis=1, initial=0) * moved
    return np.asarray(2 * COORDINATE_ROUNDINGS * far).reshape(-1, 1, 1, 1)


def _measured(layer: DeformRoIPool, arrays: Arrays, dy: Array, measure: str) -> Gradients:
    call = _call(layer, arrays, measure)
    found = roi_pool_backward.gather(call, call.output_gradient(dy))
    named = zip(("x", "offset", "mask"), found, strict=True)
    return {name: np.abs(gradient) for name, gradient in named if gradient is not None}


def _call(layer: DeformRoIPool, arrays: Arrays, measure: str) -> RoICall:
    call = roi_call(arrays["x"], arrays["rois"], arrays.get("offset"), arrays.get("mask"), **options(layer))
    return msgspec.structs.replace(call, measure=measure)


def _by(method: str) -> Primitive:
    def run(layer: Layer, arrays: Arrays) -> Array:
        if isinstance(layer, FullyConnected):
            return connected(layer, arrays)
        return pooled(cast("DeformRoIPool", layer), arrays, method)

    return run
