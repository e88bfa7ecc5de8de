"""Every different layer of some networks, measured once, told in the order of the spec and written to the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from convcli.errors import SpecError
from convcli.plan import Step
from convcli.timing.record import Progress, Timed, Timing
from convcli.verifier.case import Case
from convcli.verifier.journal import Header, Recording, key_of
from convcli.verifier.ledger import Subject

ANY_DATA = 0  # the seed of a key: times are of no data in particular


class Different(msgspec.Struct, frozen=True):
    """A layer that is to be measured. timing: all of it but the times."""

    step: Step
    timing: Timing

    @property
    def macs(self) -> int:
        """Its dense ones."""
        return self.timing.macs


def different(subjects: Sequence[Subject]) -> list[Different]:
    """Every different layer once, in order, with how often it is there."""
    layers: dict[bytes, Different] = {}
    for subject in subjects:
        step = subject.step
        key = Case(step.layer, step.x, step.batch).key
        first = layers.get(key)
        if first is None:
            layers[key] = Different(step, _blank(subject))
        else:
            again = msgspec.structs.replace(first.timing, count=first.timing.count + 1)
            layers[key] = msgspec.structs.replace(first, timing=again)
    return list(layers.values())


def _blank(subject: Subject) -> Timing:
    step = subject.step
    return Timing(
        name=step.name,
        type=step.type,
        source=subject.source,
        line=UNSET if step.line is None else step.line,
        input=(*step.batch, *step.x),
        output=(*step.batch, *step.y),
        macs=step.layer.counts(step.x, step.images).macs,
    )


class Course:
    """A run under way. layers: those that are ours, by their places among all."""

    def __init__(self, layers: Mapping[int, Different], record: Recording[Timed], progress: Progress | None = None):
        self._layers, self._record, self._progress = layers, record, progress
        self._places = list(layers)
        self._ahead: dict[int, Timing] = {}  # found, and not yet told
        self._timings: list[Timing] = []

    @property
    def timings(self) -> tuple[Timing, ...]:
        """All that is known, in order; behind a gap too."""
        rest = self._places[len(self._timings) :]
        return (*self._timings, *(self._ahead[place] for place in rest if place in self._ahead))

    def begin(self, own: Header) -> None:
        """Take over what an earlier part of the run has done. Raises SpecError when it is another run."""
        self._own = own
        for line in self._record.earlier(own):
            if len(self._timings) == len(self._places) or not self._is_next(line):
                raise SpecError(f"its layer {line.timing.name} is another one here", field="--resume")
            self._tell(line.timing)
        self._record.start(own)

    def cases(self) -> Iterator[tuple[int, Different]]:
        """What is to be measured, in order."""
        for place in self._places[len(self._timings) :]:
            yield place, self._layers[place]

    def take(self, place: int, found: Timing) -> None:
        """Note a layer; tell what is next in the order."""
        self._ahead[place] = found
        while len(self._timings) < len(self._places) and self._next in self._ahead:
            place, found = self._next, self._ahead.pop(self._next)
            self._record.write(Timed(place, self._key(place), found))
            self._tell(found)

    @property
    def _next(self) -> int:
        return self._places[len(self._timings)]

    def _tell(self, found: Timing) -> None:
        self._timings.append(found)
        if self._progress:
            self._progress(len(self._timings), len(self._places), found.name)

    def _is_next(self, line: Timed) -> bool:
        mine, theirs = self._layers[self._next].timing, line.timing
        told: Any = (line.index, line.key, theirs.name, theirs.count)
        return bool(told == (self._next, self._key(self._next), mine.name, mine.count))

    def _key(self, place: int) -> str:
        return key_of(self._layers[place].step, ANY_DATA, self._own.salt)
