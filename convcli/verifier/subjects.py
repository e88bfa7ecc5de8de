"""Which layers of what is given are to be checked, and by which shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress, tee

from convcli.layers import is_convolution
from convcli.plan import Network, Plan, plan
from convcli.spec.stream import Stream
from convcli.verifier.case import Case
from convcli.verifier.ledger import Subject, chosen, named
from convcli.verifier.shard import Shard

Given = Network | Plan | Stream


class Subjects:
    """The layers, as often as one likes; listed: all of them are held, not read from a file one by one.

    only: names or patterns. convolutions: of these alone. Raises SpecError for a name that matches none.
    """

    def __init__(self, given: Given | Sequence[Given], only: Sequence[str] = (), *, convolutions: bool = False):
        parts = (given,) if isinstance(given, Network | Plan | Stream) else tuple(given)
        self._streams = [one for one in parts if isinstance(one, Stream)]
        plans = [plan(one) if isinstance(one, Network) else one for one in parts if not isinstance(one, Stream)]
        self._convolutions = convolutions
        self.listed = bool(only) or not self._streams
        self._found: list[Subject] = []
        if only:
            self._found = named([*chosen(plans, (), convolutions=convolutions), *self._streamed()], only)
        elif plans:
            self._found = chosen(plans, (), convolutions=convolutions)
        self._count = len(self._found)
        if not self.listed:
            self._count += sum(1 for _ in self._streamed()) if convolutions else sum(map(len, self._streams))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Subject]:
        return iter(self._found) if self.listed else chain(self._found, self._streamed())

    def of(self, shard: Shard, seed: int) -> Iterator[tuple[int, Subject]]:
        """A shard's layers with their places; those of one configuration are together, where they are checked once."""
        ours, every = tee(enumerate(self))
        costs = ((self._key(one, seed), one.step.layer.counts(one.step.x, one.step.images).macs) for _, one in every)
        return ours if shard.whole else compress(ours, shard.of(costs))

    def _key(self, subject: Subject, seed: int) -> bytes | None:
        step = subject.step
        return Case(step.layer, step.x, step.batch, seed).key if self.listed else None

    def _streamed(self) -> Iterator[Subject]:
        found = (Subject(step, stream.source) for stream in self._streams for step in stream.steps())
        return (one for one in found if not self._convolutions or is_convolution(one.step.layer))
