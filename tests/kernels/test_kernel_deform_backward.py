"""Laws of the deformable convolution's gradients, true for every method."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import Case, conv_cases, integers, law, quarters

from convcli import kernels
from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

METHODS = kernels.METHODS["deform_conv2d_backward"]
FAST = [name for name in METHODS if name != "loops"]
CASES = conv_cases((2,), negative=False).map(lambda case: case if case.channels else replace(case, groups=1))
NAMES = ("dx", "doffset", "dw", "db", "dmask")
Given = tuple["Array", "Array", "Array", "Array", "Array | None"]


def arrays(case: Case, dtype: Any = np.float32, *, modulated: bool = True) -> Given:
    """(dy, x, offset, weight, mask): whole numbers, offsets and masks in quarters, more offset groups than groups."""
    channels = case.groups * case.channels
    og = next(og for og in (case.groups + 1, case.groups, 1) if channels % og == 0)
    taps = og * case.kernel[0] * case.kernel[1]
    return (
        integers(case.y_shape, dtype, 2),
        integers(case.x_shape, dtype),
        quarters((case.batch, 2 * taps, *case.out), dtype, seed=3),
        integers((case.groups * case.outs, case.channels, *case.kernel), dtype, 1),
        quarters((case.batch, taps, *case.out), dtype, reach=1, seed=4) if modulated else None,
    )


def sliding(case: Case) -> dict[str, Any]:
    return {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}


def assert_same(found: tuple[Array | None, ...], expected: tuple[Array | None, ...], method: str = "") -> None:
    for name, one, other in zip(NAMES, found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {method}")


@law(CASES, st.booleans(), st.sampled_from((np.float16, np.float32, np.float64)))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, modulated: bool, dtype: Any) -> None:
    given = arrays(case, dtype, modulated=modulated)
    _, x, offset, w, mask = given
    expected = kernels.deform_conv2d_backward(*given, **sliding(case), method="loops")
    shapes = [x.shape, offset.shape, w.shape, w.shape[:1], None if mask is None else mask.shape]
    assert [None if array is None else array.shape for array in expected] == shapes
    for method in FAST:
        found = kernels.deform_conv2d_backward(*given, **sliding(case), method=method)
        assert {array.dtype for array in found if array is not None} == {np.dtype(dtype)}
        assert_same(found, expected, method)


def torchvisions(given: Given, **keywords: Any) -> tuple[Array | None, ...]:
    """(dx, doffset, dw, db, dmask) by torchvision's autograd; the padding is one number per axis."""
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    dy, x, offset, w, mask = given
    bias = np.zeros(len(w), w.dtype)
    tensors = [None if a is None else torch.from_numpy(a).requires_grad_() for a in (x, offset, w, bias, mask)]
    y = ops.deform_conv2d(*tensors[:4], **keywords, mask=tensors[4])
    gradients = iter(torch.autograd.grad(y, [t for t in tensors if t is not None], torch.from_numpy(dy)))
    return tuple(None if tensor is None else next(gradients).numpy() for tensor in tensors)


@pytest.mark.torch
@law(CASES, st.booleans(), st.sampled_from((np.float32, np.float64)))
def test_torchvision_agrees_exactly(case: Case, modulated: bool, dtype: Any) -> None:
    before = tuple(min(pair) for pair in case.padding)
    grown = tuple(i + sum(pair) - 2 * a for i, pair, a in zip(case.space, case.padding, before, strict=True))
    padding = tuple((a, a) for a in before)
    case = replace(case, batch=case.batch + 1, channels=case.channels + 1, padding=padding, space=grown)
    given = arrays(case, dtype, modulated=modulated)
    expected = torchvisions(given, stride=case.stride, padding=before, dilation=case.dilation)
    for method in METHODS:
        assert_same(kernels.deform_conv2d_backward(*given, **sliding(case), method=method), expected, method)


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torchvision_agrees_at_and_beyond_every_border(method: str, dtype: Any) -> None:
    height, width = 3, 4
    places = [-1e30, -3, -2, -1.75, -1.25, -1, -0.75, -0.25, 0, 0.25, 1, 1.5, 2, 2.25, 2.75, 3, 3.25, 4, 4.25, 5, 1e30]
    count = len(places)
    far = (count - height + 1) // 2, (count - width + 1) // 2
    out = height + 2 * far[0], width + 2 * far[1]
    there = np.zeros((2, *out))
    there[:, :count, :count] = np.meshgrid(places, places, indexing="ij")
    offset = there - (np.indices(out) - np.array(far)[:, None, None])
    given = (
        integers((1, 2, *out), dtype, 2),
        integers((1, 2, height, width), dtype),
        offset[None].astype(dtype),
        integers((2, 2, 1, 1), dtype, 1),
        quarters((1, 1, *out), dtype, reach=1, seed=4),
    )
    expected = torchvisions(given, padding=far)
    assert expected[1] is not None
    assert np.count_nonzero(expected[1]) > 150
    assert_same(kernels.deform_conv2d_backward(*given, padding=far, method=method), expected)


@law(CASES)
def test_the_layer_is_linear_in_input_weight_and_mask(case: Case) -> None:
    """<y, dy> = <x, dx> = <w, dw> = <mask, dmask>."""
    dy, x, offset, w, mask = arrays(case, np.float64)
    assert mask is not None
    product = np.vdot(kernels.deform_conv2d(x, offset, w, None, mask, **sliding(case)), dy)
    for method in METHODS:
        dx, _, dw, db, dmask = kernels.deform_conv2d_backward(dy, x, offset, w, mask, **sliding(case), method=method)
        assert dmask is not None
        assert [np.vdot(x, dx), np.vdot(w, dw), np.vdot(mask, dmask)] == [product] * 3
        np.testing.assert_array_equal(db, dy.sum((0, 2, 3)))


@law(CASES, st.booleans(), st.booleans(), st.integers(0, 99))
def test_a_quarter_to_the_right_changes_the_output_by_the_slope(
    case: Case, modulated: bool, down: bool, seed: int
) -> None:
    """Between whole coordinates y is linear in each offset, and the taps add up: no limit is needed."""
    given = arrays(case, np.float64, modulated=modulated)
    dy, x, offset, w, mask = given
    moved = np.zeros_like(offset)
    which = slice(0 if down else 1, None, 2)
    moved[:, which] = np.random.default_rng(seed).integers(0, 2, moved[:, which].shape)
    before, after = (
        kernels.deform_conv2d(x, there, w, None, mask, **sliding(case)) for there in (offset, offset + moved / 4)
    )
    for method in METHODS:
        doffset = kernels.deform_conv2d_backward(*given, **sliding(case), method=method)[1]
        assert np.vdot(after - before, dy) == np.vdot(moved, doffset) / 4


@law(CASES)
def test_no_offsets_and_a_mask_of_ones_is_the_plain_convolution(case: Case) -> None:
    dy, x, offset, w, mask = arrays(case)
    assert mask is not None
    expected = kernels.conv_backward(dy, x, w, **case.keywords)
    for method in METHODS:
        for scale in (None, np.ones_like(mask)):
            dx, _, dw, db, _ = kernels.deform_conv2d_backward(
                dy, x, np.zeros_like(offset), w, scale, **sliding(case), method=method
            )
            for one, other in zip((dx, dw, db), expected, strict=True):
                np.testing.assert_array_equal(one, other)


@law(CASES)
def test_the_gradients_are_linear_in_dy(case: Case) -> None:
    dy, x, offset, w, mask = arrays(case)
    more = integers(case.y_shape, np.float32, 7)
    parts, whole = [
        [kernels.deform_conv2d_backward(g, x, offset, w, mask, **sliding(case)) for g in together]
        for together in ((dy, more), (dy + 2 * more,))
    ]
    assert_same(whole[0], tuple(one + 2 * other for one, other in zip(*parts, strict=True)))


@pytest.mark.parametrize("method", METHODS)
def test_offset_groups_and_groups_are_split_and_concat(method: str) -> None:
    case = Case(2, 2, 2, 3, (5, 6), (4, 4), (2, 3), (1, 1), (1, 1), ((0, 0), (0, 0)))
    dy, x, w = (
        integers((2, 6, 4, 4), np.float32),
        integers((2, 4, 5, 6), np.float32),
        integers((6, 2, 2, 3), np.float32),
    )
    offset, mask = quarters((2, 24, 4, 4), np.float32), quarters((2, 12, 4, 4), np.float32, reach=1)
    split = [np.split(array, 2, axis) for array, axis in ((dy, 1), (x, 1), (offset, 1), (w, 0), (mask, 1))]
    parts = [kernels.deform_conv2d_backward(*part, **sliding(case), method=method) for part in zip(*split, strict=True)]
    joined = tuple(
        np.concatenate(part, axis) for part, axis in zip(zip(*parts, strict=True), (1, 1, 0, 0, 1), strict=True)
    )
    assert_same(kernels.deform_conv2d_backward(dy, x, offset, w, mask, **sliding(case), method=method), joined)


@pytest.mark.parametrize("method", METHODS)
def test_at_a_whole_coordinate_the_slope_is_the_one_to_the_right(method: str) -> None:
    x, w = np.array([[[[3.0], [10.0], [4.0]]]]), np.ones((1, 1, 1, 1))
    places = {-2: 0, -1.25: 0, -1: 3, -0.5: 3, 0: 7, 0.5: 7, 1: -6, 1.75: -6, 2: -4, 2.75: -4, 3: 0, 9: 0}
    for place, expected in places.items():
        offset = np.zeros((1, 2, 3, 1))
        offset[0, 0, 0, 0] = place
        dy = np.array([[[[1.0], [0.0], [0.0]]]])
        doffset = kernels.deform_conv2d_backward(dy, x, offset, w, method=method)[1]
        assert doffset[0, 0].ravel().tolist() == [expected, 0, 0], place


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "expected"), [(np.float32, -6), (np.float64, 7)])
def test_the_coordinate_is_rounded_before_its_side_is_known(method: str, dtype: Any, expected: int) -> None:
    """1 - 1e-9 is 1 in float32: the slope is the one after that cell; in float64 the one before it."""
    x, w, dy = np.array([[[3], [10], [4]]], dtype), np.ones((1, 1, 1, 1), dtype), np.array([[[0], [1], [0]]], dtype)
    offset = np.full((2, 3, 1), [[[-1e-9]], [[0]]], dtype)
    doffset = kernels.deform_conv2d_backward(dy, x, offset, w, method=method)[1]
    assert doffset[0].ravel().tolist() == [0, expected, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e38, -1e38])
@pytest.mark.parametrize("direction", [0, 1])
def test_wild_offsets_have_no_gradient(method: str, wild: float, direction: int) -> None:
    x, w, mask = (
        integers((1, 2, 4, 4), np.float32),
        integers((2, 2, 3, 3), np.float32, 1),
        np.ones((1, 9, 2, 2), np.float32),
    )
    dy, offset = integers((1, 2, 2, 2), np.float32, 2), np.zeros((1, 18, 2, 2), np.float32)
    offset[0, 4 + direction] = wild
    without = w.copy()
    without[:, :, 0, 2] = 0
    dx, doffset, dw, db, dmask = kernels.deform_conv2d_backward(dy, x, offset, w, mask, method=method)
    plain = kernels.conv_backward(dy, x, without)
    np.testing.assert_array_equal(dx, plain[0])
    assert not doffset[:, 4:6].any()
    assert doffset.any()
    assert not dw[:, :, 0, 2].any()
    np.testing.assert_array_equal(db, plain[2])
    assert dmask is not None
    assert not dmask[:, 2].any()


@pytest.mark.parametrize("method", METHODS)
def test_integers(method: str) -> None:
    given = (
        integers((2, 3, 4, 4), np.int32, 2),
        integers((2, 4, 5, 6), np.int32),
        integers((2, 24, 4, 4), np.int32, 3),
        integers((3, 4, 2, 3), np.int32, 1),
        integers((2, 12, 4, 4), np.int32, 4),
    )
    found = kernels.deform_conv2d_backward(*given, method=method)
    assert {array.dtype for array in found if array is not None} == {np.dtype(np.int32)}
    assert_same(found, kernels.deform_conv2d_backward(*[a.astype(np.float64) for a in given], method="loops"))


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_and_empty_batch(method: str) -> None:
    case = Case(2, 1, 2, 3, (4, 4), (2, 2), (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)))
    dy, x, offset, w, mask = arrays(case)
    assert mask is not None
    dx, doffset, dw, db, dmask = kernels.deform_conv2d_backward(dy[1], x[1], offset[1], w, mask[1], method=method)
    assert dmask is not None
    one = kernels.deform_conv2d_backward(dy[1:], x[1:], offset[1:], w, mask[1:], method=method)
    assert_same((dx[None], doffset[None], dw, db, dmask[None]), one)
    dx, doffset, dw, db, _ = kernels.deform_conv2d_backward(dy[:0], x[:0], offset[:0], w, method=method)
    assert (dx.shape, doffset.shape) == ((0, 2, 4, 4), (0, 36, 2, 2))
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("method", METHODS)
def test_views_are_read_right_and_left_alone(method: str) -> None:
    case = Case(2, 2, 2, 2, (5, 6), (4, 4), (2, 3), (1, 1), (1, 1), ((0, 0), (0, 0)))
    before = arrays(case)
    given = [np.ascontiguousarray(array.T).T for array in before if array is not None]
    for array in given:
        array.flags.writeable = False
    found = kernels.deform_conv2d_backward(*given, method=method)
    assert_same(found, kernels.deform_conv2d_backward(*before, method="loops"))
    assert all(array is not None and array.flags.writeable for array in found)


def test_many_blocks_join_without_a_seam() -> None:
    dy, x, w = (
        integers((2, 3, 20, 24), np.float32, 2),
        integers((2, 8, 20, 24), np.float32),
        integers((3, 8, 3, 3), np.float32, 1),
    )
    offset, mask = quarters((2, 36, 20, 24), np.float32), quarters((2, 18, 20, 24), np.float32, reach=1)
    wide = np.repeat(x, 40, axis=1), np.repeat(w, 40, axis=1)  # 320 channels: two blocks of positions, not one
    dx, doffset, dw, _, dmask = kernels.deform_conv2d_backward(dy, wide[0], offset, wide[1], mask, padding=1)
    few = kernels.deform_conv2d_backward(dy, x, offset, w, mask, padding=1)
    np.testing.assert_array_equal(dx, np.repeat(few[0], 40, axis=1))
    np.testing.assert_array_equal(doffset, 40 * few[1])
    np.testing.assert_array_equal(dw, np.repeat(few[2], 40, axis=1))
    assert dmask is not None
    assert few[4] is not None
    np.testing.assert_array_equal(dmask, 40 * few[4])


def test_it_takes_two_images_and_bounded_buffers() -> None:
    x, w = np.ones((2, 64, 96, 96), np.float32), np.ones((64, 64, 3, 3), np.float32)
    offset, mask = np.zeros((2, 18, 96, 96), np.float32), np.ones((2, 9, 96, 96), np.float32)
    tracemalloc.start()
    found = kernels.deform_conv2d_backward(x, x, offset, w, mask, padding=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    outputs = sum(array.nbytes for array in found if array is not None)
    assert peak <= 2 * 64 * 99 * 99 * 4 + outputs + 12 * 2**20


def test_a_wrong_dy_is_named() -> None:
    x, offset, w = np.ones((1, 2, 4, 4)), np.zeros((1, 18, 2, 2)), np.ones((3, 2, 3, 3))
    with pytest.raises(SpecError, match=r"\(1, 3, 2, 3\).*\(1, 3, 2, 2\)") as caught:
        kernels.deform_conv2d_backward(np.ones((1, 3, 2, 3)), x, offset, w)
    assert caught.value.problems[0].path == ("dy",)
    with pytest.raises(SpecError, match="dy is float32, x is float64"):
        kernels.deform_conv2d_backward(np.ones((1, 3, 2, 2), np.float32), x, offset, w)
