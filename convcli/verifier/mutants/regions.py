"""RoI pooling: boxes, offsets and samples misread, borders and means wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends.numpy_regions import options
from convcli.kernels import roi_pool
from convcli.kernels.roi_call import RoICall, Whole, roi_call
from convcli.layers import DeformRoIPool
from convcli.verifier.mutants.mutant import mutant

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]

POOL = "deform_roi_pool"
PLAIN = "DeformRoIPool(1, sampling_ratio=1)"
TWO = "DeformRoIPool(2, sampling_ratio=1)"


class Moved(RoICall, frozen=True):
    """A call whose samples lie elsewhere: `change` takes the coordinates of an axis and its size."""

    change: Callable[[Any, int], Any] = lambda there, _: there

    def coordinates(self, axis: int, regions: Whole) -> Array:
        """Changed."""
        there: Array = np.asarray(self.change(RoICall.coordinates(self, axis, regions), self.x.shape[2 + axis]))
        return there.astype(self.size.dtype)


def call_of(layer: DeformRoIPool, arrays: Arrays, **changed: Any) -> RoICall:
    """The layer's call; `changed` are its keywords."""
    given = (arrays["x"], arrays["rois"], arrays.get("offset"), arrays.get("mask"))
    return roi_call(*given, **{**options(layer), **changed})


def pooled(call: RoICall, **changed: Any) -> Array:
    """y of a call with other fields."""
    return roi_pool.gather(msgspec.structs.replace(call, **changed)).astype(call.dtype, copy=False)


def sampled(layer: DeformRoIPool, arrays: Arrays, change: Callable[[Array, int], Array]) -> Array:
    """y with samples elsewhere."""
    call = call_of(layer, arrays)
    fields = {name: getattr(call, name) for name in call.__struct_fields__}
    return roi_pool.gather(Moved(**fields, change=change)).astype(call.dtype, copy=False)


def _offsets(layer: DeformRoIPool, arrays: Arrays, change: Callable[[Array], Array]) -> Array:
    if "offset" not in arrays:
        return pooled(call_of(layer, arrays))
    return pooled(call_of(layer, {**arrays, "offset": change(arrays["offset"])}))


@mutant(POOL, PLAIN, (1, 1, 3, 3))
def region_offsets_as_y_x(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets read as (y, x)"""
    return _offsets(layer, arrays, lambda offset: offset[:, ::-1])


@mutant(POOL, PLAIN, (1, 1, 2, 3))
def region_offsets_negated(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the bins' offsets subtracted instead of added"""
    return _offsets(layer, arrays, np.negative)


@mutant(POOL, PLAIN, (1, 1, 2, 3))
def region_offsets_ignored(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the bins' offsets left out"""
    return _offsets(layer, arrays, np.zeros_like)


@mutant(POOL, TWO, (1, 1, 4, 4))
def region_offsets_of_the_first_bin(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the first bin's offset for all of them"""
    return _offsets(layer, arrays, lambda offset: np.broadcast_to(offset[..., :1, :1], offset.shape).copy())


@mutant(POOL, TWO, (1, 1, 4, 4))
def region_offsets_transposed(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets of the bins counted down the columns instead of along the rows"""
    return _offsets(layer, arrays, lambda offset: offset.swapaxes(2, 3).reshape(offset.shape))


@mutant(POOL, PLAIN, (1, 1, 3, 3))
def region_gamma_forgotten(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets not multiplied by gamma"""
    return pooled(call_of(layer, arrays), gamma=1.0)


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, num_rois=2)", (1, 1, 4, 4))
def region_offsets_without_size(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets not multiplied by the size of the box"""
    call = call_of(layer, arrays)
    if call.offset is None:
        return pooled(call)
    size = np.where(call.widths == 0, 1, call.widths)[..., None, None]
    return pooled(call, offset=call.offset / size)


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, num_rois=2)", (1, 1, 4, 4))
def region_offsets_times_the_other_size(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets to the right multiplied by the height, those down by the width"""
    call = call_of(layer, arrays)
    if call.offset is None:
        return pooled(call)
    size = np.where(call.widths == 0, 1, call.widths)
    return pooled(call, offset=call.offset * (size[:, ::-1] / size)[..., None, None])


@mutant(POOL, TWO, (1, 1, 4, 4))
def region_offsets_times_a_bin(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """offsets multiplied by the size of a bin instead of the box"""
    bins = np.array(layer.output_size[::-1])[:, None, None]
    return _offsets(layer, arrays, lambda offset: (offset / bins).astype(offset.dtype))


@mutant(POOL, PLAIN, (1, 1, 3, 3))
def region_not_aligned(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes without the shift of half a cell"""
    call = call_of(layer, arrays)
    return pooled(call, start=call.start + call.start.dtype.type(0.5))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, spatial_scale=0.5)", (1, 1, 3, 3))
def region_half_before_the_scale(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """half a cell taken off before the scale"""
    call = call_of(layer, arrays)
    return pooled(call, start=call.start + call.start.dtype.type(0.5 - 0.5 * layer.spatial_scale))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, spatial_scale=0.5)", (1, 1, 3, 3))
def region_scale_forgotten(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes not multiplied by spatial_scale"""
    return pooled(call_of(layer, arrays, spatial_scale=1.0))


@mutant(POOL, PLAIN, (1, 1, 3, 4))
def region_boxes_as_y_x(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes read as y1, x1, y2, x2"""
    return pooled(call_of(layer, {**arrays, "rois": arrays["rois"][:, [0, 2, 1, 4, 3]]}))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=4)", (1, 1, 4, 4))
def region_boxes_as_sizes(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes read as x, y, width, height"""
    rois = arrays["rois"].copy()
    rois[:, 3:] += rois[:, 1:3]
    return pooled(call_of(layer, {**arrays, "rois": rois}))


@mutant(POOL, PLAIN, (1, 1, 3, 3))
def region_boxes_plus_one(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """a cell added to the size of every box"""
    call = call_of(layer, arrays)
    return pooled(call, size=call.size + 1)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=4)", (1, 1, 3, 3))
def region_boxes_at_least_a_cell(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes smaller than a cell made as large as one"""
    call = call_of(layer, arrays)
    return pooled(call, size=np.maximum(call.size, 1))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=2)", (1, 1, 3, 3))
def region_boxes_rounded(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """boxes rounded to whole cells"""
    call = call_of(layer, arrays)
    end = np.rint(call.start + call.size)
    return pooled(call, start=np.rint(call.start), size=end - np.rint(call.start))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=2)", (2, 1, 2, 2))
def region_of_the_first_image(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """every box on the first image"""
    call = call_of(layer, arrays)
    return pooled(call, images=np.zeros_like(call.images))


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, num_rois=2)", (1, 1, 4, 4))
def region_bins_transposed(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """bins counted down the columns instead of along the rows"""
    y = pooled(call_of(layer, arrays))
    return np.ascontiguousarray(y.swapaxes(2, 3)).reshape(y.shape)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=2)", (1, 1, 3, 3))
def region_sum(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the sum of a bin's samples, not divided by their number"""
    call = call_of(layer, arrays)
    count = np.maximum(1, call.grid.prod(axis=1)).astype(call.x.dtype)
    y: Array = pooled(call) * count[:, None, None, None]
    return y.astype(call.dtype, copy=False)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=2)", (1, 1, 3, 3))
def region_one_sample(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """one sample in the middle of every bin"""
    return pooled(call_of(layer, arrays, sampling_ratio=1))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=2, num_rois=4)", (1, 1, 4, 4))
def region_always_adaptive(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """sampling_ratio left out"""
    return pooled(call_of(layer, arrays, sampling_ratio=0))


@mutant(POOL, "DeformRoIPool(2, num_rois=4)", (1, 1, 4, 4))
def region_samples_rounded_down(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """as many samples as a bin has whole cells, rounded down"""
    call = call_of(layer, arrays)
    if layer.sampling_ratio:
        return pooled(call)
    return pooled(call, grid=np.maximum(0, np.floor(call.size / np.array(call.bins)).astype(np.intp)))


@mutant(POOL, "DeformRoIPool(2, num_rois=2)", (1, 1, 5, 5))
def region_samples_of_the_box(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """as many samples to a bin as the whole box has cells"""
    call = call_of(layer, arrays)
    if layer.sampling_ratio:
        return pooled(call)
    return pooled(call, grid=np.maximum(0, np.ceil(call.size).astype(np.intp)))


@mutant(POOL, PLAIN, (1, 1, 3, 3))
def region_samples_at_their_start(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """samples at the corners of their part of the bin, not in its middle"""
    call = call_of(layer, arrays)
    step = call.size / np.array(call.bins, call.size.dtype) / np.maximum(1, call.grid).astype(call.size.dtype)
    return pooled(call, start=call.start - step / 2)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=4)", (1, 1, 3, 3))
def region_nearest(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the nearest cell instead of the four around a sample"""
    return sampled(layer, arrays, lambda there, _: np.rint(there))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=4)", (1, 1, 3, 3))
def region_corners_aligned(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """the shares of two neighbouring cells exchanged"""
    return sampled(layer, arrays, lambda there, _: 2 * np.floor(there) + 1 - there)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=8)", (1, 1, 2, 2))
def region_fades(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """samples past the edge fade to 0, as in deformable convolution"""
    call = call_of(layer, arrays)
    x = np.pad(call.x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    return pooled(call, x=x, start=call.start + 1)


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, num_rois=8)", (1, 1, 2, 2))
def region_clamped(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """samples far outside read the edge instead of 0"""
    return sampled(layer, arrays, lambda there, size: np.clip(there, 0, size - 1))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, num_rois=8)", (1, 1, 2, 2))
def region_zero_outside(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """samples past the outermost cells' centres are 0"""

    def cut(there: Array, size: int) -> Array:
        return np.where((there < 0) | (there > size - 1), -9, there)

    return sampled(layer, arrays, cut)


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, modulated=True)", (1, 1, 2, 2))
def region_mask_ignored(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """masks left out"""
    return pooled(call_of(layer, arrays), mask=None)


@mutant(POOL, "DeformRoIPool(2, sampling_ratio=1, modulated=True)", (1, 1, 4, 4))
def region_mask_transposed(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """masks of the bins counted down the columns instead of along the rows"""
    call = call_of(layer, arrays)
    return pooled(call, mask=None if call.mask is None else call.mask.swapaxes(2, 3).reshape(call.mask.shape))


@mutant(POOL, "DeformRoIPool(1, sampling_ratio=1, modulated=True)", (1, 1, 2, 2))
def region_mask_squared(layer: DeformRoIPool, arrays: Arrays) -> Array:
    """masks multiplied twice"""
    call = call_of(layer, arrays)
    return pooled(call, mask=None if call.mask is None else call.mask**2)
