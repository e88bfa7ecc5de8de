"""`--replay`: the data of a saved failure once more, on this implementation or on a changed one."""

from __future__ import annotations

import shlex
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from convcli.errors import SpecError
from convcli.plan import plan
from convcli.spec.build import spelled_network
from convcli.verifier.bound import BoundJob
from convcli.verifier.bounds import coarse, gradient_roundings, roundings
from convcli.verifier.case import Case
from convcli.verifier.compare import difference
from convcli.verifier.exchange import Sample, load, save
from convcli.verifier.explain.experiment import FORWARD, files_of, other_name, our_call, their_call, tried
from convcli.verifier.explain.saved import Saved, foreign, read
from convcli.verifier.formats import stored
from convcli.verifier.gradient import BoundGradientJob
from convcli.verifier.job import Bench, Job, seconds_of
from convcli.verifier.jobs import Wanted
from convcli.verifier.ledger import Ledger, Subject
from convcli.verifier.own import target
from convcli.verifier.session import TIMEOUT, Session
from convcli.verifier.verdict import Check, Outcome, Status, outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.backends.target import Target
    from convcli.plan import Step
    from convcli.verifier.workers import Call, Reply


def replay(
    path: str | PathLike[str],
    *,
    against: str | None = None,
    kernel: Target | None = None,
    kernel_grad: Target | None = None,
    timeout: float = TIMEOUT,
) -> Outcome:
    """The data of a file that `save_failures` wrote, given to both sides again; the check as it was.

    against, kernel, kernel_grad: the other side; the one that failed when all are left out. Raises SpecError for a file
    that is no such file, BackendMissing, like `verify`.
    """
    start = perf_counter()
    saved = read(path)
    meta = saved.meta
    if against is None and kernel is None and kernel_grad is None and meta.kernel:
        if meta.role == "backward":
            kernel_grad = target(meta.kernel, meta.arrays, meta.role)
        else:
            kernel = target(meta.kernel, meta.arrays)
    backward = "dy" in saved.arrays
    other = against if against is not None else meta.against or "torch"
    grad = backward and kernel is not None and kernel_grad is None  # by autograd, through the function
    wanted = Wanted(other, (meta.dtype,), meta.seed, grad, kernel=kernel, kernel_grad=kernel_grad)
    if wanted.own and tried(wanted, backward=backward) is None:
        raise SpecError("this failure is not what that function does", field="--replay")
    step = _step(Path(path), saved)
    ledger = _Replay([Subject(step, "")], wanted, saved)
    session = Session(wanted, layers=1, timeout=timeout)
    interrupted = False
    try:
        with session:
            session.work(ledger)
    except KeyboardInterrupt:
        interrupted = True
    repro = shlex.join(["convcli", "verify", "--replay", str(path), *wanted.flags])
    verdicts = tuple(msgspec.structs.replace(verdict, repro=repro) for verdict in ledger.verdicts)
    return outcome(
        verdicts,
        seed=meta.seed,
        environment=session.environment,
        seconds=perf_counter() - start,
        interrupted=interrupted,
    )


def _step(path: Path, saved: Saved) -> Step:
    """The layer of a file, on its input; its arrays must be the layer's."""
    meta = saved.meta
    try:
        network = msgspec.structs.replace(spelled_network([meta.layer]), input=meta.input)
        (step,) = plan(network).steps
    except SpecError as error:
        raise foreign(path, f"its layer {meta.layer!r} is none: {error.problems[0].message}") from None
    case = Case(step.layer, step.x, step.batch)
    names = {"x", *step.layer.side_inputs(step.x), *step.layer.tensors(step.x)}
    shapes = {name: case.shape(name) for name in names}
    if "dy" in saved.arrays:
        shapes["dy"] = (*step.batch, *step.y)
    found = {name: array.shape for name, array in saved.arrays.items()}
    if found != shapes or any(str(array.dtype) != stored(meta.dtype) for array in saved.arrays.values()):
        raise foreign(path, f"its arrays {found} in {meta.dtype} are not the layer's {shapes}")
    return msgspec.structs.replace(step, name=meta.name)


class _Replay(Ledger):
    """One layer, one job."""

    def __init__(self, subjects: list[Subject], wanted: Wanted, saved: Saved):
        super().__init__(subjects, wanted)
        self._saved = saved

    def made(self, step: Step) -> Iterable[Job]:
        """The saved check."""
        return [ReplayJob(step, self.wanted, self._saved)]


class ReplayJob(Job):
    """A saved check on its own data: bit for bit where nothing can round, else within the bound."""

    def __init__(self, step: Step, wanted: Wanted, saved: Saved):
        super().__init__(step, wanted.seed, other_name(wanted), saved.meta.dtype)
        self.name, self.method = saved.meta.check, "exact" if saved.meta.exact else "bound"
        self._wanted, self._saved = wanted, saved

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The same data to both."""
        layer, arrays = self.step.layer, self._saved.arrays
        sample = Sample({name: save(directory, name, array) for name, array in arrays.items()}, {})
        theirs = their_call(bench, self._wanted, layer, sample, self.dtype, directory)
        backward = "dy" in arrays
        if self.method == "exact":
            return [our_call(bench, layer, sample, self.dtype, directory), theirs]
        counts = gradient_roundings(layer, self.step.x, self.step.images) if backward else {}
        precision = coarse(max(counts.values()) if backward else roundings(layer, self.step.x))[0]
        task = "reference_gradients" if backward else "reference"
        return [bench.ours.call(task, layer, sample, self.dtype, precision, directory, "ours"), theirs]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The verdict of the check that failed, on what both sides say now."""
        broken = self.broken(replies, ["convcli", self.against])
        if broken:
            return (broken,)
        files = files_of(replies[1].value)
        if self.method == "exact":
            check = self._exact(files_of(replies[0].value), files)
            return (msgspec.structs.replace(check, seconds=seconds_of(replies)),)
        backward = "dy" in self._saved.arrays
        kind = BoundGradientJob if backward else BoundJob
        theirs = msgspec.structs.replace(replies[1], value=files if backward else files[FORWARD])
        return kind(self.step, self._wanted.seed, self.against, self.dtype).checks([replies[0], theirs])

    def _exact(self, ours: dict[str, str], theirs: dict[str, str]) -> Check:
        for name, file in ours.items():
            y = load(file)
            if name not in theirs:
                return self.check(Status.FAILED, f"{self.against} gave no {name}")
            z = load(theirs[name])
            if z.shape != y.shape:
                return self.check(Status.SHAPE_MISMATCH, f"{name}: {self.against} gave {z.shape}, expected {y.shape}")
            if z.dtype != y.dtype:
                return self.check(Status.FAILED, f"{name}: {self.against} gave {z.dtype}, expected {y.dtype}")
            found = difference(y, z)
            if found.worst is not None:
                words = f"{name}: expected {y[found.worst]:.9g}, {self.against} gave {z[found.worst]:.9g}; "
                words += f"{found.wrong} elements differ, {found.share:.1%}"
                return self.check(Status.FAILED, words, max_abs_error=found.max_abs_error, worst_index=found.worst)
        return self.check(Status.PASSED, "equal on the saved data", max_abs_error=0.0)
