"""Laws of deformable RoI pooling, true for every method: against torchvision, against boxes that moved, the loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli import SpecError, kernels

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from convcli.kernels.arguments import Array

METHODS = kernels.METHODS["deform_roi_pool"]
GRADIENTS = kernels.METHODS["deform_roi_pool_backward"]


class Call(NamedTuple):
    """x (N, C, H, W), boxes, offsets, masks, dy, and the keywords."""

    x: Array
    rois: Array
    offset: Array
    mask: Array
    dy: Array
    keywords: dict[str, Any]


@st.composite
def calls(draw: DrawFn) -> Call:
    """Boxes on the input, beside it, empty and reversed; offsets that move bins out of it."""
    images, channels, height, width = (draw(st.integers(1, most)) for most in (3, 3, 7, 7))
    regions, rows, columns = draw(st.integers(0, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    ratio, scale = draw(st.integers(0, 3)), draw(st.sampled_from([1.0, 0.5, 0.3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    least = 0 if ratio == 0 else -3  # torchvision refuses boxes of a negative number of samples
    corner, size = rng.uniform(-6, 12, (regions, 2)) / scale, rng.uniform(least, 12, (regions, 2)) / scale
    rois = np.column_stack((rng.integers(0, images, regions), corner, corner + size)).reshape(regions, 5)
    bins = (rows, columns)
    return Call(
        rng.standard_normal((images, channels, height, width)),
        rois,
        rng.standard_normal((regions, 2, *bins)) * 3,
        rng.random((regions, 1, *bins)),
        rng.standard_normal((regions, channels, *bins)),
        {
            "output_size": bins,
            "sampling_ratio": ratio,
            "spatial_scale": scale,
            "gamma": draw(st.sampled_from([0.1, -0.7])),
        },
    )


def aligned(call: Call, rois: Array) -> tuple[Array, Array]:
    """torchvision's RoIAlign, and the gradient of its input."""
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    x, ratio = torch.from_numpy(call.x).requires_grad_(), call.keywords["sampling_ratio"] or -1
    size, scale = call.keywords["output_size"], call.keywords["spatial_scale"]
    y = ops.roi_align(x, torch.from_numpy(np.ascontiguousarray(rois)), size, scale, ratio, aligned=True)
    y.backward(torch.from_numpy(call.dy))
    return y.detach().numpy(), x.grad.numpy()


@pytest.mark.torch
@given(calls())
def test_without_offsets_and_at_zero_offsets_it_is_roi_align(call: Call) -> None:
    expected, gradient = aligned(call, call.rois)
    for method in METHODS:
        for offset in (None, np.zeros_like(call.offset)):
            y = kernels.deform_roi_pool(call.x, call.rois, offset, **call.keywords, method=method)
            np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-11)
            found = kernels.deform_roi_pool_backward(call.dy, call.x, call.rois, offset, **call.keywords, method=method)
            np.testing.assert_allclose(found[0], gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.torch
@given(calls())
def test_a_uniform_offset_is_a_box_that_moved(call: Call) -> None:
    """By gamma * size * offset, in every bin alike."""
    move = call.offset[:, :, :1, :1]
    size = call.rois[:, 3:] - call.rois[:, 1:3]
    rois = call.rois.copy()
    rois[:, 1:] += np.tile(call.keywords["gamma"] * size * move[..., 0, 0], 2)
    expected, gradient = aligned(call, rois)
    offset = np.broadcast_to(move, call.offset.shape)
    for method in METHODS:
        y = kernels.deform_roi_pool(call.x, call.rois, offset, **call.keywords, method=method)
        np.testing.assert_allclose(y, expected, rtol=1e-7, atol=1e-9)
        found = kernels.deform_roi_pool_backward(call.dy, call.x, call.rois, offset, **call.keywords, method=method)
        np.testing.assert_allclose(found[0], gradient, rtol=1e-7, atol=1e-9)


@given(calls())
def test_every_method_equals_the_loops(call: Call) -> None:
    given = (call.x, call.rois, call.offset, call.mask)
    expected = kernels.deform_roi_pool(*given, **call.keywords, method="loops")
    gradients = kernels.deform_roi_pool_backward(call.dy, *given, **call.keywords, method="loops")
    for method in METHODS:
        y = kernels.deform_roi_pool(*given, **call.keywords, method=method)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-11)
    for method in GRADIENTS:
        found = kernels.deform_roi_pool_backward(call.dy, *given, **call.keywords, method=method)
        assert len(found) == 3
        for one, other in zip(found, gradients, strict=True):
            assert one is not None
            assert other is not None
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


@given(calls())
def test_the_mask_multiplies_and_its_gradient_is_the_plain_pool(call: Call) -> None:
    plain = kernels.deform_roi_pool(call.x, call.rois, call.offset, **call.keywords)
    masked = kernels.deform_roi_pool(call.x, call.rois, call.offset, call.mask, **call.keywords)
    np.testing.assert_allclose(masked, plain * call.mask, rtol=1e-12, atol=1e-14)
    *_, dmask = kernels.deform_roi_pool_backward(call.dy, call.x, call.rois, call.offset, call.mask, **call.keywords)
    np.testing.assert_allclose(dmask, (call.dy * plain).sum(axis=1, keepdims=True), rtol=1e-9, atol=1e-11)


@given(calls())
def test_the_adjoint_identity_holds(call: Call) -> None:
    """y is linear in x: <y, dy> = <x, dx>."""
    y = kernels.deform_roi_pool(call.x, call.rois, call.offset, call.mask, **call.keywords)
    dx, *_ = kernels.deform_roi_pool_backward(call.dy, call.x, call.rois, call.offset, call.mask, **call.keywords)
    assert (y * call.dy).sum() == pytest.approx((call.x * dx).sum(), rel=1e-9, abs=1e-9)


@given(calls(), st.integers(0, 2**32 - 1))
def test_the_gradient_of_the_offsets_is_the_slope(call: Call, seed: int) -> None:
    """Along a line of offsets, where no sample crosses a whole coordinate between both ends."""
    step, way = 1e-7, np.random.default_rng(seed).standard_normal(call.offset.shape)
    ends = [
        (kernels.deform_roi_pool(call.x, call.rois, call.offset + sign * step * way, **call.keywords) * call.dy).sum()
        for sign in (-1, 1)
    ]
    found = kernels.deform_roi_pool_backward(call.dy, call.x, call.rois, call.offset, **call.keywords)
    assert found[1] is not None
    assert (ends[1] - ends[0]) / (2 * step) == pytest.approx((found[1] * way).sum(), rel=1e-4, abs=1e-4)


@given(calls(), st.sampled_from([np.float16, np.float32]))
def test_layout_and_dtype(call: Call, dtype: Any) -> None:
    """Views are read through their strides; the result has the input's dtype."""
    arrays = [array.astype(dtype) for array in (call.x, call.rois, call.offset, call.mask)]
    views = [np.stack((array, array), axis=-1)[..., 0].transpose().copy().transpose() for array in arrays]
    y = kernels.deform_roi_pool(*arrays, **call.keywords)
    assert y.dtype == dtype
    np.testing.assert_array_equal(kernels.deform_roi_pool(*views, **call.keywords), y)
    dy = call.dy.astype(dtype)
    for one, other in zip(
        kernels.deform_roi_pool_backward(dy, *arrays, **call.keywords),
        kernels.deform_roi_pool_backward(dy, *views, **call.keywords),
        strict=True,
    ):
        assert one is not None
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, other)


def test_by_hand() -> None:
    """One bin of one sample in the middle of four cells; an offset of 1 moves it by a tenth of the box."""
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    rois = np.array([[0.0, 0.0, 0.0, 2.0, 2.0]])
    once: dict[str, Any] = {"output_size": 1, "sampling_ratio": 1}
    assert kernels.deform_roi_pool(x, rois, **once).item() == 2.5
    right, down = np.zeros((1, 2, 1, 1)), np.zeros((1, 2, 1, 1))
    right[0, 0], down[0, 1] = 1, 1
    assert kernels.deform_roi_pool(x, rois, right, **once).item() == pytest.approx(2.7)
    assert kernels.deform_roi_pool(x, rois, down, **once).item() == pytest.approx(2.9)


@pytest.mark.parametrize("there", [-1.25, -1.0, -0.5, 0.0, 0.75, 2.0, 2.5, 3.0, 3.25])
@pytest.mark.parametrize("method", METHODS)
def test_the_edge_goes_on_for_one_cell(there: float, method: str) -> None:
    """RoIAlign's rule: 0 below -1 and above the size, else the nearest cell of the edge."""
    x = np.array([[[[10.0, 20.0, 40.0]]]])
    rois = np.array([[0.0, there, 0.0, there + 1, 1.0]])  # its one sample lies at `there`, on the row
    expected = 0.0 if not -1 <= there <= 3 else np.interp(there, [0, 1, 2], [10, 20, 40])
    found = kernels.deform_roi_pool(x, rois, output_size=1, sampling_ratio=1, method=method)
    assert found.item() == pytest.approx(expected)


def test_offsets_that_are_no_numbers_sample_nothing() -> None:
    x, rois = np.ones((1, 1, 3, 3)), np.array([[0.0, 0.0, 0.0, 3.0, 3.0]])
    offset = np.full((1, 2, 1, 1), np.nan)
    for method in METHODS:
        assert kernels.deform_roi_pool(x, rois, offset, output_size=1, sampling_ratio=2, method=method).item() == 0
        found = kernels.deform_roi_pool_backward(x[..., :1, :1], x, rois, offset, output_size=1, sampling_ratio=2)
        assert not found[0].any()


GOOD: dict[str, Any] = {
    "x": np.ones((2, 3, 4, 4)),
    "rois": np.array([[1.0, 0, 0, 3, 3]]),
    "offset": np.zeros((1, 2, 2, 2)),
    "mask": np.ones((1, 1, 2, 2)),
    "output_size": 2,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("x", np.ones((3, 4, 4))),
        ("x", np.ones((2, 3, 4, 4), int)),
        ("rois", np.zeros((1, 4))),
        ("rois", np.array([[2.0, 0, 0, 3, 3]])),
        ("rois", np.array([[0.5, 0, 0, 3, 3]])),
        ("rois", np.array([[-1.0, 0, 0, 3, 3]])),
        ("rois", np.array([[0.0, 0, 0, np.inf, 3]])),
        ("rois", np.array([[0.0, 0, 0, 1e9, 3]])),
        ("rois", np.zeros((1, 5), np.float32)),
        ("offset", np.zeros((1, 2, 2, 3))),
        ("offset", np.zeros((2, 2, 2, 2))),
        ("mask", np.zeros((1, 2, 2, 2))),
        ("output_size", 0),
        ("output_size", (2, 2, 2)),
        ("sampling_ratio", -1),
        ("spatial_scale", 0),
        ("gamma", float("nan")),
        ("method", "fast"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        kernels.deform_roi_pool(**{**GOOD, field: value})
    assert caught.value.problems[0].path == (field,)


def test_a_wrong_dy_is_refused() -> None:
    with pytest.raises(SpecError, match="dy has the shape"):
        kernels.deform_roi_pool_backward(np.ones((1, 3, 2, 1)), GOOD["x"], GOOD["rois"], output_size=2)
