"""Laws of the convolution, true for every method."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import WORK_DTYPES, Case, conv_cases, integers, law, stuffed

from convcli import kernels
from convcli.axis import axes
from convcli.errors import SpecError
from convcli.kernels.transforms import smooth
from convcli.kernels.windows import blocks, last

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

METHODS = [name for name in kernels.METHODS["conv"] if name not in kernels.ROUNDS]
FAST = [name for name in METHODS if name != "loops"]


def arrays(case: Case, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    outs = case.groups * case.outs
    weight = integers((outs, case.channels, *case.kernel), dtype, 1)
    return integers(case.x_shape, dtype), weight, integers((outs,), dtype, 2)


@law(conv_cases(), st.sampled_from(WORK_DTYPES))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, dtype: Any) -> None:
    x, w, b = arrays(case, dtype)
    expected = kernels.conv(x, w, b, **case.keywords, method="loops")
    assert expected.shape == case.y_shape
    for method in FAST:
        y = kernels.conv(x, w, b, **case.keywords, method=method)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected, err_msg=method)


@law(conv_cases(), st.sampled_from((np.float16, np.float32, np.float64)))
def test_methods_that_round_are_close(case: Case, dtype: Any) -> None:
    case = replace(case, kernel=(3,) * len(case.kernel), stride=(1,) * len(case.stride), dilation=(1,) * len(case.out))
    wide = tuple(size + 2 for size in case.space)
    x, w, b = arrays(replace(case, space=wide), dtype)
    expected = kernels.conv(x, w, b, **case.keywords)
    for method in sorted(kernels.ROUNDS):
        y = kernels.conv(x, w, b, **case.keywords, method=method)
        assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-9 if dtype is np.float64 else 0.05)


@law(conv_cases())
def test_the_fourier_transform_takes_any_stride_and_dilation(case: Case) -> None:
    x, w, b = arrays(case, np.float64)
    y = kernels.conv(x, w, b, **case.keywords, method="fft")
    np.testing.assert_allclose(y, kernels.conv(x, w, b, **case.keywords), rtol=0, atol=1e-9)


@law(st.integers(1, 2000))
def test_a_transforms_length_is_the_next_with_no_factor_but_2_3_and_5(size: int) -> None:
    def left(number: int) -> int:
        for factor in (2, 3, 5):
            while number % factor == 0:
                number //= factor
        return number

    assert smooth(size) == next(number for number in range(size, 2 * size + 1) if left(number) == 1)


@pytest.mark.parametrize("method", sorted(kernels.ROUNDS))
def test_what_rounds_takes_no_integers(method: str) -> None:
    x, w = integers((1, 2, 5), np.int64), integers((3, 2, 3), np.int64, 1)
    with pytest.raises(SpecError, match="rounds") as caught:
        kernels.conv(x, w, method=method)
    assert caught.value.problems[0].path == ("method",)


def test_winograd_is_for_kernels_of_three_taps() -> None:
    x, w = integers((1, 2, 9), np.float64), integers((3, 2, 5), np.float64, 1)
    with pytest.raises(SpecError, match="3 taps"):
        kernels.conv(x, w, method="winograd")
    with pytest.raises(SpecError, match="3 taps"):
        kernels.conv(x, w[..., :3], stride=2, method="winograd")


@pytest.mark.torch
@law(conv_cases(negative=False), st.sampled_from(("zeros", "reflect", "replicate", "circular")))
def test_torch_agrees_exactly(case: Case, mode: str) -> None:
    torch = pytest.importorskip("torch")
    case = replace(case, channels=case.channels + 1, batch=case.batch + (mode != "zeros"))
    if mode != "zeros":  # cells enough for the mode
        case = replace(case, space=tuple(size + 2 for size in case.space))
    x, w, b = arrays(case)
    pads = [pad for pair in reversed(case.padding) for pad in pair]
    wide = torch.nn.functional.pad(torch.from_numpy(x), pads, mode="constant" if mode == "zeros" else mode)
    convolve = getattr(torch.nn.functional, f"conv{len(case.kernel)}d")
    expected = convolve(wide, torch.from_numpy(w), torch.from_numpy(b), case.stride, 0, case.dilation, case.groups)
    for method in METHODS:
        y = kernels.conv(x, w, b, **case.keywords, padding_mode=mode, method=method)
        np.testing.assert_array_equal(y, expected.numpy(), err_msg=method)


@law(conv_cases())
def test_groups_are_split_and_concat(case: Case) -> None:
    x, w, b = arrays(case)
    keywords = {**case.keywords, "groups": 1}
    split = zip(*(np.split(array, case.groups, axis) for array, axis in ((x, 1), (w, 0), (b, 0))), strict=True)
    parts = [kernels.conv(*part, **keywords) for part in split]
    np.testing.assert_array_equal(kernels.conv(x, w, b, **case.keywords), np.concatenate(parts, axis=1))


@law(conv_cases())
def test_dilated_is_a_zero_stuffed_kernel(case: Case) -> None:
    x, w, b = arrays(case)
    wide = kernels.conv(x, stuffed(w, case.dilation), b, **{**case.keywords, "dilation": 1})
    np.testing.assert_array_equal(kernels.conv(x, w, b, **case.keywords), wide)


@pytest.mark.parametrize("method", METHODS)
def test_pointwise_is_a_matrix_product(method: str) -> None:
    x, w = integers((2, 5, 3, 4), np.float32), integers((7, 5, 1, 1), np.float32, 1)
    product = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], x)
    np.testing.assert_array_equal(kernels.conv(x, w, method=method), product)
    np.testing.assert_array_equal(kernels.conv(x, w, stride=2, method=method), product[:, :, ::2, ::2])


@law(conv_cases())
def test_all_ones_count_the_products_inside_the_input(case: Case) -> None:
    x, w = np.ones(case.x_shape), np.ones((case.groups * case.outs, case.channels, *case.kernel))
    sliding = axes(case.kernel, stride=case.stride, padding=case.padding, dilation=case.dilation, negative_padding=True)
    per_channel_pair = prod(axis.pairs(i, o) for axis, i, o in zip(sliding, case.space, case.out, strict=True))
    expected = case.batch * case.groups * case.outs * case.channels * per_channel_pair
    assert kernels.conv(x, w, **case.keywords).sum() == expected


def test_a_negative_number_is_no_padding() -> None:
    """As in torch; only a pair crops."""
    x, w = np.zeros((1, 1, 5, 5)), np.zeros((1, 1, 1, 1))
    for padding in (-1, (0, -1)):
        with pytest.raises(SpecError, match="padding"):
            kernels.conv(x, w, padding=padding)


@law(conv_cases(), st.integers(0, 2))
def test_negative_padding_is_a_crop(case: Case, cut: int) -> None:
    space = tuple(i + a + b + 2 * cut for i, (a, b) in zip(case.space, case.padding, strict=True))
    case = replace(case, space=space)
    x, w, b = arrays(case)
    inner = x[last(*[slice(cut, size - cut) for size in space])]
    sliding: dict[str, Any] = {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}
    pairs = [(-cut, -cut)] * len(space)
    for method in METHODS:
        cropped = kernels.conv(x, w, b, padding=pairs, **sliding, method=method)
        np.testing.assert_array_equal(cropped, kernels.conv(inner, w, b, **sliding, method=method))


@pytest.mark.parametrize("method", METHODS)
def test_a_crop_may_pass_the_other_end(method: str) -> None:
    y = kernels.conv(np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.ones(1), padding=((-3, 5),), method=method)
    np.testing.assert_array_equal(y, np.ones((1, 1, 3)))


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
@pytest.mark.parametrize("method", METHODS)
def test_padding_modes_are_numpys(method: str, mode: str, numpy_mode: Any) -> None:
    x, w = integers((2, 3, 4, 5), np.float32), integers((3, 1, 2, 3), np.float32, 1)
    wide = np.pad(x, ((0, 0), (0, 0), (3, 1), (0, 2)), numpy_mode)
    y = kernels.conv(x, w, padding=((3, 1), (0, 2)), groups=3, padding_mode=mode, method=method)
    np.testing.assert_array_equal(y, kernels.conv(wide, w, groups=3))


@pytest.mark.parametrize(
    ("padding", "pairs"),
    [
        ("same_upper", ((0, 1), (1, 1))),
        ("same_lower", ((1, 0), (1, 1))),
        ("same", ((0, 1), (1, 1))),
        ("valid", ((0, 0), (0, 0))),
        (1, ((1, 1), (1, 1))),
        ((1, 0), ((1, 1), (0, 0))),
        (((0, 1), (2, 0)), ((0, 1), (2, 0))),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_every_form_of_padding(method: str, padding: Any, pairs: tuple[tuple[int, int], ...]) -> None:
    x, w = integers((1, 2, 5, 6), np.float32), integers((3, 2, 2, 3), np.float32, 1)
    wide = np.pad(x, ((0, 0), (0, 0), *pairs))
    np.testing.assert_array_equal(kernels.conv(x, w, padding=padding, method=method), kernels.conv(wide, w))


def test_same_upper_depends_on_the_input() -> None:
    x, w = integers((1, 1, 5), np.float32), integers((1, 1, 2), np.float32, 1)
    assert kernels.conv(x, w, stride=2, padding="same_upper").shape == (1, 1, 3)
    np.testing.assert_array_equal(
        kernels.conv(x, w, stride=2, padding="same_upper"), kernels.conv(x, w, stride=2, padding=((0, 1),))
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_empty_batch_and_no_channels(method: str) -> None:
    x, w, b = integers((2, 3, 4, 4), np.float32), integers((2, 3, 3, 3), np.float32, 1), integers((2,), np.float32, 2)
    np.testing.assert_array_equal(kernels.conv(x[0], w, b, method=method), kernels.conv(x, w, b, method=method)[0])
    assert kernels.conv(x[:0], w, b, method=method).shape == (0, 2, 2, 2)
    bare = kernels.conv(x[:, :0], w[:, :0], b, method=method)
    np.testing.assert_array_equal(bare, np.broadcast_to(b[:, None, None], (2, 2, 2, 2)))


@pytest.mark.parametrize("method", METHODS)
def test_views_are_read_right_and_left_alone(method: str) -> None:
    x, w = integers((6, 5, 4, 2), np.float32).T[:, ::2, ::-1], integers((3, 3, 2, 2), np.float32).swapaxes(0, 1)
    x_before, w_before = x.copy(), w.copy()
    x.flags.writeable = w.flags.writeable = False
    for groups, weight in ((1, w[:, :2]), (2, w[:2, :1])):
        y = kernels.conv(x, weight, padding=1, groups=groups, method=method)
        np.testing.assert_array_equal(
            y, kernels.conv(x_before, weight.copy(), padding=1, groups=groups, method="loops")
        )
        assert y.flags.writeable
        assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(w, w_before)


@pytest.mark.parametrize("method", METHODS)
def test_integers_are_exact_beyond_float64_and_wrap_as_their_dtype_does(method: str) -> None:
    x, w = np.array([[2**53 + 1, 1]]), np.array([[[1, 1]]])
    assert kernels.conv(x, w, method=method).tolist() == [[2**53 + 2]]
    high = np.array([[2**63 - 1, 1]])
    assert kernels.conv(high, w, method=method).tolist() == [[-(2**63)]]
    bytes_ = np.array([[200, 100]], np.uint8)
    assert kernels.conv(bytes_, w.astype(np.uint8), method=method).tolist() == [[300 - 256]]


@pytest.mark.parametrize("method", METHODS)
def test_float16_is_summed_in_float32(method: str) -> None:
    ones = np.ones((1, 1, 3000), np.float16)  # a float16 sum of ones stops at 2048
    y = kernels.conv(ones, ones, np.ones(1, np.float16) * 2, method=method)
    assert y.dtype == np.float16
    assert y.item() == 3002


@pytest.mark.parametrize("method", METHODS)
def test_overflow_and_nan_are_silent(method: str) -> None:
    x, w = np.full((1, 2, 3), 6e4, np.float16), np.ones((2, 1, 2), np.float16)
    assert np.all(np.isinf(kernels.conv(x, w, groups=2, method=method)))
    x[0, 0, 0], x[0, 1, 0], x[0, 1, 1] = np.nan, np.inf, -np.inf
    assert np.all(np.isnan(kernels.conv(x, w, groups=2, method=method)[0, :, 0]))


def test_threads_do_not_share_anything() -> None:
    x, w = integers((4, 6, 9, 9), np.float32), integers((8, 6, 3, 3), np.float32, 1)
    expected = [kernels.conv(x[i : i + 1], w, padding=1) for i in range(4)] * 8
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: kernels.conv(x[i % 4 : i % 4 + 1], w, padding=1), range(32)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("x", "weight", "stride"),
    [
        ((1, 64, 224, 224), (64, 64, 3, 3), 1),
        ((1, 512, 28, 28), (512, 512, 3, 3), 1),
        ((3, 512, 14, 14), (256, 512, 3, 3), 1),  # several samples in a block, and some channels at a time
        ((8, 256, 7, 7), (1024, 256, 3, 3), 2),
        ((2, 16, 40, 40), (8, 16, 25, 25), 1),
        ((1, 512, 1599), (512, 512, 3), 2),
        ((1, 64, 8, 28, 28), (64, 64, 3, 3, 3), 1),
    ],
)
def test_a_dense_layer_takes_the_padded_input_and_two_mebibytes(
    x: tuple[int, ...], weight: tuple[int, ...], stride: int
) -> None:
    cells, w = np.ones(x, np.float32), np.ones(weight, np.float32)
    tracemalloc.start()
    y = kernels.conv(cells, w, stride=stride, padding=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    padded = x[0] * x[1] * prod(size + 2 for size in x[2:]) * cells.itemsize
    assert peak <= padded + y.nbytes + 2 * 2**20
    inner = y[last(*[slice(1, -1)] * (len(x) - 2))]
    np.testing.assert_array_equal(inner, np.full(inner.shape, prod(weight[1:]), np.float32))


def test_many_blocks_join_without_a_seam() -> None:
    x, w = integers((3, 40, 23, 31), np.float32), integers((6, 40, 3, 3), np.float32, 1)  # 3 samples, 7 blocks
    for stride in (1, (1, 2)):
        np.testing.assert_array_equal(
            kernels.conv(x, w, padding=1, stride=stride, method="im2col"),
            kernels.conv(x, w, padding=1, stride=stride, method="taps"),
        )
    deep, thin = (
        integers((3, 300, 9, 10), np.float32),
        integers((5, 300, 3, 3), np.float32, 1),
    )  # some channels at a time
    for count in (1, 3):
        np.testing.assert_array_equal(
            kernels.conv(deep[:count], thin, padding=1), kernels.conv(deep[:count], thin, padding=1, method="taps")
        )
    many = integers((2, 96, 40, 50), np.float32)  # long rows: some of the groups, and of the rows, at a time
    few = integers((96, 3, 3, 3), np.float32, 1)
    np.testing.assert_array_equal(
        kernels.conv(many, few, padding=1, groups=32), kernels.conv(many, few, padding=1, groups=32, method="taps")
    )
    wide = integers((2, 300, 3, 40), np.float32)  # depthwise: rows of 13 pixels, the last one shorter
    each = integers((300, 1, 3, 3), np.float32, 1)
    np.testing.assert_array_equal(
        kernels.conv(wide, each, groups=300), kernels.conv(wide, each, groups=300, method="taps")
    )


@law(st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple), st.integers(1, 50))
def test_blocks_cover_the_grid_once_in_its_order(counts: tuple[int, ...], most: int) -> None:
    grid = np.arange(prod(counts)).reshape(counts)
    parts = [grid[box].ravel() for box in blocks(counts, most)]
    assert all(part.size <= most for part in parts)
    np.testing.assert_array_equal(np.concatenate([*parts, []]), grid.ravel())


# --- worked examples


def test_the_matrix_of_a_2x2_kernel_on_a_3x3_input_is_4_by_9() -> None:
    x, w = np.arange(9.0).reshape(1, 1, 3, 3), np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    c = kernels.conv_matrix(w, axes((2, 2)), (3, 3))
    np.testing.assert_array_equal(
        c,
        [
            [1, 2, 0, 3, 4, 0, 0, 0, 0],
            [0, 1, 2, 0, 3, 4, 0, 0, 0],
            [0, 0, 0, 1, 2, 0, 3, 4, 0],
            [0, 0, 0, 0, 1, 2, 0, 3, 4],
        ],
    )
    y = kernels.conv(x, w)
    np.testing.assert_array_equal(c @ x.ravel(), y.ravel())
    np.testing.assert_array_equal((c.T @ y.ravel()).reshape(1, 1, 3, 3), kernels.conv_transpose(y, w))


@law(conv_cases())
def test_the_matrix_holds_padding_and_groups(case: Case) -> None:
    x, w, _ = arrays(case, np.int64)
    sliding = axes(case.kernel, stride=case.stride, padding=case.padding, dilation=case.dilation, negative_padding=True)
    c = kernels.conv_matrix(w, sliding, case.space, groups=case.groups)
    np.testing.assert_array_equal(
        (x.reshape(case.batch, c.shape[1]) @ c.T).reshape(case.y_shape),
        kernels.conv(x, w, **case.keywords, method="loops"),
    )


def test_a_large_matrix_is_refused() -> None:
    with pytest.raises(SpecError, match="the matrix would be 4900 x 5184"):
        kernels.conv(np.ones((1, 1, 72, 72)), np.ones((1, 1, 3, 3)), method="matrix")


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
def test_grouped_dilated_strided_padded_with_bias(method: str) -> None:
    torch = pytest.importorskip("torch")
    x, w, b = integers((2, 2, 5, 5), np.float32), integers((4, 1, 3, 3), np.float32, 1), integers((4,), np.float32, 2)
    y = kernels.conv(x, w, b, stride=2, padding=1, dilation=2, groups=2, method=method)
    assert y.shape == (2, 4, 2, 2)
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, w, b)), 2, 1, 2, 2)
    np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.parametrize(
    ("x", "weight", "keywords", "expected"),
    [
        ((32, 256, 15), (128, 256, 3), {}, (32, 128, 13)),
        ((16, 3, 4, 4), (4, 3, 3, 3), {"padding": 1, "stride": 2}, (16, 4, 2, 2)),
        ((1, 1, 5, 5), (1, 1, 3, 3), {}, (1, 1, 3, 3)),
        ((1, 1, 5, 5), (1, 1, 3, 3), {"dilation": 2}, (1, 1, 1, 1)),
        ((1, 3, 5, 5), (3, 1, 3, 3), {"padding": 1, "groups": 3}, (1, 3, 5, 5)),
        ((1, 3, 5, 5), (6, 3, 1, 1), {}, (1, 6, 5, 5)),
    ],
)
def test_textbook_shapes(
    x: tuple[int, ...], weight: tuple[int, ...], keywords: dict[str, Any], expected: tuple[int, ...]
) -> None:
    y = kernels.conv(np.ones(x), np.ones(weight), **keywords)
    assert y.shape == expected
    assert y.max() == prod(weight[1:])
