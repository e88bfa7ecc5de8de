"""The verifier put to its own test: every wrong implementation must be caught, no right one may raise an alarm.

Both run through the jobs that `verify` runs, on the layers they name, in this process: they are our own code.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from convcli._version import __version__
from convcli.axis import whole
from convcli.backends import backend
from convcli.backends import numpy as ours
from convcli.verifier.bound import BoundJob
from convcli.verifier.case import Case, Unfillable
from convcli.verifier.compare import difference
from convcli.verifier.exact import ExactJob, common_bits
from convcli.verifier.fills import structural
from convcli.verifier.gradient import ExactGradientJob
from convcli.verifier.gradient_mantissa import GradientMantissaJob
from convcli.verifier.here import here
from convcli.verifier.job import Bench, Job, NothingToDo, effort
from convcli.verifier.ledger import settled
from convcli.verifier.mantissa import MantissaJob
from convcli.verifier.mutants import MUTANTS, Mutant, planned
from convcli.verifier.region_boxes import dyadic
from convcli.verifier.rounding import CORRECT, Correct
from convcli.verifier.tasks import CAN_ROUND, environment
from convcli.verifier.tolerances import TOLERANCES, loaded, missed_by, refused_by
from convcli.verifier.verdict import Check, Status
from convcli.verifier.views import as_views

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.plan import Step

Progress = Callable[[int, int, str], None]
DTYPES = ("float64", "float32")
HERE = "convcli.verifier"
SEEDS = 26  # twice round LAYERS
TRIES = 3  # a layer of two products has few numbers: now and then some are equal that should tell things apart
CATCHES = frozenset({Status.FAILED, Status.SHAPE_MISMATCH, Status.ERROR_MISMATCH})
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
    ("DeformRoIPool((2, 3), 0.5, 2, num_rois=3, modulated=True)", (2, 3, 6, 7)),
    ("ModulatedDeformRoIPoolPack(2, 3, 5, 0.5, num_rois=3)", (2, 3, 6, 7)),
)


class Kill(msgspec.Struct, frozen=True):
    """What became of one wrong implementation, on its smallest layer.

    products: the layer's `effort`. caught: by dtype, the first check that failed, "" when none did; where the error
    cannot show the dtype is left out. detail: what that check said. missed_by: the usual tolerances that would have
    passed it on ordinary floats, more often than not.
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


class Right(msgspec.Struct, frozen=True):
    """A right implementation: its runs, and the alarms they raised. refused_by: tolerances that call it wrong."""

    name: str
    says: str
    runs: int
    alarms: int
    refused_by: tuple[str, ...]


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """The kill table, the right implementations, and the alarms that were raised at them."""

    schema: int = 1
    convcli: str = __version__
    command: str = "verify --self-test"
    seed: int
    environment: dict[str, Any]
    kills: tuple[Kill, ...]
    right: tuple[Right, ...]
    alarms: tuple[Alarm, ...]
    tolerances: tuple[str, ...] = tuple(TOLERANCES)
    seconds: float
    interrupted: bool = False

    @property
    def survivors(self) -> tuple[Kill, ...]:
        """The wrong implementations that nothing caught."""
        return tuple(kill for kill in self.kills if kill.survived)

    @property
    def exit_code(self) -> int:
        """0 when every wrong one was caught and no right one was accused, else 1; 130 when it was interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.survivors or self.alarms or not self.kills or not self.right else 0

    def missed(self, tolerance: str) -> int:
        """How many of the wrong implementations this tolerance would have passed."""
        return sum(tolerance in kill.missed_by for kill in self.kills)

    def refused(self, tolerance: str) -> int:
        """How many of the right ones it would have called wrong."""
        return sum(tolerance in right.refused_by for right in self.right)


def self_test(*, seed: int = 0, seeds: int = SEEDS, progress: Progress | None = None) -> SelfTest:
    """Every mutant with the data of `seed`, and every right implementation with `seeds` of them from there on.

    A seed has one of LAYERS, in turn. progress: told (steps done, steps in all, name). Raises SpecError for arguments
    that make no sense. Ctrl-C ends it: what was found until then is the answer, `interrupted`.
    """
    first, count = whole("seed", seed, least=0), whole("seeds", seeds, least=1)
    start, steps = perf_counter(), len(MUTANTS) + len(CORRECT)
    kills: list[Kill] = []
    rights: list[Right] = []
    alarms: list[Alarm] = []
    interrupted = False
    try:
        for mutant in MUTANTS.values():
            kills.append(kill(mutant, first))
            if progress:
                progress(len(kills), steps, mutant.name)
        for right in CORRECT.values():
            found = [alarm for number in range(first, first + count) for alarm in accusations(right, number)]
            alarms += found
            rights.append(Right(right.name, right.says, count, len(found), refused_by(right, first)))
            if progress:
                progress(len(kills) + len(rights), steps, right.name)
    except KeyboardInterrupt:
        interrupted = True
    return SelfTest(
        seed=first,
        environment=environment(),
        kills=tuple(kills),
        right=tuple(rights),
        alarms=tuple(alarms),
        seconds=perf_counter() - start,
        interrupted=interrupted,
    )


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
        effort(step.layer, step.x, step.images),
        {dtype: stage(check) if check else "" for dtype, check in found.items()},
        next((check.detail for check in found.values() if check), ""),
        missed_by(mutant, step, seed),
    )


def first_failure(mutant: Mutant, step: Step, seed: int, dtype: str) -> Check | None:
    """The first check that catches it; None when it passes them all, TRIES times."""
    tries = (failures(mutant, step, number, dtype) for number in range(seed, seed + TRIES))
    return next((check for checks in tries for check in checks if check.status in CATCHES), None)


def accusations(right: Correct, seed: int, layer: tuple[str, tuple[int, ...]] | None = None) -> Iterator[Alarm]:
    """The checks that call a right implementation wrong, with the data of one seed; layer: not the seed's own."""
    spelling, shape = layer or LAYERS[seed % len(LAYERS)]
    step = planned(spelling, shape)
    for dtype in DTYPES:
        found = tuple(forward_checks(right, f"{HERE}.rounding:{right.name}", step, seed, dtype))
        for check in settled(found, rounds=right.ROUNDS):
            if check.status.bad:
                yield Alarm(right.name, spelling, seed, check)


def failures(mutant: Mutant, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """The checks of a wrong implementation, one by one, in the order of the report."""
    name = f"{HERE}.mutants:{mutant.name}"
    if mutant.gradient:
        return gradient_checks(name, step, seed, dtype)
    return forward_checks(mutant, name, step, seed, dtype)


def stage(check: Check) -> str:
    """What caught it: "shape", "refused", "full mantissa", or the check's own method, of a gradient with its name."""
    special = {Status.SHAPE_MISMATCH: "shape", Status.ERROR_MISMATCH: "refused"}
    if check.status in special:
        return special[check.status]
    if check.name.endswith("mantissa"):
        return "full mantissa"
    return f"{check.method} {check.name}" if check.name.startswith("grad") else check.method


def forward_checks(found: Mutant | Correct, name: str, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """Exact, in full mantissa, in another layout, within the bound; one that rounds by nature only first and last."""
    exact = msgspec.structs.replace(step, layer=dyadic(step.layer))
    yield from job_checks(ExactJob(exact, seed, name, dtype))
    if not getattr(found, "ROUNDS", False):
        yield from job_checks(MantissaJob(exact, seed, name, dtype))
        yield layout_check(found, exact, seed, dtype)
    yield from job_checks(BoundJob(step, seed, name, dtype))


def job_checks(job: Job) -> tuple[Check, ...]:
    """A job of `verify`, done here and now."""
    side = here()
    with tempfile.TemporaryDirectory(prefix="convcli-") as directory:
        bench = Bench(job.against, side, side, rounds=bool(getattr(backend(job.against), CAN_ROUND, False)))
        try:
            replies = [call.reply for call in job.start(bench, directory)]
        except (NothingToDo, Unfillable) as reason:
            return (job.check(Status.SKIPPED, str(reason)),)
        return job.checks(replies + [call.reply for call in job.further(bench, directory, replies)])


def layout_check(found: Mutant | Correct, step: Step, seed: int, dtype: str) -> Check:
    """The exact stage's numbers, as views whose memory is in another order."""
    arrays = loaded(structural(Case(step.layer, step.x, step.batch, seed), common_bits(dtype)), dtype)
    y = ours.forward(step.layer, arrays)
    return compared("forward, views", "layout", y, lambda: found.forward(step.layer, as_views(arrays)))


def gradient_checks(name: str, step: Step, seed: int, dtype: str) -> Iterator[Check]:
    """Every gradient, exactly, and in full mantissa."""
    exact = msgspec.structs.replace(step, layer=dyadic(step.layer))
    yield from job_checks(ExactGradientJob(exact, seed, name, dtype))
    yield from job_checks(GradientMantissaJob(exact, seed, name, dtype))


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
    return Check(name, method, Status.FAILED, str(y.dtype), apart.max_abs_error, worst_index=apart.worst, detail=detail)
