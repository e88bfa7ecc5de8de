"""Laws of the transposed convolution, true for every method."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import WORK_DTYPES, Case, integers, law, stuffed, transposed_cases

from convcli import kernels
from convcli.errors import SpecError
from convcli.kernels.windows import last

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

METHODS = kernels.METHODS["conv_transpose"]
FAST = [name for name in METHODS if name != "loops"]


def arrays(case: Case, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    weight = integers((case.groups * case.channels, case.outs, *case.kernel), dtype, 1)
    return integers(case.x_shape, dtype), weight, integers((case.groups * case.outs,), dtype, 2)


@law(transposed_cases(), st.sampled_from(WORK_DTYPES))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, dtype: Any) -> None:
    x, w, b = arrays(case, dtype)
    expected = kernels.conv_transpose(x, w, b, **case.keywords, method="loops")
    assert expected.shape == case.y_shape
    for method in FAST:
        y = kernels.conv_transpose(x, w, b, **case.keywords, method=method)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected, err_msg=method)


@pytest.mark.torch
@law(transposed_cases(negative=False))
def test_torch_agrees_exactly(case: Case) -> None:
    torch = pytest.importorskip("torch")
    padding = tuple((min(pair),) * 2 for pair in case.padding)
    case = replace(case, channels=case.channels + 1, padding=padding)
    x, w, b = arrays(case)
    transpose = getattr(torch.nn.functional, f"conv_transpose{len(case.kernel)}d")
    before, extra = [pair[0] for pair in case.padding], case.output_padding
    expected = transpose(*map(torch.from_numpy, (x, w, b)), case.stride, before, extra, case.groups, case.dilation)
    for method in METHODS:
        y = kernels.conv_transpose(x, w, b, **case.keywords, method=method)
        np.testing.assert_array_equal(y, expected.numpy(), err_msg=method)


@law(transposed_cases())
def test_it_is_the_adjoint_of_the_convolution(case: Case) -> None:
    case = replace(case, channels=case.channels + 1)
    g, w, _ = arrays(case, np.int64)
    x = integers(case.y_shape, np.int64, 3)
    # output_padding stands for what the convolution's floor leaves over; from the stride on it has more outputs
    forward = {key: value for key, value in case.keywords.items() if key != "output_padding"}
    y = kernels.conv(x, w, **forward)[last(*[slice(0, size) for size in case.space])]
    assert y.shape == g.shape
    for method in METHODS:
        assert np.vdot(y, g) == np.vdot(x, kernels.conv_transpose(g, w, **case.keywords, method=method))


@law(transposed_cases())
def test_groups_are_split_and_concat(case: Case) -> None:
    x, w, b = arrays(case)
    keywords = {**case.keywords, "groups": 1}
    split = zip(*(np.split(array, case.groups, axis) for array, axis in ((x, 1), (w, 0), (b, 0))), strict=True)
    parts = [kernels.conv_transpose(*part, **keywords) for part in split]
    np.testing.assert_array_equal(kernels.conv_transpose(x, w, b, **case.keywords), np.concatenate(parts, axis=1))


@law(transposed_cases())
def test_dilated_is_a_zero_stuffed_kernel(case: Case) -> None:
    extra = tuple(min(op, s - 1) for op, s in zip(case.output_padding, case.stride, strict=True))
    padding = tuple((min(0, a), min(0, b)) for a, b in case.padding)
    case = replace(case, output_padding=extra, padding=padding)
    x, w, b = arrays(case)
    wide = kernels.conv_transpose(x, stuffed(w, case.dilation), b, **{**case.keywords, "dilation": 1})
    np.testing.assert_array_equal(kernels.conv_transpose(x, w, b, **case.keywords), wide)


@law(transposed_cases(negative=False))
def test_the_output_is_the_full_one_cropped(case: Case) -> None:
    x, w, b = arrays(case)
    sliding: dict[str, Any] = {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}
    full = kernels.conv_transpose(x, w, b, **sliding)
    y = kernels.conv_transpose(x, w, b, **case.keywords)
    grown = [(0, max(0, extra - after)) for extra, (_, after) in zip(case.output_padding, case.padding, strict=True)]
    bias = b.reshape(-1, *(1,) * len(case.out))
    wide = np.pad(full - bias, [(0, 0), (0, 0), *grown]) + bias  # the bias is added where no product lands, too
    box = [slice(before, before + out) for (before, _), out in zip(case.padding, case.out, strict=True)]
    np.testing.assert_array_equal(y, wide[last(*box)])


@pytest.mark.parametrize("method", METHODS)
def test_the_output_padding_strip_holds_products_and_the_bias(method: str) -> None:
    x, w, b = np.ones((1, 1, 2)), np.array([[[1.0, 2.0, 4.0]]]), np.array([10.0])
    y = kernels.conv_transpose(x, w, b, stride=2, padding=1, output_padding=1, method=method)
    assert y.tolist() == [[[12, 15, 12, 14]]]
    zeros_after = kernels.conv_transpose(x, w, b, stride=2, output_padding=1, method=method)
    assert zeros_after.tolist() == [[[11, 12, 15, 12, 14, 10]]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kernel", "padding"),
    [(1, "same_upper"), (2, "same_lower"), (3, "same_upper"), (4, "same_lower"), (5, "same_upper")],
)
def test_onnx_same_gives_size_times_stride(method: str, kernel: int, padding: str) -> None:
    x, w = integers((1, 2, 4), np.float32), integers((2, 3, kernel), np.float32, 1)
    y = kernels.conv_transpose(x, w, stride=3, padding=padding, method=method)
    total = kernel - 3
    before = total // 2 if padding == "same_upper" else total - total // 2
    assert y.shape == (1, 3, 12)
    np.testing.assert_array_equal(
        y, kernels.conv_transpose(x, w, stride=3, padding=((before, total - before),), method="loops")
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_empty_batch_and_no_channels(method: str) -> None:
    x, w, b = integers((2, 3, 4, 4), np.float32), integers((3, 2, 3, 3), np.float32, 1), integers((2,), np.float32, 2)
    with_batch = kernels.conv_transpose(x, w, b, method=method)
    np.testing.assert_array_equal(kernels.conv_transpose(x[0], w, b, method=method), with_batch[0])
    assert kernels.conv_transpose(x[:0], w, b, method=method).shape == (0, 2, 6, 6)
    bare = kernels.conv_transpose(x[:, :0], w[:0], b, method=method)
    np.testing.assert_array_equal(bare, np.broadcast_to(b[:, None, None], (2, 2, 6, 6)))


@pytest.mark.parametrize("method", METHODS)
def test_views_are_read_right_and_left_alone(method: str) -> None:
    x, w = integers((6, 5, 4, 2), np.float32).T[:, ::2, ::-1], integers((3, 3, 2, 2), np.float32).swapaxes(0, 1)[:2]
    x_before, w_before = x.copy(), w.copy()
    x.flags.writeable = w.flags.writeable = False
    y = kernels.conv_transpose(x, w, stride=2, padding=1, method=method)
    np.testing.assert_array_equal(y, kernels.conv_transpose(x_before, w_before, stride=2, padding=1, method="loops"))
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(w, w_before)


@pytest.mark.parametrize(
    ("x", "weight", "stride", "expected"),
    [((1, 1, 3, 3), (1, 3, 2, 2), 1, (1, 3, 4, 4)), ((1, 3, 3, 3), (3, 3, 2, 2), 2, (1, 3, 6, 6))],
)
def test_textbook_shapes(x: tuple[int, ...], weight: tuple[int, ...], stride: int, expected: tuple[int, ...]) -> None:
    y = kernels.conv_transpose(np.ones(x), np.ones(weight), stride=stride)
    assert y.shape == expected
    assert y.sum() == np.prod(x) * np.prod(weight[1:])  # every product lands somewhere


def test_all_ones_count_the_products_kept() -> None:
    x, w = np.ones((1, 16, 10, 10)), np.ones((16, 8, 3, 3))
    assert kernels.conv_transpose(x, w).sum() == 115200
    assert kernels.conv_transpose(x, w, stride=2, padding=1, output_padding=1).sum() == 107648


def test_many_blocks_join_without_a_seam() -> None:
    x, w = integers((2, 20, 17, 19), np.float32), integers((20, 30, 4, 4), np.float32, 1)
    found = [
        kernels.conv_transpose(x, w, stride=2, padding=1, method=method)
        for method in ("scatter", "phases", "zero_insertion")
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_what_no_transposed_layer_can_be() -> None:
    x, w = np.ones((1, 1, 3)), np.ones((1, 1, 2))
    with pytest.raises(SpecError, match="output_padding=2 is too large"):
        kernels.conv_transpose(x, w, stride=2, output_padding=2)
    with pytest.raises(SpecError, match="would have 0 cells"):
        kernels.conv_transpose(x, w, padding=2)
    with pytest.raises(SpecError, match="the matrix would be"):
        kernels.conv_transpose(np.ones((1, 1, 72, 72)), np.ones((1, 1, 3, 3)), method="matrix")
