"""A share of many cases: which of n machines works at which, agreed upon without a word between them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from heapq import heapify, heapreplace
from typing import Any

import msgspec

from convcli.errors import SpecError

ALWAYS = 1_000_000  # macs that take about as long as all that a case costs beside them


class Shard(msgspec.Struct, frozen=True):
    """Number `index` of `count`, from 1."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def whole(self) -> bool:
        """There is no other."""
        return self.count == 1

    @property
    def all(self) -> tuple[Shard, ...]:
        """Every shard of this count."""
        return tuple(Shard(number, self.count) for number in range(1, self.count + 1))

    def of(self, cases: Iterable[tuple[Hashable, int]]) -> Iterator[bool]:
        """Of cases one by one, (what they are, their macs), whether each is ours. Equal ones go together.

        Each goes to the shard that has least to do so far, so no two shards differ by more than the largest case.
        """
        loads = [(0, number) for number in range(1, self.count + 1)]
        heapify(loads)
        homes: dict[Hashable, int] = {}
        for key, macs in cases:
            home = homes.get(key)
            if home is None:
                load, home = loads[0]
                heapreplace(loads, (load + ALWAYS + macs, home))
                if key is not None:
                    homes[key] = home
            yield home == self.index


class Share(msgspec.Struct, frozen=True):
    """What a report says of the shard that it is: which cases of how many in all it holds, and what they were asked."""

    shard: str
    positions: tuple[int, ...]
    of: int
    options: dict[str, Any] = {}


def shard_of(text: str | Shard | None) -> Shard:
    """3/7 as typed; the whole when there is nothing. Raises SpecError."""
    if text is None or isinstance(text, Shard):
        return text or Shard()
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise SpecError(f"{text!r} is no shard", field="--shard", allowed="i/n with i from 1 to n, as in 3/7")
    return shard
