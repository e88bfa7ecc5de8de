"""Laws of the convolution's gradients, true for every method."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import WORK_DTYPES, Case, conv_cases, integers, law

from convcli import kernels
from convcli.errors import SpecError
from convcli.kernels.windows import last

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

METHODS = kernels.METHODS["conv_backward"]
FAST = [name for name in METHODS if name != "loops"]
MODES = st.sampled_from(("zeros", "reflect", "replicate", "circular"))


def arrays(case: Case, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    """(dy, x, weight)"""
    weight = integers((case.groups * case.outs, case.channels, *case.kernel), dtype, 1)
    return integers(case.y_shape, dtype, 2), integers(case.x_shape, dtype), weight


def with_mode(case: Case, mode: str) -> tuple[Case, dict[str, Any]]:
    """The layer with a padding mode, its input as large and its padding as positive as the mode needs."""
    if mode == "zeros":
        return case, case.keywords
    padding = tuple((max(0, before), max(0, after)) for before, after in case.padding)
    case = replace(case, space=tuple(size + 3 for size in case.space), padding=padding)
    keywords = {**case.keywords, "padding_mode": mode}
    x, weight = np.zeros(case.x_shape), np.zeros((case.groups * case.outs, case.channels, *case.kernel))
    return replace(case, out=kernels.conv(x, weight, **keywords).shape[2:]), keywords


def assert_same(found: tuple[Array, ...], expected: tuple[Array, ...], method: str = "") -> None:
    for name, one, other in zip(("dx", "dw", "db"), found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=f"{name} {method}")


@law(conv_cases(), MODES, st.sampled_from(WORK_DTYPES))
def test_every_method_equals_the_loops_bit_for_bit(case: Case, mode: str, dtype: Any) -> None:
    case, keywords = with_mode(case, mode)
    dy, x, w = arrays(case, dtype)
    expected = kernels.conv_backward(dy, x, w, **keywords, method="loops")
    assert [array.shape for array in expected] == [x.shape, w.shape, w.shape[:1]]
    for method in FAST:
        found = kernels.conv_backward(dy, x, w, **keywords, method=method)
        assert {array.dtype for array in found} == {np.dtype(dtype)}
        assert_same(found, expected, method)


@pytest.mark.torch
@law(conv_cases(negative=False), MODES, st.sampled_from((np.float32, np.float64)))
def test_torch_agrees_exactly(case: Case, mode: str, dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    case, keywords = with_mode(replace(case, batch=case.batch + 1, channels=case.channels + 1), mode)
    dy, x, w = arrays(case, dtype)
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, w, np.zeros(len(w), dtype))]
    pads = [pad for pair in reversed(case.padding) for pad in pair]
    wide = torch.nn.functional.pad(tensors[0], pads, mode="constant" if mode == "zeros" else mode)
    convolve = getattr(torch.nn.functional, f"conv{len(case.kernel)}d")
    y = convolve(wide, *tensors[1:], case.stride, 0, case.dilation, case.groups)
    expected = tuple(gradient.numpy() for gradient in torch.autograd.grad(y, tensors, torch.from_numpy(dy)))
    for method in METHODS:
        assert_same(kernels.conv_backward(dy, x, w, **keywords, method=method), expected, method)


@law(conv_cases(), MODES)
def test_the_adjoint_identity(case: Case, mode: str) -> None:
    case, keywords = with_mode(case, mode)
    dy, x, w = arrays(case, np.int64)
    product = np.vdot(kernels.conv(x, w, **keywords), dy)
    for method in METHODS:
        dx, dw, db = kernels.conv_backward(dy, x, w, **keywords, method=method)
        assert np.vdot(x, dx) == product
        assert np.vdot(w, dw) == product
        assert db.tolist() == [int(dy[:, o].sum()) for o in range(len(w))]


@law(conv_cases())
def test_the_gradients_are_linear_in_dy(case: Case) -> None:
    dy, x, w = arrays(case)
    more = integers(case.y_shape, np.float32, 7)
    parts = [kernels.conv_backward(g, x, w, **case.keywords) for g in (dy, more)]
    whole = kernels.conv_backward(dy + 2 * more, x, w, **case.keywords)
    assert_same(whole, tuple(one + 2 * other for one, other in zip(*parts, strict=True)))


@law(conv_cases())
def test_groups_are_split_and_concat(case: Case) -> None:
    dy, x, w = arrays(case)
    split = zip(*(np.split(array, case.groups, axis) for array, axis in ((dy, 1), (x, 1), (w, 0))), strict=True)
    parts = zip(*(kernels.conv_backward(*part, **{**case.keywords, "groups": 1}) for part in split), strict=True)
    expected = tuple(np.concatenate(part, axis) for part, axis in zip(parts, (1, 0, 0), strict=True))
    for method in METHODS:
        assert_same(kernels.conv_backward(dy, x, w, **case.keywords, method=method), expected, method)


@law(conv_cases(), st.integers(1, 2))
def test_a_cropped_cell_has_no_gradient(case: Case, cut: int) -> None:
    case = replace(case, padding=((0, 0),) * len(case.kernel))
    space = tuple((o - 1) * s + d * (k - 1) + 1 for o, s, d, k in _axes(case))
    dy, x, w = arrays(replace(case, space=tuple(size + 2 * cut for size in space)))
    inner = last(*[slice(cut, cut + size) for size in space])
    keywords = {key: value for key, value in case.keywords.items() if key != "padding"}
    crop = [(-cut, -cut)] * len(space)
    for method in METHODS:
        dx, dw, db = kernels.conv_backward(dy, x, w, padding=crop, **keywords, method=method)
        assert_same((dx[inner], dw, db), kernels.conv_backward(dy, x[inner], w, **keywords, method=method))
        dx[inner] = 0
        assert not dx.any()


def _axes(case: Case) -> zip[tuple[int, ...]]:
    return zip(case.out, case.stride, case.dilation, case.kernel, strict=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("mode", "expected"),
    [("zeros", [1, 2, 4]), ("reflect", [1, 10, 4]), ("replicate", [1, 2, 12]), ("circular", [9, 2, 4])],
)
def test_padding_gives_its_gradient_to_the_cell_it_copies(method: str, mode: str, expected: list[int]) -> None:
    dy, x, w = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.zeros((1, 1, 3)), np.ones((1, 1, 1))
    dx, _, _ = kernels.conv_backward(dy, x, w, padding=((0, 1),), padding_mode=mode, method=method)
    assert dx.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("padding", "stride", "pairs"),
    [
        ("same_upper", 2, ((0, 1), (0, 1))),
        ("same_lower", 2, ((1, 0), (1, 0))),
        ("same", 1, ((0, 1), (1, 1))),
        ("valid", 1, ((0, 0), (0, 0))),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_words_for_padding(method: str, padding: str, stride: int, pairs: Any) -> None:
    x, w = integers((1, 2, 5, 6), np.float32), integers((3, 2, 2, 3), np.float32, 1)
    dy = integers(kernels.conv(x, w, stride=stride, padding=padding).shape, np.float32, 2)
    found = kernels.conv_backward(dy, x, w, stride=stride, padding=padding, method=method)
    assert_same(found, kernels.conv_backward(dy, x, w, stride=stride, padding=pairs, method="loops"))


@pytest.mark.parametrize("method", METHODS)
def test_no_batch_empty_batch_and_no_channels(method: str) -> None:
    x, w = integers((2, 3, 4, 4), np.float32), integers((2, 3, 3, 3), np.float32, 1)
    dy = integers((2, 2, 2, 2), np.float32, 2)
    dx, dw, db = kernels.conv_backward(dy[0], x[0], w, method=method)
    assert_same((dx[None], dw, db), kernels.conv_backward(dy[:1], x[:1], w, method=method))
    dx, dw, db = kernels.conv_backward(dy[:0], x[:0], w, method=method)
    assert dx.shape == (0, 3, 4, 4)
    assert not dw.any()
    assert not db.any()
    dx, dw, db = kernels.conv_backward(dy, x[:, :0], w[:, :0], method=method)
    assert (dx.shape, dw.shape) == ((2, 0, 4, 4), (2, 0, 3, 3))
    np.testing.assert_array_equal(db, dy.sum((0, 2, 3)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (2, 1), (4, 1), (4, 2)])
def test_views_are_read_right_and_left_alone(method: str, groups: int, stride: int) -> None:
    x, w = integers((6, 8, 4, 2), np.float32).T[:, :, ::-1], integers((3, 3, 4, 4), np.float32).T[:, : 4 // groups]
    keywords: dict[str, Any] = {"stride": stride, "padding": 1, "groups": groups}
    dy = integers(kernels.conv(x, w, **keywords).shape[::-1], np.float32, 2).T
    given = [dy, x, w]
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    found = kernels.conv_backward(*given, **keywords, method=method)
    assert_same(found, kernels.conv_backward(*before, **keywords, method="loops"))
    assert all(array.flags.writeable for array in found)
    assert not any(np.shares_memory(one, other) for one in found for other in given)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("method", METHODS)
def test_integers_are_exact_beyond_float64_and_wrap_as_their_dtype_does(method: str) -> None:
    dy, x, w = np.array([[1, 1]]), np.array([[2**53 + 1, 1, 0]]), np.array([[[2**63 - 1, 1]]])
    dx, dw, _ = kernels.conv_backward(dy, x, w, method=method)
    assert dx.tolist() == [[2**63 - 1, -(2**63), 1]]
    assert dw.tolist() == [[[2**53 + 2, 1]]]
    bytes_ = np.array([[200, 100]], np.uint8)
    assert kernels.conv_backward(bytes_, np.ones_like(bytes_), np.ones((1, 1, 1), np.uint8), method=method)[2] == 44


@pytest.mark.parametrize("method", METHODS)
def test_float16_is_summed_in_float32(method: str) -> None:
    ones = np.ones((1, 1, 3000), np.float16)  # a float16 sum of ones stops at 2048
    found = kernels.conv_backward(ones, ones, ones[..., :1], method=method)
    assert [array.dtype for array in found] == [np.float16] * 3
    assert [found[1].item(), found[2].item()] == [3000, 3000]
    dx, _, _ = kernels.conv_backward(ones[..., :1], ones[..., :3], ones[..., :3], method=method)
    assert dx.tolist() == [[[1, 1, 1]]]


@pytest.mark.parametrize("method", METHODS)
def test_overflow_and_nan_are_silent(method: str) -> None:
    x, w, dy = np.full((2, 3), 6e4, np.float16), np.ones((2, 1, 2), np.float16), np.full((2, 2), 6e4, np.float16)
    dx, dw, db = kernels.conv_backward(dy, x, w, groups=2, method=method)
    assert np.isinf(dx[:, 1]).all()
    assert np.isinf(dw).all()
    assert np.isinf(db).all()
    dy[0] = np.nan
    assert np.isnan(kernels.conv_backward(dy, x, w, groups=2, method=method)[1][0]).all()


def test_many_blocks_join_without_a_seam() -> None:
    x, w = integers((3, 40, 23, 31), np.float32), integers((6, 40, 3, 3), np.float32, 1)  # 3 samples, 7 blocks
    for stride in (1, (1, 2)):
        dy = integers(kernels.conv(x, w, padding=1, stride=stride).shape, np.float32, 2)
        found = [kernels.conv_backward(dy, x, w, padding=1, stride=stride, method=method) for method in FAST]
        for other in found[1:]:
            assert_same(other, found[0])


@pytest.mark.parametrize("method", ["auto", "im2col", "flipped"])
def test_a_dense_layer_takes_the_padded_input_and_a_bounded_buffer(method: str) -> None:
    x, w = np.ones((1, 64, 224, 224), np.float32), np.ones((64, 64, 3, 3), np.float32)
    tracemalloc.start()
    found = kernels.conv_backward(x, x, w, padding=1, method=method)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 64 * 226 * 226 * 4 + sum(array.nbytes for array in found) + 4 * 2**20


@pytest.mark.parametrize(
    ("field", "dy", "words"),
    [
        ("dy", np.ones((1, 4, 2, 3)), ("(1, 4, 2, 3)", "(1, 4, 2, 2)")),
        ("dy", np.ones((1, 2, 4, 2)), ("(1, 2, 4, 2)", "(1, 4, 2, 2)")),
        ("dy", np.ones((4, 2, 2)), ("(4, 2, 2)", "(1, 4, 2, 2)")),
        ("dy", np.ones((2, 4, 2, 2)), ("(2, 4, 2, 2)", "(1, 4, 2, 2)")),
        ("dy", np.ones((1, 4, 2, 2), np.float32), ("float32", "float64")),
    ],
)
def test_a_wrong_dy_is_named(field: str, dy: Array, words: tuple[str, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        kernels.conv_backward(dy, np.ones((1, 2, 4, 4)), np.ones((4, 2, 3, 3)))
    assert caught.value.problems[0].path == (field,)
    assert all(word in str(caught.value) for word in words)


# --- worked examples


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_in_the_weight_counts_the_positions(method: str) -> None:
    ones = np.ones((1, 1, 4, 5))
    dx, dw, db = kernels.conv_backward(ones, ones, np.ones((1, 1, 3, 3)), padding=1, method=method)
    np.testing.assert_array_equal(dw[0, 0], [[12, 15, 12], [16, 20, 16], [12, 15, 12]])
    np.testing.assert_array_equal(dx[0, 0], np.outer([2, 3, 3, 2], [2, 3, 3, 3, 2]))
    assert db.tolist() == [20]


@pytest.mark.torch
@pytest.mark.parametrize("method", METHODS)
def test_grouped_dilated_strided_padded(method: str) -> None:
    torch = pytest.importorskip("torch")
    x, w, dy = (integers(shape, np.float32, i) for i, shape in enumerate(((2, 2, 5, 5), (4, 1, 3, 3), (2, 4, 2, 2))))
    sliding = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, w, np.zeros(4, np.float32))]
    y = torch.nn.functional.conv2d(*tensors, **sliding)
    expected = torch.autograd.grad(y, tensors, torch.from_numpy(dy))
    found = kernels.conv_backward(dy, x, w, **sliding, method=method)  # type: ignore[arg-type]
    assert_same(found, tuple(gradient.numpy() for gradient in expected))
