"""Gradients: data that cannot round, bounds that hold, wrong ones found and named, the adjoint identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from verify_fakes import WRONG
from verify_layers import DEFORMABLE, SMALL, Named, check, planned, statuses

from convcli.axis import axes
from convcli.backends import numpy as ours
from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Separable
from convcli.verifier import gradient_tasks
from convcli.verifier.bounds import BITS, coarse, gammas, gradient_roundings
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.compare import within
from convcli.verifier.counts import gradient_counts
from convcli.verifier.draws import QUARTERS
from convcli.verifier.exchange import store
from convcli.verifier.fills import UNITS
from convcli.verifier.gradient import AdjointJob
from convcli.verifier.gradient_fills import ordinary_gradients, structural_gradients
from convcli.verifier.gradient_sizes import Size, largest_size
from convcli.verifier.run import verify
from convcli.verifier.verdict import Status
from convcli.verifier.workers import Reply

CONV: Named = (Conv(axes=axes((3, 2), padding=1), out_channels=WRONG), (2, 4, 7, 8))
DEFORM: Named = (DeformConv(axes=axes((3, 2), padding=1), out_channels=WRONG, modulated=True), (2, 4, 7, 8))


def values(fill: Fill, dtype: str = "float64") -> tuple[dict[str, Any], Any]:
    """(the arrays that a fill stands for, dy)"""
    arrays = {name: a.astype(dtype) / np.asarray(fill.scales.get(name, 1), dtype) for name, a in fill.arrays.items()}
    return arrays, arrays.pop("dy")


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(["float32", "float16"]))
def test_no_sum_of_any_gradient_can_round(drawn: Drawn, dtype: str) -> None:
    """Every S is at most 2**bits quanta, every gradient a whole number of them, and both precisions agree."""
    try:
        fill = structural_gradients(Case(drawn.layer, drawn.x, drawn.input[:1]), BITS[dtype])
    except Unfillable:
        assert dtype == "float16"
        return
    arrays, dy = values(fill)
    magnitudes = ours.gradient_magnitudes(drawn.layer, arrays, dy)
    narrow = ours.backward(drawn.layer, *values(fill, dtype))
    for name, gradient in ours.backward(drawn.layer, arrays, dy).items():
        assert np.max(magnitudes[name], initial=0) <= 2 ** BITS[dtype] * fill.quanta[name], name
        quanta = gradient / fill.quanta[name]
        assert np.array_equal(quanta, np.round(quanta)), name
        assert np.all(np.abs(gradient) <= magnitudes[name]), name
        assert np.array_equal(narrow[name].astype(np.float64), gradient), name
        assert narrow[name].dtype == dtype


@settings(max_examples=60)
@given(convolutions())
def test_offsets_stay_off_the_kinks_and_dy_carries_a_signal(drawn: Drawn) -> None:
    """Whole coordinates are where the bilinear shares have no derivative."""
    case = Case(drawn.layer, drawn.x, drawn.input[:1])
    fill = structural_gradients(case, 24)
    arrays, dy = values(fill)
    assert not fill.note
    assert np.all(dy != 0)
    assert np.all(dy.sum(axis=(0, *range(2, dy.ndim))) != 0)
    if drawn.layer.kind == "deform_conv_pack":
        arrays["offset"] = ours._predicted(drawn.layer, arrays, "auto")["offset"]  # type: ignore[arg-type]
    if "offset" in arrays:
        assert set(np.unique(arrays["offset"] * QUARTERS % QUARTERS)) <= {1.0, 2.0, 3.0}
    if drawn.layer.kind == "deform_conv":
        plain = ordinary_gradients(case)
        assert np.all(plain.arrays["offset"] % plain.scales["offset"] != 0)


@settings(max_examples=40)
@given(convolutions(), st.sampled_from(["float32", "float16"]))
def test_right_gradients_hold_their_bounds(drawn: Drawn, dtype: str) -> None:
    """Against the gradients in float64, each with the bound of its own number of roundings."""
    parts: list[Any] = list(drawn.layer.parts(drawn.x))
    layer, x = (parts[-1].layer, parts[-1].x) if parts else (drawn.layer, drawn.x)
    assume(dtype == "float32" or layer.kind != "deform_conv")  # half precision has no exact coordinates
    fill = ordinary_gradients(Case(layer, x, drawn.input[:1]))
    narrow, dy = values(fill, dtype)
    wide = {name: array.astype(np.float64) for name, array in narrow.items()}
    counts = gradient_roundings(layer, x, drawn.batch)
    exact = gradient_counts(layer, wide, drawn.batch)
    found = ours.backward(layer, narrow, dy)
    magnitudes = ours.gradient_magnitudes(layer, wide, dy.astype(np.float64))
    for name, truth in ours.backward(layer, wide, dy.astype(np.float64)).items():
        n = exact[name]
        assert np.max(n) <= counts[name]
        bound = (gammas(n, dtype) + gammas(n, "float64")) * coarse(counts[name])[1] * magnitudes[name]
        assert within(truth, found[name], bound).wrong == 0, name


def test_the_slopes_magnitude_adds_what_the_slope_subtracts() -> None:
    """x = 1 on a line of cells: a slope of 0, but a sum of two neighbours."""
    layer = DeformConv(axes=axes((1, 1)), out_channels=1, bias=False).settled((1, 1, 4))
    arrays = {"x": np.ones((1, 1, 4)), "offset": np.zeros((2, 1, 4)), "weight": np.full((1, 1, 1, 1), 3.0)}
    arrays["offset"][1] = 0.25
    dy = np.ones((1, 1, 4))
    assert ours.backward(layer, arrays, dy)["offset"][1, 0, :3].tolist() == [0, 0, 0]
    magnitude = ours.gradient_magnitudes(layer, arrays, dy)["offset"]
    assert magnitude[1, 0].tolist() == [6, 6, 6, 3]


@given(st.integers(1, 10**6), st.integers(1, 10**7), st.sampled_from([11, 24]))
def test_the_size_is_the_largest_that_fits(outs: int, positions: int, bits: int) -> None:
    def units(size: Size) -> dict[str, float]:
        return {"x": size.outs * size.w * size.dy, "weight": size.positions * size.x * size.dy}

    size = largest_size(units, outs, positions, 2.0**bits)
    assert max(units(size).values()) <= 2**bits
    if (size.outs, size.positions) == (outs, positions):
        larger = Size(size.x + 1, size.w + 1, size.dy + 1, outs, positions)
        assert size.x == 127 or max(units(larger).values()) > 2**bits
    else:
        assert size.x == size.w == size.dy == 1
        assert max(units(size).values()) > 2**bits / 2
        assert size.outs == outs or outs > 2**bits
        assert size.positions == positions or positions > 2**bits


def test_where_no_data_fit_it_says_so() -> None:
    with pytest.raises(Unfillable, match="a single output"):
        largest_size(lambda size: {"x": 5000.0 * size.w}, 3, 3, 2.0**11)


def test_a_thinned_dy_says_so() -> None:
    layer: Layer = DeformConvPack(axes=axes((3, 3), padding=1), out_channels=8).settled((16, 20, 20))
    fill = structural_gradients(Case(layer, (16, 20, 20), (2,)), 18)
    dy = np.moveaxis(fill.arrays["dy"], 1, 0).reshape(8, 800)
    kept = np.count_nonzero(dy, axis=0)
    outs, positions = int(kept.max()), int(np.count_nonzero(kept))
    dy_note = f"dy thinned to {outs} of 8 channels at {positions} of 800 positions"
    assert fill.note == f"weights thinned to 18 of 144 products; {dy_note}"
    assert np.count_nonzero(fill.arrays["deform_conv.weight"]) == 8 * 18
    assert np.all(np.any(fill.arrays["deform_conv.weight"] != 0, axis=0))
    assert set(kept) == {0, outs}


@pytest.mark.parametrize(
    ("fake", "layer", "gradient", "words"),
    [
        ("turned", CONV, "grad_weight", "elements differ"),
        ("turned", DEFORM, "grad_weight", "elements differ"),
        ("one_sample", CONV, "grad_bias", "5 elements differ, 100.0%"),
        ("swapped", DEFORM, "grad_offset", "elements differ"),
        ("unmasked", DEFORM, "grad_input", "elements differ"),
        ("last_bit", CONV, "grad_input", "1 elements differ"),
        ("without", CONV, "grad_weight", "gave no such gradient"),
        ("short", CONV, "grad_input", "(2, 4, 7, 7), expected (2, 4, 7, 8)"),
    ],
)
def test_a_wrong_gradient_is_found_and_no_other(fake: str, layer: Named, gradient: str, words: str) -> None:
    (verdict,) = verify(planned(layer), against=f"verify_fakes:{fake}", dtypes=("float32",), grad=True).layers
    status = Status.SHAPE_MISMATCH if fake == "short" else Status.FAILED
    assert {c.name for c in verdict.checks if c.status.bad and c.name.startswith("grad")} == {
        gradient,
        "grad_mantissa",
    }
    exact, bound = (check(verdict, gradient, method, "float32") for method in ("exact", "bound"))
    assert exact.status is status
    assert words in exact.detail
    assert (bound.status is Status.PASSED) == (fake == "last_bit")  # that is less than rounding does
    assert verdict.repro.endswith(f" --dtype float32 --against verify_fakes:{fake} --grad")


def test_gradients_are_checked_when_they_are_asked_for() -> None:
    outcome = verify(planned(CONV), against="verify_fakes:turned", dtypes=("float32",))
    assert statuses(outcome) == ["passed"]
    assert not any(c.name.startswith("grad") for c in outcome.layers[0].checks)


def test_a_backend_without_gradients_is_unsupported() -> None:
    outcome = verify(planned(CONV), against="verify_fakes:forgetful", dtypes=("float32",), grad=True)
    assert statuses(outcome) == ["unsupported"]
    assert outcome.exit_code == 3
    assert check(outcome.layers[0], "grad_weight", "exact", "float32").detail.endswith("it has no gradients")
    assert check(outcome.layers[0], "forward", "exact", "float32").status is Status.PASSED


def boxes(rng: Any, x: tuple[int, ...], count: int) -> Any:
    """Boxes about as large as the input, on any of the images."""
    corner, size = rng.uniform(-2, 6, (count, 2)), rng.uniform(2, 12, (count, 2))
    return np.column_stack((rng.integers(0, x[0], count), corner, corner + size))


@pytest.mark.torch
@pytest.mark.parametrize("named", SMALL, ids=lambda named: named[0].kind)
def test_they_are_autograds_on_ordinary_data_too(named: Named) -> None:
    """A pack as a whole, its masks between 0 and 1: no bound is known for that, but float64 has digits to spare."""
    torch = pytest.importorskip("convcli.backends.torch")
    (step,) = planned(named).steps
    case, rng = Case(step.layer, step.x, step.batch), np.random.default_rng(0)
    names = ("x", *step.layer.side_inputs(step.x), *step.layer.tensors(step.x))
    arrays = {name: rng.standard_normal(case.shape(name)) for name in names}
    if "rois" in arrays:
        arrays["rois"] = boxes(rng, case.x, len(arrays["rois"]))
    dy = rng.standard_normal((*step.batch, *step.y))
    theirs = torch.backward(step.layer, arrays, dy)
    assert theirs.keys() == arrays.keys() - {"rois"}
    for name, gradient in ours.backward(step.layer, arrays, dy).items():
        assert gradient == pytest.approx(theirs[name], rel=1e-9, abs=1e-9), name


@settings(max_examples=60)
@given(convolutions())
def test_the_adjoint_identity_holds(drawn: Drawn) -> None:
    """<y, dy> = <a, gradient of a> as whole numbers, for everything that y is linear in."""
    layer = drawn.layer
    fill = structural_gradients(Case(layer, drawn.x, drawn.input[:1]), 24)
    arrays, dy = values(fill)
    weight = next(name for name in reversed(arrays) if name.endswith("weight"))
    bias = weight.replace("weight", "bias")
    if bias in arrays:
        arrays[bias][...] = 0
    product = (ours.forward(layer, arrays, "loops") * dy).sum()
    assert (arrays[weight] * ours.backward(layer, arrays, dy)[weight]).sum() == product


@pytest.mark.parametrize("name", ["x", "weight", "mask"])
def test_the_adjoint_identity_notices(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (step,) = planned(DEFORMABLE[0]).steps
    job = AdjointJob(step, 0, "torch", "float64")
    sample = store(str(tmp_path), "a", structural_gradients(job.case, 24))
    assert job.checks([Reply(gradient_tasks.inner_products(step.layer, sample))])[0].status is Status.PASSED
    right = ours.backward

    def wrong(layer: Any, arrays: Any, dy: Any) -> dict[str, Any]:
        found = right(layer, arrays, dy)
        return {**found, name: found[name] + 1 / 64}

    monkeypatch.setattr(ours, "backward", wrong)
    (failed,) = job.checks([Reply(gradient_tasks.inner_products(step.layer, sample))])
    assert failed.status is Status.FAILED
    assert f"<{name}, its gradient> is " in failed.detail


def test_inner_products_have_no_limit() -> None:
    x = np.full(3 * 2**16, 2.0**20)
    assert gradient_tasks.inner(x, x) == 3 * 2**16 * 2**40 * UNITS


def test_products_are_proved_by_execution() -> None:
    layers: list[Named] = [
        (Conv(axes=axes((3, 2), padding=1), out_channels=3), (2, 4, 7, 8)),
        (ConvTranspose(axes=axes((3, 2), padding=1, stride=2), out_channels=3), (2, 4, 7, 8)),
        (Separable(axes=axes((3, 3), padding=2), out_channels=3), (2, 4, 7, 8)),
    ]
    outcome = verify(planned(*layers), against="verify_fakes:faithful", dtypes=(), prove=True)
    plain, transposed, separable = (check(layer, "macs_nonpad", "exact") for layer in outcome.layers)
    assert plain.detail == f"macs_nonpad {2 * 4 * 3 * 19 * 16} by execution of ones on both sides"
    assert transposed.detail.startswith("macs_kept ")
    assert separable.detail.count("macs_nonpad") == 2
    assert {check.status for check in (plain, transposed, separable)} == {Status.PASSED}
    (wrong,) = verify(planned(CONV), against="verify_fakes:one_off", dtypes=(), prove=True).layers
    failed = check(wrong, "macs_nonpad", "exact")
    assert failed.status is Status.FAILED
    assert "by execution convcli 12160, verify_fakes:one_off 12162" in failed.detail
    assert wrong.repro.endswith("--prove")
