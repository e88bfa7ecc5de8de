"""One layer on one set of data, put to the other side: what a check was made of, and what can be asked once more.

A job's calls tell its experiments, so whatever a check draws its data from, its failure can be taken apart here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import OURS
from convcli.verifier.case import Unfillable
from convcli.verifier.exchange import Sample, Stored, load, save
from convcli.verifier.job import Bench, Job, NothingToDo, effort
from convcli.verifier.trial import Task
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays
    from convcli.backends.target import Target
    from convcli.layers import Layer, Shape
    from convcli.verifier.jobs import Wanted
    from convcli.verifier.workers import Call, Reply, Workers

FORWARD = "y"  # the name of the only result of a forward pass; gradients have their arrays' names
THEIRS = frozenset({"result", "gradients", "trial"})
ROUNDING = frozenset({"reference", "reference_gradients"})


class Experiment(msgspec.Struct, frozen=True):
    """A layer, its data, and what the other side made of them: files by name, or the status that says why not.

    exact: no sum can round on these data.
    """

    layer: Layer
    sample: Sample
    dtype: str
    found: dict[str, Stored]
    status: Status | None = None
    exact: bool = True

    @property
    def backward(self) -> bool:
        """The results are gradients."""
        return "dy" in self.sample.files

    @property
    def shape(self) -> Shape:
        """Of x, with the batch or without."""
        return load(self.sample.files["x"]).shape

    @property
    def products(self) -> int:
        """The layer's MACs on these data."""
        batch, x = self.layer.split(self.shape)
        return effort(self.layer, x, prod(batch))

    @property
    def arrays(self) -> dict[str, Array]:
        """The data in their dtype."""
        return self.sample.load(self.dtype)


@dataclass(frozen=True)
class Tried:
    """A job by itself: its checks, and the experiments of which they were made."""

    checks: tuple[Check, ...]
    experiments: tuple[Experiment, ...] = ()


@dataclass(frozen=True)
class Workbench:
    """Where failures are taken apart. replies: waits for calls. jury: workers for others, started when needed."""

    bench: Bench
    wanted: Wanted
    replies: Callable[[Sequence[Call]], list[Reply]]
    root: str
    jury: Callable[[], Workers] | None = None

    @contextmanager
    def trying(self, job: Job) -> Iterator[Tried]:
        """One job, and its files for as long as the context lasts."""
        with self.folder() as directory:
            try:
                calls = job.start(self.bench, directory)
            except (NothingToDo, Unfillable) as reason:
                yield Tried((job.check(Status.SKIPPED, str(reason)),))
                return
            replies = self.replies(calls)
            asked = [(call.task, reply) for call, reply in zip(calls, replies, strict=True) if call.task]
            yield Tried(job.checks(replies), tuple(experiments(asked)))

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A directory that does not outlive the context."""
        Path(self.root).mkdir(exist_ok=True)  # what is tested may have deleted it
        with tempfile.TemporaryDirectory(dir=self.root, ignore_cleanup_errors=True) as directory:
            yield directory

    def again(self, experiment: Experiment, arrays: Arrays) -> Both:
        """Both sides on other data of the same shapes."""
        with self.folder() as directory:
            sample = Sample({name: save(directory, name, array) for name, array in arrays.items()}, {})
            layer, dtype = experiment.layer, experiment.dtype
            calls = [side(layer, sample, dtype, directory) for side in (self.ours, self.theirs)]
            return Both(*map(loaded, self.replies(calls)))

    def ours(self, layer: Layer, sample: Sample, dtype: str, directory: str) -> Call:
        """Our own results."""
        return our_call(self.bench, layer, sample, dtype, directory)

    def theirs(self, layer: Layer, sample: Sample, dtype: str, directory: str) -> Call:
        """The other side's."""
        return their_call(self.bench, self.wanted, layer, sample, dtype, directory)

    def evidence(self, name: str, experiment: Experiment, *more: Any) -> Any:
        """What our side can say of an experiment; None when it fails to."""
        found = experiment.found if experiment.status is None else None
        question = (experiment.layer, experiment.sample, experiment.dtype, found)
        (reply,) = self.replies([self.bench.ours.call("evidence", name, question, *more)])
        return reply.value


def our_call(bench: Bench, layer: Layer, sample: Sample, dtype: str, directory: str) -> Call:
    """Our results for one set of data."""
    task = "gradients" if "dy" in sample.files else "result"
    return bench.ours.call(task, OURS, layer, sample, dtype, directory, "ours")


def their_call(bench: Bench, wanted: Wanted, layer: Layer, sample: Sample, dtype: str, directory: str) -> Call:
    """The other side's results for one set of data."""
    backward = "dy" in sample.files
    target = tried(wanted, backward=backward)
    if target:
        return bench.theirs.call("trial", target, Task(layer, (sample,), dtype, directory, "theirs", bench.share))
    task = "gradients" if backward else "result"
    return bench.theirs.call(task, wanted.against, layer, sample, dtype, directory, "theirs")


def tried(wanted: Wanted, *, backward: bool) -> Target | None:
    """The user's function that does this, if it is one of theirs that is tested."""
    return next((target for target in wanted.own if (target.role != "forward") == backward), None)


def other_name(wanted: Wanted) -> str:
    """What the report calls the other side."""
    return wanted.own[0].name if wanted.own else wanted.against


class Both(msgspec.Struct, frozen=True):
    """What either side answers, by name; None for the side that does not."""

    expected: dict[str, Any] | None
    found: dict[str, Any] | None

    @property
    def wrong(self) -> str:
        """The first result with another value, shape or dtype; "" when all are equal or a side did not answer."""
        if self.expected is None or self.found is None:
            return ""
        return next((name for name, y in self.expected.items() if not same(self.found.get(name), y)), "")


def same(y: Array | None, z: Array | None) -> bool:
    """Equal bit for bit, -0.0 and 0.0 apart, NaN equal to itself; the same shape and dtype."""
    if y is None or z is None:
        return y is z
    return y.shape == z.shape and y.dtype == z.dtype and bool(np.array_equal(y, z, equal_nan=True))


def experiments(asked: Sequence[tuple[tuple[Any, ...], Reply]]) -> Iterator[Experiment]:
    """What was put to the other side, in order: one experiment for each set of data."""
    rounding = {_key(task[2]) for task, _ in asked if task[0] in ROUNDING}
    for task, reply in asked:
        if task[0] not in THEIRS:
            continue
        given = task[2]
        if not isinstance(given, Task):
            given = Task(given, (task[3],), task[4], "", "", 0)
        layer, dtype = given.layer, given.dtype
        for turn, sample in enumerate(given.samples):
            found = {} if reply.status else files_of(reply.value, turn)
            yield Experiment(layer, sample, dtype, found, reply.status, _key(sample) not in rounding)


def files_of(value: Any, turn: int = 0) -> dict[str, Stored]:
    """A reply's arrays, as they are stored, by name: one forward result, gradients, or one turn of a trial."""
    value = value.files[turn] if hasattr(value, "files") else value
    return dict(value) if isinstance(value, dict) else {FORWARD: value}


def loaded(reply: Reply) -> dict[str, Array] | None:
    """The arrays of a reply, copied: their files may go; None when there is none."""
    if reply.status:
        return None
    return arrays_of_files(files_of(reply.value))


def arrays_of_files(files: dict[str, Stored]) -> dict[str, Array]:
    """The arrays, copied."""
    return {name: np.array(load(file)) for name, file in files.items()}


def _key(sample: Sample) -> int:
    """Both sides' tasks hold the same one."""
    return id(sample)
