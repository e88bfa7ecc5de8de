"""A file that a shard has left: the run that it is of, and its results one by one, each at its place among all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET

from convcli.errors import SpecError
from convcli.timing.record import Bench, Timed
from convcli.verifier.fuzz.results import Result, whole_again
from convcli.verifier.journal import Earlier, Explained, Header, Line, header, restored
from convcli.verifier.shard import Share, shard_of
from convcli.verifier.verdict import Outcome
from convcli.zoo.record import Imported

FIELD = "merge"


class Found(NamedTuple):
    """A result at its place among all. home: the file; line: as a journal has it."""

    position: int
    name: str
    result: Any
    home: str
    line: msgspec.Struct | None = None


class Part(ABC):
    """header: without the shard. of: how many cases all shards have, and seconds, are known behind the last result."""

    header: Header
    of = 0
    seconds = 0.0
    explained: list[Explained]
    record: Any = None  # the report itself

    def __init__(self, path: str, shard: str):
        self.path, self.shard, self.explained = path, shard_of(shard), []

    @abstractmethod
    def results(self) -> Iterator[Found]:
        """In the order of the file."""


class Reported(Part):
    """A JSON report."""

    def __init__(self, path: str, record: Outcome | Bench):
        every = range(len(record.layers))
        share = Share("1/1", tuple(every), len(every)) if record.share is UNSET else record.share
        super().__init__(path, share.shard)
        if len(share.positions) != len(every):
            raise SpecError(f"{path}: {len(every)} layers at {len(share.positions)} places", field=FIELD)
        seed, self.seconds = (0, record.seconds) if isinstance(record, Bench) else (record.seed, record.summary.seconds)
        own = header(record.command, seed, {**share.options, **_asked(record)}, record.environment)
        self.header = msgspec.structs.replace(own, convcli=record.convcli)
        self.of, self.record, self._positions = share.of, record, share.positions

    def results(self) -> Iterator[Found]:
        """Those of the report."""
        for position, layer in sorted(zip(self._positions, self.record.layers, strict=True), key=itemgetter(0)):
            yield Found(position, layer.name, layer, self.path)


def _asked(record: Outcome | Bench) -> dict[str, Any]:
    """What its options were, as far as the record itself says it."""
    layers = {} if record.share is UNSET else {"layers": record.share.of}
    if isinstance(record, Outcome):
        return layers
    names = ("dtype", "gradients", "threads", "left_out")
    return {**layers, **{name: getattr(record, name) for name in names}, "sides": list(record.sides)}


class Journaled(Part):
    """A journal, read line by line. Raises SpecError behind the last result when the run did not come to its end."""

    command: ClassVar[str]
    line: ClassVar[type[msgspec.Struct]]

    def __init__(self, path: str):
        self._file = Earlier(path, self.command, self.line, field=FIELD)
        options = dict(self._file.header.options)
        super().__init__(path, options.pop("shard", "1/1"))
        self.header = msgspec.structs.replace(self._file.header, options=options)

    def results(self) -> Iterator[Found]:
        """Line by line."""
        for line in self._file.results():
            found = self.found(line)
            self.seconds = self.seconds_with(line)
            yield found
        if self._file.end is None:
            allowed = f"convcli {self.command} --resume {self.path} finishes it"
            raise SpecError(f"{self.path} did not come to its end", field=FIELD, allowed=allowed)
        self.of, self.explained = self._file.end.complete, self._file.explained

    @abstractmethod
    def found(self, line: Any) -> Found:
        """A line's result at its place."""

    @abstractmethod
    def seconds_with(self, line: Any) -> float:
        """What the run took up to and with a line."""


class Verified(Journaled):
    """Of `verify`."""

    command, line = "verify", Line

    def found(self, line: Line) -> Found:
        """At the layer's place."""
        return Found(line.index, line.verdict.name, restored(line.verdict, line.infinite), self.path, line)

    def seconds_with(self, line: Line) -> float:
        """The layers' own."""
        return self.seconds + line.verdict.seconds


class Fuzzed(Journaled):
    """Of `fuzz`: the kinds take turns."""

    command, line = "fuzz", Result

    def __init__(self, path: str):
        super().__init__(path)
        self._kinds = list(self.header.options.get("kinds", ()))

    def found(self, line: Result) -> Found:
        """At the case's place."""
        if line.kind not in self._kinds:
            raise SpecError(f"{self.path}: {line.case} is of no kind of this run", field=FIELD)
        position = line.index * len(self._kinds) + self._kinds.index(line.kind)
        return Found(position, line.case, whole_again(line), self.path, line)

    def seconds_with(self, line: Result) -> float:
        """Which the line knows."""
        return line.seconds


class Measured(Journaled):
    """Of `bench`."""

    command, line = "bench", Timed

    def found(self, line: Timed) -> Found:
        """At the layer's place among all different ones."""
        return Found(line.index, line.timing.name, line.timing, self.path, line)

    def seconds_with(self, line: Timed) -> float:
        """As long as the readings took, about."""
        one = line.timing
        return self.seconds + one.readings * (sum(one.seconds.values()) + (one.limit_seconds or 0.0))


class Zoo(Journaled):
    """Of `import`: the specs lie beside it."""

    command, line = "import", Imported

    def found(self, line: Imported) -> Found:
        """At the model's place on the command line."""
        return Found(line.index, line.model.target, line.model.inside(Path(self.path).parent), self.path, line)

    def seconds_with(self, line: Imported) -> float:
        """The models' own."""
        return self.seconds + line.model.seconds


JOURNALS: dict[str, type[Journaled]] = {kind.command: kind for kind in (Verified, Fuzzed, Measured, Zoo)}


class _Told(msgspec.Struct):
    """What every JSON report says first."""

    schema: int
    command: str


def part_of(path: str) -> Part:
    """A file, by what stands in it. Raises SpecError."""
    try:
        with Path(path).open("rb") as file:
            start = file.readline(1 << 20)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}", field=FIELD) from error
    try:
        told = msgspec.json.decode(start, type=Header)
    except msgspec.MsgspecError:
        return Reported(path, _report(path))
    return JOURNALS.get(told.command, Verified)(path)


def _report(path: str) -> Outcome | Bench:
    data = Path(path).read_bytes()
    types: dict[str, type[Outcome] | type[Bench]] = {"verify": Outcome, "bench": Bench}
    try:
        told = msgspec.json.decode(data, type=_Told)
    except msgspec.MsgspecError as error:
        wanted = "a JSON report or a journal of verify, fuzz, bench or import"
        raise SpecError(f"{path} is no report of convcli: {error}", field=FIELD, allowed=wanted) from error
    if told.command not in types:
        why = {"fuzz": "holds counts, not the cases", "import": "is not merged, its journal is"}
        allowed = "reports of verify and bench, journals (.jsonl) of verify, fuzz, bench and import"
        said = why.get(told.command, "has no shards")
        raise SpecError(f"{path}: a report of {told.command} {said}", field=FIELD, allowed=allowed)
    try:
        record = msgspec.json.decode(data, type=types[told.command])
    except msgspec.MsgspecError as error:
        raise SpecError(f"{path} is no whole report of convcli {told.command}: {error}", field=FIELD) from error
    if record.interrupted:
        raise SpecError(f"{path} was interrupted", field=FIELD, allowed="runs that came to their end")
    if isinstance(record, Outcome) and record.left_out:
        left = f"{path} leaves out {record.left_out:,} layers"
        raise SpecError(left, field=FIELD, allowed="the journals (--output FILE.jsonl) of runs of that size")
    return record
