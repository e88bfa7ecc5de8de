"""The verifier put to its own test: every wrong implementation must be caught, no right one may raise an alarm.

Both run through the jobs that `verify` runs, on the layers they name, in this process: they are our own code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.backward import gradient_fill, gradients
from convcli.verifier.bound import BoundJob
from convcli.verifier.bounds import BITS
from convcli.verifier.compare import difference
from convcli.verifier.exact import ExactJob, common_bits
from convcli.verifier.fills import Case, Fill, Unfillable, ordinary, structural
from convcli.verifier.full_mantissa import both_roles, input_precision
from convcli.verifier.job import Bench, Job, NothingToDo, primitives
from convcli.verifier.ledger import settled
from convcli.verifier.mutants import MUTANTS, Mutant, planned
from convcli.verifier.rounding import CORRECT, Correct
from convcli.verifier.tasks import run
from convcli.verifier.verdict import Check, Status
from convcli.verifier.views import as_views
from convcli.verifier.workers import RAISED, Call, Reply, Workers

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.plan import Step

Progress = Callable[[int, int, str], None]
DTYPES = ("float64", "float32")
HERE = "convcli.verifier"
TRIES = 3  # a layer of two products has few numbers: now and then some are equal that should tell things apart
DRAWS = 9
CATCHES = frozenset({Status.FAILED, Status.SHAPE_MISMATCH, Status.ERROR_MISMATCH})
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {  # (rtol, atol) by dtype, as their libraries have them
    "np.allclose": {"float32": (1e-5, 1e-8), "float64": (1e-5, 1e-8)},
    "torch.testing.assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "1e-3": {"float32": (1e-3, 1e-3), "float64": (1e-3, 1e-3)},
}
LAYERS: tuple[tuple[str, tuple[int, ...]], ...] = (  # for the right ones; the first of a rank suit Winograd
    ("Conv2d(8, 3, 3, padding=1)", (2, 8, 5, 6)),
    ("Conv1d(12, 5, 3, padding=[(0, 2)])", (2, 12, 9)),
    ("Conv2d(8, 4, 3, padding=1, groups=2, bias=False)", (8, 7, 6)),
    ("Conv2d(4, 6, (3, 2), stride=(2, 1), padding=[(1, 0), (0, 1)], groups=2)", (2, 4, 7, 6)),
    ("Conv2d(3, 4, (2, 3), dilation=2, padding=(2, 1), padding_mode='reflect')", (2, 3, 5, 6)),
    ("Conv3d(2, 3, (2, 3, 2), padding=1, stride=(1, 2, 1))", (2, 2, 3, 5, 4)),
    ("Conv2d(4, 8, 3, groups=4, padding=1)", (2, 4, 6, 5)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=2, padding=(1, 0), output_padding=1, groups=2)", (2, 4, 4, 3)),
    ("SeparableConv2d(3, 4, 3, padding=1, depth_multiplier=2)", (2, 3, 6, 5)),
    ("DeformConv2d(4, 6, (3, 2), padding=1, groups=2, offset_groups=2, modulated=True)", (2, 4, 6, 5)),
    ("DeformConv2dPack(2, 4, 3, padding=1, modulated=True)", (2, 2, 6, 5)),
)


class Kill(msgspec.Struct, frozen=True):
    """What became of one wrong implementation, on its smallest layer.

    products: of the layer. caught: by dtype, the first check that failed, "" when none did; where the error cannot show
    the dtype is left out. detail: what that check said. missed_by: the usual tolerances that would have passed it on
    ordinary floats, more often than not.
    """

    name: str
    says: str
    kinds: tuple[str, ...]
    layer: str
    input: tuple[int, ...]
    products: int
    caught: dict[str, str]
    detail: str
    missed_by: tuple[str, ...]

    @property
    def survived(self) -> bool:
        """No check caught it, in some dtype where the error shows."""
        return not all(self.caught.values())


class Alarm(msgspec.Struct, frozen=True):
    """A right implementation that a check called wrong."""

    name: str
    layer: str
    seed: int
    check: Check


class SelfTest(msgspec.Struct, frozen=True):
    """The kill table, and the alarms raised at right implementations in `runs` runs."""

    kills: tuple[Kill, ...]
    alarms: tuple[Alarm, ...]
    right: tuple[str, ...]
    seeds: int
    runs: int

    @property
    def survivors(self) -> tuple[Kill, ...]:
        """The wrong implementations that nothing caught."""
        return tuple(kill for kill in self.kills if kill.survived)

    @property
    def exit_code(self) -> int:
        """0 when every wrong one was caught and no right one was accused, else 1."""
        return 1 if self.survivors or self.alarms or not self.kills or not self.runs else 0

    def missed(self, tolerance: str) -> int:
        """How many of the wrong implementations this tolerance would have passed."""
        return sum(tolerance in kill.missed_by for kill in self.kills)


def self_test(*, seed: int = 0, seeds: int = 50, progress: Progress | None = None) -> SelfTest:
    """Every mutant with the data of `seed`, and every right implementation with `seeds` of them from there on.

    A seed has one of LAYERS, in turn. progress: told (steps done, steps in all, name).
    """
    total = len(MUTANTS) + len(CORRECT)
    kills: list[Kill] = []
    alarms: list[Alarm] = []
    for done, mutant in enumerate(MUTANTS.values(), start=1):
        kills.append(kill(mutant, seed))
        if progress:
            progress(done, total, mutant.name)
    for done, right in enumerate(CORRECT.values(), start=len(MUTANTS) + 1):
        for number in range(seed, seed + seeds):
            alarms += accusations(right, number)
        if progress:
            progress(done, total, right.name)
    return SelfTest(tuple(kills), tuple(alarms), tuple(CORRECT), seeds, len(CORRECT) * seeds)


def kill(mutant: Mutant, seed: int = 0) -> Kill:
    """Which checks catch a wrong implementation, with the data of `seed` or, by TRIES, of those after it."""
    step = mutant.step
    found = {dtype: first_failure(mutant, step, seed, dtype) for dtype in mutant.dtypes}
    return Kill(
        mutant.name,
        mutant.says,
        mutant.kinds,
        mutant.layer,
        mutant.input,
        step.layer.counts(step.x, step.images).macs,
        {dtype: stage(check) if check else "" for dtype, check in found.items()},
        next((check.detail for check in found.values() if check), ""),
        missed_by(mutant, step, seed),
    )


def first_failure(mutant: Mutant, step: Step, seed: int, dtype: str) -> Check | None:
    """The first check that catches it; None when it passes them all, TRIES times."""
    tries = (failures(mutant, step, number, dtype) for number in range(seed, seed + TRIES))
    return next((check for checks in tries for check in checks if check.status in CATCHES), None)


def accusations(right: Correct, seed: int) -> Iterator[Alarm]:
    """The checks that call a right implementation wrong, with the data of one seed."""
    spelling, shape = LAYERS[seed % len(LAYERS)]
    step = planned(spelling, shape)
    for dtype in DTYPES:
        found = tuple(forward_checks(right, f"{HERE}.rounding:{right.name}", step, seed, dtype))
        for check in settled(found, rounds=right.ROUNDS):
            if check.status.bad:
                yield Alarm(right.name, spelling, seed, check)


def failures(mutant: Mutant, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """The checks of a wrong implementation, one by one, in the order of the report."""
    if mutant.gradient:
        return gradient_checks(mutant, step, seed, dtype)
    return forward_checks(mutant, f"{HERE}.mutants:{mutant.name}", step, seed, dtype)


def stage(check: Check) -> str:
    """What caught it: "shape", "refused", or the check's own method."""
    special = {Status.SHAPE_MISMATCH: "shape", Status.ERROR_MISMATCH: "refused"}
    return special.get(check.status, check.method)


def forward_checks(found: Mutant | Correct, name: str, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """Exact, in full mantissa, in another layout, within the bound; one that rounds by nature only first and last."""
    yield from job_checks(ExactJob(step, seed, name, dtype))
    if not getattr(found, "ROUNDS", False):
        yield from full_mantissa_checks(found, step, seed, dtype)
        yield layout_check(found, step, seed, dtype)
    yield from job_checks(BoundJob(step, seed, name, dtype))


def job_checks(job: Job) -> tuple[Check, ...]:
    """A job of `verify`, done here and now."""
    here = cast("Workers", _Here())
    with tempfile.TemporaryDirectory(prefix="convcli-") as directory:
        try:
            calls = job.start(Bench(job.against, here, here), directory)
        except (NothingToDo, Unfillable) as reason:
            return (job.check(Status.SKIPPED, str(reason)),)
        return job.checks([call.reply for call in calls])


def full_mantissa_checks(found: Mutant | Correct, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """Every part on data that need every bit, in both roles."""
    for _, layer, x in primitives(step.layer, step.x):
        case = Case(layer, x, step.batch, seed)
        for role, fill in both_roles(case, BITS[dtype]).items():
            arrays = loaded(fill, dtype)
            y = ours.forward(layer, arrays)
            check = compared(f"forward, {role} long", "full mantissa", y, lambda: found.forward(layer, arrays))  # noqa: B023
            if check.status is Status.FAILED:
                words = input_precision(layer, arrays, found.forward(layer, arrays))
                check = msgspec.structs.replace(check, detail="; ".join(filter(None, (check.detail, words))))
            yield check


def layout_check(found: Mutant | Correct, step: Step, seed: int, dtype: str) -> Check:
    """The exact stage's numbers, as views whose memory is in another order."""
    arrays = loaded(structural(Case(step.layer, step.x, step.batch, seed), common_bits(dtype)), dtype)
    y = ours.forward(step.layer, arrays)
    return compared("forward, views", "layout", y, lambda: found.forward(step.layer, as_views(arrays)))


def gradient_checks(mutant: Mutant, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """Every gradient, exactly; and the forward pass, which is right."""
    arrays = loaded(gradient_fill(Case(step.layer, step.x, step.batch, seed), common_bits(dtype)), dtype)
    wrong = mutant.backward(step.layer, {name: a for name, a in arrays.items() if name != "dy"}, arrays["dy"])
    for name, gradient in gradients(step.layer, arrays).items():
        words = f"grad_{'input' if name == 'x' else name}"
        yield compared(words, f"exact {words}", gradient, lambda: wrong[name])  # noqa: B023


def compared(name: str, method: str, y: Array, theirs: Callable[[], Array]) -> Check:
    """Bit for bit against y."""
    try:
        z = theirs()
    except Exception as error:  # whatever a wrong implementation runs into
        return Check(name, method, Status.ERROR_MISMATCH, str(y.dtype), detail=f"{type(error).__name__}: {error}")
    if z.shape != y.shape:
        return Check(name, method, Status.SHAPE_MISMATCH, str(y.dtype), detail=f"{z.shape}, expected {y.shape}")
    if z.dtype != y.dtype:
        return Check(name, method, Status.FAILED, str(y.dtype), detail=f"{z.dtype}, expected {y.dtype}")
    apart = difference(y, z)
    if apart.worst is None:
        return Check(name, method, Status.PASSED, str(y.dtype))
    detail = f"expected {y[apart.worst]:.9g}, found {z[apart.worst]:.9g}; {apart.wrong} elements differ"
    return Check(name, method, Status.FAILED, str(y.dtype), apart.max_abs_error, None, apart.worst, detail)


def missed_by(mutant: Mutant, step: Step, seed: int) -> tuple[str, ...]:
    """The usual tolerances that pass a wrong implementation in most draws of ordinary floats."""
    draws = [passed_by(mutant, step, number, dtype) for number in range(seed, seed + DRAWS) for dtype in mutant.dtypes]
    return tuple(name for name in TOLERANCES if 2 * sum(name in passed for passed in draws) > len(draws))


def passed_by(mutant: Mutant, step: Step, seed: int, dtype: str) -> tuple[str, ...]:
    """The usual tolerances that would pass a wrong implementation on normal floats."""
    case = Case(step.layer, step.x, step.batch, seed)
    arrays = loaded(ordinary(case), dtype)
    try:
        if mutant.gradient:
            dy = case.draw("ordinary dy").standard_normal((*step.batch, *step.y)).astype(dtype)
            right, wrong = ours.backward(step.layer, arrays, dy), mutant.backward(step.layer, arrays, dy)
        else:
            right = {"y": ours.forward(step.layer, arrays)}
            wrong = {"y": mutant.forward(step.layer, arrays)}
    except Exception:  # it fails on its own, and so under any tolerance
        return ()
    if any(wrong[name].shape != y.shape or wrong[name].dtype != y.dtype for name, y in right.items()):
        return ()
    return tuple(
        name
        for name, limits in TOLERANCES.items()
        if all(np.allclose(wrong[key], y, *limits[dtype]) for key, y in right.items())
    )


def loaded(fill: Fill, dtype: str) -> dict[str, Array]:
    """A fill's numbers, as workers read them from their files."""
    one = np.ones((), dtype)
    return {name: array.astype(dtype) / (one * fill.scales.get(name, 1)) for name, array in fill.arrays.items()}


class _Here:
    """Stands for a side's workers: does what it is asked at once."""

    def call(self, function: str, *args: Any) -> Call:
        """The answer of one of `tasks.TASKS`, as a call that is done."""
        done = run(function, *args)
        if done.reason.startswith("KeyboardInterrupt"):  # a task keeps everything to itself
            raise KeyboardInterrupt
        return cast("Call", _Answer(Reply(done.value, RAISED.get(done.raised), done.reason, done.seconds)))


class _Answer(msgspec.Struct, frozen=True):
    reply: Reply
