"""Gradients of RoI pooling: offsets, masks and shares misread on the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.kernels import roi_pool_backward
from convcli.layers import DeformRoIPool
from convcli.verifier.mutants.mutant import gradients, mutant
from convcli.verifier.mutants.regions import PLAIN, POOL, Moved, call_of

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]
    Gradients = dict[str, Array]


@mutant(POOL, PLAIN, (1, 1, 3, 3), gradient=True)
def region_grad_offset_as_y_x(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the offsets as (y, x)"""
    found = gradients(layer, arrays)
    return {"offset": found["offset"][:, ::-1].copy()} if "offset" in found else {}


@mutant(POOL, PLAIN, (1, 1, 3, 3), gradient=True)
def region_grad_offset_negated(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the offsets with the wrong sign"""
    found = gradients(layer, arrays)
    return {"offset": -found["offset"]} if "offset" in found else {}


@mutant(POOL, PLAIN, (1, 1, 3, 3), gradient=True)
def region_grad_offset_without_gamma(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the offsets without gamma"""
    found = gradients(layer, arrays)
    return {"offset": found["offset"] / found["offset"].dtype.type(layer.gamma or 1)} if "offset" in found else {}


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, num_rois=2)", (1, 1, 4, 4), gradient=True)
def region_grad_offset_without_size(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the offsets without the size of the box"""
    found, call = gradients(layer, arrays), call_of(layer, arrays)
    size = np.where(call.widths == 0, 1, call.widths)[..., None, None]
    return {"offset": (found["offset"] / size).astype(call.dtype)} if "offset" in found else {}


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, modulated=True)", (1, 1, 3, 3), gradient=True)
def region_grad_offset_mask_ignored(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the offsets without the masks"""
    return _unmasked(layer, arrays, "offset")


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, modulated=True)", (1, 1, 3, 3), gradient=True)
def region_grad_input_mask_ignored(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the input without the masks"""
    return _unmasked(layer, arrays, "x")


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=2)", (1, 1, 3, 3), gradient=True)
def region_grad_input_sum(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the input not divided by the number of samples"""
    count = np.maximum(1, call_of(layer, arrays).grid.prod(axis=1)).astype(arrays["dy"].dtype)
    more = {**arrays, "dy": arrays["dy"] * count[:, None, None, None]}
    return {"x": gradients(layer, more)["x"]}


@mutant(POOL, PLAIN, (1, 1, 3, 3), gradient=True)
def region_grad_input_at_zero_offsets(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the input as if no bin had moved"""
    still = {name: np.zeros_like(array) if name == "offset" else array for name, array in arrays.items()}
    return {"x": gradients(layer, still)["x"]}


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=4)", (1, 1, 3, 3), gradient=True)
def region_grad_input_nearest(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the input to the nearest cell alone"""
    call = call_of(layer, arrays)
    fields = {name: getattr(call, name) for name in call.__struct_fields__}
    near = Moved(**fields, change=lambda there, _: np.rint(there))
    return {"x": roi_pool_backward.gather(near, call.output_gradient(arrays["dy"]))[0].astype(call.dtype)}


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, modulated=True)", (1, 1, 3, 3), gradient=True)
def region_grad_mask_times_mask(layer: DeformRoIPool, arrays: Arrays) -> Gradients:
    """the gradient of the masks multiplied by the masks"""
    found = gradients(layer, arrays)
    return {"mask": found["mask"] * arrays["mask"]} if "mask" in found else {}


def _unmasked(layer: DeformRoIPool, arrays: Arrays, name: str) -> Gradients:
    plain = {key: np.ones_like(array) if key == "mask" else array for key, array in arrays.items()}
    found = gradients(layer, plain)
    return {name: found[name]} if name in found else {}
