"""Laws of the deformable convolution, true for every method."""

from __future__ import annotations

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

METHODS = kernels.METHODS["deform_conv2d"]
FAST = [name for name in METHODS if name != "loops"]
CASES = conv_cases((2,), negative=False)


def arrays(case: Case, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    outs = case.groups * case.outs
    return (
        integers(case.x_shape, dtype),
        integers((outs, case.channels, *case.kernel), dtype, 1),
        integers((outs,), dtype, 2),
    )


def moves(case: Case, offset_groups: int, dtype: Any, *, modulated: bool = True) -> tuple[Array, Array | None]:
    """(offset, mask), all multiples of 1/4."""
    taps = offset_groups * case.kernel[0] * case.kernel[1]
    mask = quarters((case.batch, taps, *case.out), dtype, reach=1, seed=4) if modulated else None
    return quarters((case.batch, 2 * taps, *case.out), dtype, seed=3), mask


def sliding(case: Case) -> dict[str, Any]:
    return {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}


def offset_groups(case: Case) -> int:
    """Every case has one more group of offsets than of channels where the channels divide so."""
    channels = case.groups * case.channels
    return next(og for og in (case.groups + 1, case.groups, 1) if channels % og == 0)


@law(CASES, st.booleans(), st.sampled_from((np.float32, np.float64)))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, modulated: bool, dtype: Any) -> None:
    case = replace(case, groups=case.groups if case.channels else 1)
    x, w, b = arrays(case, dtype)
    offset, mask = moves(case, offset_groups(case), dtype, modulated=modulated)
    expected = kernels.deform_conv2d(x, offset, w, b, mask, **sliding(case), method="loops")
    assert expected.shape == case.y_shape
    for method in FAST:
        y = kernels.deform_conv2d(x, offset, w, b, mask, **sliding(case), method=method)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected, err_msg=method)


@pytest.mark.torch
@law(CASES, st.booleans())
def test_torchvision_agrees_exactly(case: Case, modulated: bool) -> None:
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    case = replace(case, batch=case.batch + 1, channels=case.channels + 1)
    before = tuple(min(pair) for pair in case.padding)
    grown = tuple(i + sum(pair) - 2 * a for i, pair, a in zip(case.space, case.padding, before, strict=True))
    case = replace(case, padding=tuple((a, a) for a in before), space=grown)
    x, w, b = arrays(case)
    offset, mask = moves(case, offset_groups(case), np.float32, modulated=modulated)
    tensors = [None if array is None else torch.from_numpy(array) for array in (x, offset, w, b, mask)]
    expected = ops.deform_conv2d(*tensors[:4], case.stride, before, case.dilation, tensors[4])
    for method in METHODS:
        y = kernels.deform_conv2d(x, offset, w, b, mask, **sliding(case), method=method)
        np.testing.assert_array_equal(y, expected.numpy(), err_msg=method)


@law(CASES)
def test_no_offsets_and_a_mask_of_ones_is_the_plain_convolution(case: Case) -> None:
    case = replace(case, groups=case.groups if case.channels else 1)
    x, w, b = arrays(case)
    taps = case.kernel[0] * case.kernel[1]
    offset = np.zeros((case.batch, 2 * taps, *case.out), np.float32)
    mask = np.ones((case.batch, taps, *case.out), np.float32)
    expected = kernels.conv(x, w, b, **case.keywords)
    for method in METHODS:
        np.testing.assert_array_equal(kernels.deform_conv2d(x, offset, w, b, **sliding(case), method=method), expected)
        np.testing.assert_array_equal(
            kernels.deform_conv2d(x, offset, w, b, mask, **sliding(case), method=method), expected
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.int32, np.float16])
def test_integers_and_float16(method: str, dtype: Any) -> None:
    x, w = integers((2, 4, 5, 6), dtype), integers((3, 4, 2, 3), dtype, 1)
    offset = integers((2, 24, 4, 4), dtype, 2)
    y = kernels.deform_conv2d(x, offset, w, method=method)
    assert y.dtype == dtype
    wide = [array.astype(np.float64) for array in (x, offset, w)]
    np.testing.assert_array_equal(y, kernels.deform_conv2d(*wide, method="loops"))


@pytest.mark.parametrize("method", METHODS)
def test_the_first_channel_of_a_tap_moves_it_down_the_second_to_the_right(method: str) -> None:
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    offset = np.zeros((1, 4, 3, 3))
    offset[:, 2], offset[:, 3] = 1.0, 0.5  # tap 1 of a kernel of (1, 2)
    y = kernels.deform_conv2d(x, offset, np.array([[[[0.0, 1.0]]]]), method=method)
    np.testing.assert_array_equal(y[0, 0], [[5.5, 6.5, 3.5], [9.5, 10.5, 5.5], [0, 0, 0]])


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_fades_to_zero_over_the_border(method: str) -> None:
    places = np.array([-9.0, -1.0, -0.75, -0.25, 0, 1, 1.25, 1.75, 2, 40])
    x, w = np.full((1, 1, 2, 1), 8.0), np.ones((1, 1, 1, 1))
    for place, expected in zip(places, [0, 0, 2, 6, 8, 8, 6, 2, 0, 0], strict=True):
        offset = np.array([place, 0.0, place - 1, 0.0]).reshape(2, 2).T.reshape(1, 2, 2, 1)
        assert kernels.deform_conv2d(x, offset, w, method=method).ravel().tolist() == [expected] * 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e38, -1e38])
def test_wild_offsets_sample_nothing(method: str, wild: float) -> None:
    x, w = integers((1, 2, 4, 4), np.float32), integers((2, 2, 3, 3), np.float32, 1)
    offset = np.zeros((1, 18, 2, 2), np.float32)
    offset[0, 4] = wild
    without = w.copy()
    without[:, :, 0, 2] = 0
    np.testing.assert_array_equal(kernels.deform_conv2d(x, offset, w, method=method), kernels.conv(x, without))


@pytest.mark.parametrize("method", METHODS)
def test_offset_groups_follow_the_input_channels(method: str) -> None:
    x, w = integers((1, 4, 5, 5), np.float32), integers((2, 4, 2, 2), np.float32, 1)
    offset, mask = quarters((1, 16, 4, 4), np.float32), quarters((1, 8, 4, 4), np.float32, reach=1)
    halves = [
        kernels.deform_conv2d(
            x[:, c : c + 2], offset[:, 4 * c : 4 * c + 8], w[:, c : c + 2], None, mask[:, 2 * c : 2 * c + 4]
        )
        for c in (0, 2)
    ]
    np.testing.assert_array_equal(kernels.deform_conv2d(x, offset, w, None, mask, method=method), sum(halves))


@pytest.mark.parametrize(
    ("x", "offset", "weight", "mask", "padding", "expected"),
    [
        ((4, 3, 10, 10), (4, 18, 8, 8), (5, 3, 3, 3), (4, 9, 8, 8), 0, (4, 5, 8, 8)),
        ((1, 3, 64, 64), (1, 18, 64, 64), (64, 3, 3, 3), None, 1, (1, 64, 64, 64)),
    ],
)
def test_textbook_shapes(x: Any, offset: Any, weight: Any, mask: Any, padding: int, expected: Any) -> None:
    scale = None if mask is None else np.ones(mask)
    y = kernels.deform_conv2d(np.ones(x), np.zeros(offset), np.ones(weight), None, scale, padding=padding)
    np.testing.assert_array_equal(y, kernels.conv(np.ones(x), np.ones(weight), padding=padding))
    assert y.shape == expected


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_and_empty_batch(method: str) -> None:
    x, w, offset = (
        integers((2, 2, 4, 4), np.float32),
        integers((2, 1, 3, 3), np.float32, 1),
        quarters((2, 18, 2, 2), np.float32),
    )
    y = kernels.deform_conv2d(x, offset, w, method=method)
    np.testing.assert_array_equal(kernels.deform_conv2d(x[1], offset[1], w, method=method), y[1])
    assert kernels.deform_conv2d(x[:0], offset[:0], w, method=method).shape == (0, 2, 2, 2)


def test_many_blocks_join_without_a_seam() -> None:
    x, w, offset = (
        integers((2, 128, 20, 24), np.float32),
        integers((8, 128, 3, 3), np.float32),
        quarters((2, 18, 20, 24), np.float32),
    )
    whole = kernels.deform_conv2d(x, offset, w, padding=1)
    for channel in (0, 101):  # each channel alone fits one block
        part = slice(channel, channel + 1)
        alone = np.zeros_like(w)
        alone[:, part] = w[:, part]
        few = kernels.deform_conv2d(x[:, part], offset, w[:, part], padding=1)
        np.testing.assert_array_equal(kernels.deform_conv2d(x, offset, alone, padding=1), few)
    assert whole.shape == (2, 8, 20, 24)


@pytest.mark.parametrize(
    ("field", "shapes"),
    [
        ("x", {"x": (1, 3, 4, 4)}),
        ("offset", {"offset": (1, 17, 2, 2)}),
        ("offset", {"offset": (1, 18, 2, 3)}),
        ("offset", {"offset": (2, 18, 2, 2)}),
        ("offset", {"offset": (1, 54, 2, 2)}),
        ("mask", {"mask": (1, 18, 2, 2)}),
        ("bias", {"bias": (1,)}),
        ("weight", {"weight": (2, 2, 3)}),
        ("weight", {"weight": (3, 1, 3, 3)}),
    ],
)
def test_wrong_shapes_are_named(field: str, shapes: dict[str, tuple[int, ...]]) -> None:
    right = {"x": (1, 2, 4, 4), "offset": (1, 18, 2, 2), "weight": (2, 2, 3, 3), "mask": (1, 9, 2, 2), "bias": (2,)}
    named: dict[str, Any] = {name: np.ones(shape) for name, shape in (right | shapes).items()}
    with pytest.raises(SpecError) as caught:
        kernels.deform_conv2d(**named)
    assert caught.value.problems[0].path == (field,)
    assert str(named[field].shape) in str(caught.value)
