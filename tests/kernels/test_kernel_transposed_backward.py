"""Laws of the transposed convolution's gradients, true for every method."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import WORK_DTYPES, Case, integers, law, transposed_cases

from convcli import kernels
from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

METHODS = kernels.METHODS["conv_transpose_backward"]
FAST = [name for name in METHODS if name != "loops"]


def arrays(case: Case, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    """(dy, x, weight)"""
    weight = integers((case.groups * case.channels, case.outs, *case.kernel), dtype, 1)
    return integers(case.y_shape, dtype, 2), integers(case.x_shape, dtype), weight


def assert_same(found: tuple[Array, ...], expected: tuple[Array, ...], method: str = "") -> None:
    for name, one, other in zip(("dx", "dw", "db"), found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=f"{name} {method}")


@law(transposed_cases(), st.sampled_from(WORK_DTYPES))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, dtype: Any) -> None:
    dy, x, w = arrays(case, dtype)
    expected = kernels.conv_transpose_backward(dy, x, w, **case.keywords, method="loops")
    assert [array.shape for array in expected] == [x.shape, w.shape, (case.groups * case.outs,)]
    for method in FAST:
        found = kernels.conv_transpose_backward(dy, x, w, **case.keywords, method=method)
        assert {array.dtype for array in found} == {np.dtype(dtype)}
        assert_same(found, expected, method)


@pytest.mark.torch
@law(transposed_cases(negative=False), st.sampled_from((np.float32, np.float64)))
def test_torch_agrees_exactly(case: Case, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    before = tuple(min(pair) for pair in case.padding)
    grown = tuple(out + sum(pair) - 2 * a for out, pair, a in zip(case.out, case.padding, before, strict=True))
    padding = tuple((a, a) for a in before)
    case = replace(case, batch=case.batch + 1, channels=case.channels + 1, padding=padding, out=grown)
    dy, x, w = arrays(case, dtype)
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, w, np.zeros(dy.shape[1], dtype))]
    transpose = getattr(torch.nn.functional, f"conv_transpose{len(case.kernel)}d")
    y = transpose(*tensors, case.stride, before, case.output_padding, case.groups, case.dilation)
    expected = tuple(gradient.numpy() for gradient in torch.autograd.grad(y, tensors, torch.from_numpy(dy)))
    for method in METHODS:
        assert_same(kernels.conv_transpose_backward(dy, x, w, **case.keywords, method=method), expected, method)


@law(transposed_cases())
def test_the_adjoint_identity(case: Case) -> None:
    dy, x, w = arrays(case, np.int64)
    product = np.vdot(kernels.conv_transpose(x, w, **case.keywords), dy)
    for method in METHODS:
        dx, dw, db = kernels.conv_transpose_backward(dy, x, w, **case.keywords, method=method)
        assert np.vdot(x, dx) == product
        assert np.vdot(w, dw) == product
        assert db.tolist() == [int(dy[:, o].sum()) for o in range(dy.shape[1])]


@law(transposed_cases())
def test_the_gradients_are_linear_in_dy(case: Case) -> None:
    dy, x, w = arrays(case)
    more = integers(case.y_shape, np.float32, 7)
    parts = [kernels.conv_transpose_backward(g, x, w, **case.keywords) for g in (dy, more)]
    whole = kernels.conv_transpose_backward(dy + 2 * more, x, w, **case.keywords)
    assert_same(whole, tuple(one + 2 * other for one, other in zip(*parts, strict=True)))


@law(transposed_cases())
def test_groups_are_split_and_concat(case: Case) -> None:
    dy, x, w = arrays(case)
    keywords = {**case.keywords, "groups": 1}
    split = zip(*(np.split(array, case.groups, axis) for array, axis in ((dy, 1), (x, 1), (w, 0))), strict=True)
    parts = zip(*(kernels.conv_transpose_backward(*part, **keywords) for part in split), strict=True)
    expected = tuple(np.concatenate(part, axis) for part, axis in zip(parts, (1, 0, 0), strict=True))
    for method in METHODS:
        assert_same(kernels.conv_transpose_backward(dy, x, w, **case.keywords, method=method), expected, method)


@law(transposed_cases(), st.data())
def test_the_gradient_of_the_gradient_is_the_layer(case: Case, data: st.DataObject) -> None:
    """Of y = C^T x, dx = C dy; that convolution's own gradient in dy is C^T again."""
    extra = tuple(min(op, s - 1) for op, s in zip(case.output_padding, case.stride, strict=True))
    shrunk = [out - op + e for out, op, e in zip(case.out, case.output_padding, extra, strict=True)]
    if min(shrunk) < 1:
        padding = tuple((min(0, a), min(0, b)) for a, b in case.padding)
        case = replace(case, padding=padding)
    case = replace(case, channels=case.channels + 1, output_padding=extra)
    _, x, w = arrays(case)
    y = kernels.conv_transpose(x, w, **case.keywords)
    keywords = {key: value for key, value in case.keywords.items() if key != "output_padding"}
    method = data.draw(st.sampled_from(kernels.METHODS["conv_backward"]))
    np.testing.assert_array_equal(kernels.conv_backward(x, np.zeros_like(y), w, **keywords, method=method)[0], y)


@pytest.mark.parametrize("method", METHODS)
def test_the_output_padding_strip_counts_in_the_bias(method: str) -> None:
    dy, x, w = np.array([[[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]]]), np.array([[[1.0, 10.0]]]), np.ones((1, 1, 3))
    dx, dw, db = kernels.conv_transpose_backward(dy, x, w, stride=2, output_padding=1, method=method)
    assert dx.tolist() == [[[7, 28]]]  # the last cell gets no product
    assert dw.tolist() == [[[41, 82, 164]]]
    assert db.tolist() == [63]
    dx, _, db = kernels.conv_transpose_backward(dy[..., :4], x, w, stride=2, padding=1, output_padding=1, method=method)
    assert dx.tolist() == [[[3, 14]]]  # with padding the strip holds the products that it gave back
    assert db.tolist() == [15]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kernel", "padding"),
    [(1, "same_upper"), (2, "same_lower"), (3, "same_upper"), (4, "same_lower"), (5, "same_upper")],
)
def test_onnx_same(method: str, kernel: int, padding: str) -> None:
    x, w, dy = (integers(shape, np.float32, i) for i, shape in enumerate(((1, 2, 4), (2, 3, kernel), (1, 3, 12))))
    total = kernel - 3
    before = total // 2 if padding == "same_upper" else total - total // 2
    assert_same(
        kernels.conv_transpose_backward(dy, x, w, stride=3, padding=padding, method=method),
        kernels.conv_transpose_backward(dy, x, w, stride=3, padding=((before, total - before),), method="loops"),
    )


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_empty_batch_and_no_channels(method: str) -> None:
    x, w = integers((2, 3, 4, 4), np.float32), integers((3, 2, 3, 3), np.float32, 1)
    dy = integers((2, 2, 6, 6), np.float32, 2)
    dx, dw, db = kernels.conv_transpose_backward(dy[0], x[0], w, method=method)
    assert_same((dx[None], dw, db), kernels.conv_transpose_backward(dy[:1], x[:1], w, method=method))
    dx, dw, db = kernels.conv_transpose_backward(dy[:0], x[:0], w, method=method)
    assert dx.shape == (0, 3, 4, 4)
    assert not dw.any()
    assert not db.any()
    dx, dw, db = kernels.conv_transpose_backward(dy, x[:, :0], w[:0], method=method)
    assert (dx.shape, dw.shape) == ((2, 0, 4, 4), (0, 2, 3, 3))
    np.testing.assert_array_equal(db, dy.sum((0, 2, 3)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_views_are_read_right_and_left_alone(method: str, groups: int) -> None:
    x, w = integers((6, 8, 4, 2), np.float32).T[:, :, ::-1], integers((3, 3, 4, 4), np.float32).T[:, : 4 // groups]
    keywords: dict[str, Any] = {"stride": 2, "padding": 1, "groups": groups}
    dy = integers(kernels.conv_transpose(x, w, **keywords).shape[::-1], np.float32, 2).T
    given = [dy, x, w]
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    found = kernels.conv_transpose_backward(*given, **keywords, method=method)
    assert_same(found, kernels.conv_transpose_backward(*before, **keywords, method="loops"))
    assert all(array.flags.writeable for array in found)
    assert not any(np.shares_memory(one, other) for one in found for other in given)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_many_blocks_join_without_a_seam() -> None:
    x, w = integers((2, 20, 17, 19), np.float32), integers((20, 30, 4, 4), np.float32, 1)
    dy = integers((2, 30, 34, 38), np.float32, 2)
    found = [kernels.conv_transpose_backward(dy, x, w, stride=2, padding=1, method=method) for method in FAST]
    for other in found[1:]:
        assert_same(other, found[0])


def test_it_takes_the_padded_gradient_and_a_bounded_buffer() -> None:
    x, w = np.ones((1, 64, 64, 64), np.float32), np.ones((64, 64, 4, 4), np.float32)
    dy = np.ones((1, 64, 128, 128), np.float32)
    tracemalloc.start()
    found = kernels.conv_transpose_backward(dy, x, w, stride=2, padding=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 64 * 130 * 130 * 4 + sum(array.nbytes for array in found) + 4 * 2**20


def test_a_wrong_dy_is_named() -> None:
    x, w = np.ones((1, 2, 4, 4)), np.ones((2, 3, 2, 2))
    with pytest.raises(SpecError, match=r"\(1, 2, 5, 5\).*\(1, 3, 5, 5\)") as caught:
        kernels.conv_transpose_backward(np.ones((1, 2, 5, 5)), x, w)
    assert caught.value.problems[0].path == ("dy",)
    with pytest.raises(SpecError, match="dy is float32, x is float64"):
        kernels.conv_transpose_backward(np.ones((1, 3, 5, 5), np.float32), x, w)


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_in_the_weight_counts_the_products_kept(method: str) -> None:
    x, dy, w = np.ones((1, 2, 10, 10)), np.ones((1, 3, 20, 20)), np.ones((2, 3, 3, 3))
    _, dw, _ = kernels.conv_transpose_backward(dy, x, w, stride=2, padding=1, output_padding=1, method=method)
    np.testing.assert_array_equal(dw[0, 0], [[81, 90, 90], [90, 100, 100], [90, 100, 100]])
