"""The verifier catches what is wrong and accuses nothing that is right; the catalogue itself is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from convcli.backends import backend
from convcli.backends import numpy as ours
from convcli.errors import SpecError
from convcli.layers import KINDS
from convcli.report import markdown
from convcli.report.self_test import sheet
from convcli.verifier.bound import BoundJob
from convcli.verifier.case import Case
from convcli.verifier.fills import ordinary, structural
from convcli.verifier.gradient_fills import structural_gradients
from convcli.verifier.job import effort
from convcli.verifier.mutants import MUTANTS, Mutant, planned
from convcli.verifier.rounding import CORRECT
from convcli.verifier.run import verify
from convcli.verifier.self_test import (
    DTYPES,
    LAYERS,
    Kill,
    SelfTest,
    accusations,
    first_failure,
    job_checks,
    kill,
    self_test,
    stage,
)
from convcli.verifier.tolerances import TOLERANCES, loaded
from convcli.verifier.verdict import Check, Status

FORWARD = [mutant for mutant in MUTANTS.values() if not mutant.gradient]
DIFFERENTIABLES = [mutant for mutant in MUTANTS.values() if mutant.gradient]
SMALL = 5_000  # products
FEW_PRODUCTS = next(layer for layer in LAYERS if "groups=4" in layer[0])  # 9 to an output: tiles bring in others
DIFFERENTIABLE = {"conv", "conv_transpose", "deform_conv", "deform_roi_pool"}


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int, str]]:
    """The progress of that run."""
    return []


@pytest.fixture(scope="module")
def outcome(told: list[tuple[int, int, str]]) -> SelfTest:
    """One run, as the command makes it, with few seeds."""
    return self_test(seeds=2, progress=lambda *done: told.append(done))


def test_the_catalogue_is_large_and_covers_every_kind() -> None:
    assert len(FORWARD) >= 45
    assert len(DIFFERENTIABLES) >= 15
    assert {kind for mutant in FORWARD for kind in mutant.kinds} == {kind.kind for kind in KINDS}
    assert {kind for mutant in DIFFERENTIABLES for kind in mutant.kinds} == DIFFERENTIABLE
    assert len({mutant.says for mutant in MUTANTS.values()}) >= len(MUTANTS) - 3  # a few show at two kinds alike


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in (0, 100):
        found = kill(mutant, seed)
        assert not found.survived, found
        assert set(found.caught) == set(mutant.dtypes)


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_what_it_says(name: str) -> None:
    """A backend by name, with a phrase, on a small layer of one of its kinds; refused only for what a layer may be."""
    mutant = MUTANTS[name]
    found: object = backend(f"convcli.verifier.mutants:{name}")
    assert found is mutant
    assert mutant.name == name
    assert mutant.says
    assert "\n" not in mutant.says
    step = mutant.step
    assert step.layer.kind in mutant.kinds
    assert 0 < effort(step.layer, step.x, step.images) <= SMALL
    check = first_failure(mutant, step, 0, mutant.dtypes[-1])
    assert check is not None
    assert check.status is not Status.ERROR_MISMATCH or "SpecError" in check.detail


@pytest.mark.parametrize("name", MUTANTS)
def test_it_runs_on_any_layer(name: str) -> None:
    """On layers that it was not made for it gives numbers or refuses them; it leaves its arguments as they are."""
    mutant = MUTANTS[name]
    for spelling, shape in LAYERS:
        step = planned(spelling, shape)
        if mutant.gradient and step.layer.kind not in DIFFERENTIABLE:
            continue
        case = Case(step.layer, step.x, step.batch)
        arrays = loaded((structural_gradients if mutant.gradient else structural)(case, 24), "float32")
        given: Any = [arrays.pop("dy")] if mutant.gradient else []
        before = {name: array.copy() for name, array in arrays.items()}
        try:
            found: Any = (mutant.backward if mutant.gradient else mutant.forward)(step.layer, arrays, *given)
        except SpecError:
            continue
        assert all(np.array_equal(arrays[name], array) for name, array in before.items())
        right: Any = (ours.backward if mutant.gradient else ours.forward)(step.layer, arrays, *given)
        if isinstance(right, dict):
            assert {key: y.shape for key, y in found.items()} == {key: y.shape for key, y in right.items()}
        else:
            assert found.ndim == right.ndim
            if step.layer.kind not in mutant.kinds:
                assert np.array_equal(found, right)


@pytest.mark.parametrize("name", CORRECT)
def test_no_right_one_is_accused(name: str) -> None:
    alarms = [alarm for seed in range(5 * len(LAYERS)) for alarm in accusations(CORRECT[name], seed)]
    assert not alarms, alarms[:3]


@pytest.mark.long
@pytest.mark.parametrize("name", CORRECT)
def test_no_right_one_is_accused_in_a_thousand_seeds(name: str) -> None:
    alarms = [alarm for seed in range(1000) for alarm in accusations(CORRECT[name], seed)]
    assert not alarms, alarms[:3]


@pytest.mark.long
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught_with_many_seeds(name: str) -> None:
    mutant = MUTANTS[name]
    step = mutant.step
    runs = [(seed, dtype) for seed in range(0, 300, 30) for dtype in mutant.dtypes]
    assert not [run for run in runs if first_failure(mutant, step, *run) is None]


def differ(name: str, spelling: str, shape: tuple[int, ...]) -> int:
    """How many elements a right implementation rounds otherwise than ours, in single precision."""
    step = planned(spelling, shape)
    arrays = loaded(ordinary(Case(step.layer, step.x, step.batch)), "float32")
    y = ours.forward(step.layer, arrays)
    return int(np.count_nonzero(CORRECT[name].forward(step.layer, arrays) != y))


@pytest.mark.parametrize("name", CORRECT)
def test_the_right_ones_do_round_differently(name: str) -> None:
    """Otherwise they would prove nothing."""
    assert differ(name, *LAYERS[0]) > 0


@pytest.mark.parametrize(
    ("spelling", "shape"), [*LAYERS[:3], ("Conv3d(4, 3, 3, padding=1)", (2, 4, 3, 4, 5)), ("Conv1d(5, 2, 3)", (5, 8))]
)
def test_winograd_is_used_where_it_fits(spelling: str, shape: tuple[int, ...]) -> None:
    assert differ("winograd", spelling, shape) > 0


def test_winograd_holds_the_bound_of_its_tiles_with_few_products_too() -> None:
    """A tile adds its neighbours' products to an output and takes them away: S of that output alone is too small."""
    assert not list(accusations(CORRECT["winograd"], 820, FEW_PRODUCTS))
    job = BoundJob(planned(*FEW_PRODUCTS), 820, "convcli.verifier.rounding:winograd", "float32")
    (held,) = job_checks(job)
    assert held.status is Status.PASSED
    assert held.detail.endswith(", of whole tiles")


def test_the_bound_of_tiles_is_for_those_who_say_that_they_round(monkeypatch: pytest.MonkeyPatch) -> None:
    secretive = msgspec.structs.replace(CORRECT["winograd"], ROUNDS=False)
    monkeypatch.setattr("convcli.verifier.rounding.CORRECT", {"winograd": secretive})
    job = BoundJob(planned(*FEW_PRODUCTS), 820, "convcli.verifier.rounding:winograd", "float32")
    (held,) = job_checks(job)
    assert held.status is Status.FAILED


def test_the_kill_table(outcome: SelfTest) -> None:
    assert outcome.exit_code == 0
    assert [found.name for found in outcome.kills] == list(MUTANTS)
    assert [(right.name, right.runs, right.alarms) for right in outcome.right] == [(name, 2, 0) for name in CORRECT]
    assert not outcome.survivors
    by_name = {found.name: found for found in outcome.kills}
    assert by_name["padding_one_more"].caught == {"float64": "shape", "float32": "shape"}
    assert by_name["kernel_flipped"].caught == {"float64": "exact", "float32": "exact"}
    assert by_name["tf32_inputs"].caught["float32"] == "full mantissa"
    assert "TF32" in by_name["tf32_inputs"].detail
    assert by_name["double_in_single"].caught == {"float64": "full mantissa"}
    assert by_name["strides_of_x_ignored"].caught["float32"] == "layout"
    assert by_name["grad_offset_as_x_y"].caught["float64"] == "exact grad_offset"
    assert by_name["one_element_off"].missed_by == ("1e-3",)
    assert outcome.missed("1e-3") >= outcome.missed("torch.testing.assert_close") > 0
    assert outcome.refused("np.allclose") == len(CORRECT)  # on sums of two thousand products
    assert outcome.refused("1e-3") == 0


def test_the_readme_has_the_kill_table(outcome: SelfTest) -> None:
    """python tools/make_kill_table.py writes it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    missing = [line for line in markdown.table_lines(sheet(outcome).tables[0]) if line not in readme]
    assert not missing
    for name in outcome.tolerances:
        assert f"| {name} | {outcome.missed(name)} | {outcome.refused(name)} |" in readme


def test_the_tolerances_are_their_libraries() -> None:
    torch = pytest.importorskip("torch")
    for dtype in DTYPES:
        rtol, atol = TOLERANCES["torch.testing.assert_close"][dtype]
        for off, passes in ((0.99, True), (1.01, False)):
            one = torch.ones(1, dtype=getattr(torch, dtype))
            other = one + off * (rtol + atol)
            raised = False
            try:
                torch.testing.assert_close(other, one)
            except AssertionError:
                raised = True
            assert raised is not passes
    defaults = np.allclose.__wrapped__.__defaults__ if hasattr(np.allclose, "__wrapped__") else (1e-5, 1e-8, False)
    assert TOLERANCES["np.allclose"]["float32"] == defaults[:2]


def test_a_survivor_fails_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that is right survives: nothing in the self-test takes its word for it."""
    harmless = Mutant(
        name="harmless",
        says="nothing wrong",
        kinds=("conv",),
        layer="Conv1d(2, 3, 2)",
        input=(1, 2, 4),
        wrong=ours.forward,
    )
    monkeypatch.setattr("convcli.verifier.mutants.MUTANTS", {"harmless": harmless})
    monkeypatch.setattr("convcli.verifier.self_test.MUTANTS", {"harmless": harmless})
    monkeypatch.setattr("convcli.verifier.self_test.CORRECT", {})
    found = self_test(seeds=1)
    assert [survivor.name for survivor in found.survivors] == ["harmless"]
    assert found.kills[0].missed_by == tuple(TOLERANCES)
    assert found.exit_code == 1


def test_an_alarm_fails_the_self_test(outcome: SelfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    right = CORRECT["wide"]
    wrong = type(right)(right.name, right.says, lambda layer, arrays: ours.forward(layer, arrays) + 1)
    monkeypatch.setattr("convcli.verifier.rounding.CORRECT", {right.name: wrong})
    alarms = _accused(wrong)
    assert {stage(alarm) for alarm in alarms} == {"exact", "full mantissa", "layout", "bound"}
    (alarm, *_) = accusations(wrong, 0)
    changes: tuple[dict[str, Any], ...] = ({"alarms": (alarm,)}, {"kills": ()}, {"right": ()})
    for changed in changes:
        assert msgspec.structs.replace(outcome, **changed).exit_code == 1
    assert msgspec.structs.replace(outcome, interrupted=True).exit_code == 130


def _accused(wrong: Any) -> list[Check]:
    return [alarm.check for alarm in accusations(wrong, 0)]


def test_progress_is_told(outcome: SelfTest, told: list[tuple[int, int, str]]) -> None:
    total = len(outcome.kills) + len(outcome.right)
    assert [done for done, _, _ in told] == list(range(1, total + 1))
    assert {whole for _, whole, _ in told} == {total}


def test_verify_runs_one_in_its_workers() -> None:
    """A mutant is a backend like any other."""
    from verify_layers import planned as network

    mutant = MUTANTS["kernel_flipped"]
    step = mutant.step
    found = verify(network((step.layer, mutant.input)), against=f"convcli.verifier.mutants:{mutant.name}")
    assert str(found.layers[0].status) == "failed"


def test_survived_is_any_dtype() -> None:
    half = Kill("a", "b", (), "", (), 1, {"float64": "exact", "float32": ""}, "", ())
    assert half.survived
