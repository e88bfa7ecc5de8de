"""The results of all parts in the order of the whole, one by one: each is there once, or it is told by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from operator import attrgetter

from convcli.errors import SpecError
from convcli.merging.parts import FIELD, Found, Part

SHOWN = 5  # places that a message names
OTHERS = 100  # files that a process has open beside those it reads


class Some:
    """How many there are of something, and the first few of them."""

    def __init__(self, what: str):
        self.what, self.count, self._first = what, 0, list[str]()

    def add(self, item: str, count: int = 1) -> None:
        """So many more, of which this is one."""
        self.count += count
        if len(self._first) < SHOWN:
            self._first.append(item)

    def __str__(self) -> str:
        """3 results are missing: 4, 7, 9"""
        more = f" and {self.count - len(self._first):,} more" if self.count > len(self._first) else ""
        return f"{self.count:,} {self.what}: {', '.join(self._first)}{more}"


def check_counts(parts: Sequence[Part]) -> None:
    """Raises SpecError when the parts are shards of different counts."""
    first = parts[0]
    other = next((part for part in parts if part.shard.count != first.shard.count), None)
    if other is not None:
        told = f"{first.path} is one of {first.shard.count} shards, {other.path} one of {other.shard.count}"
        raise SpecError(told, field=FIELD)


def in_order(parts: Sequence[Part]) -> Iterator[Found]:
    """Every result. Raises SpecError behind the last one when some are missing, or there twice."""
    _make_room(parts)
    twice, missing = Some("results are there twice"), Some("results are missing")
    before: Found | None = None
    for found in merge(*map(_ascending, parts), key=attrgetter("position")):
        if before and found.position == before.position:
            twice.add(f"{found.name} is in {before.home} and in {found.home}")
        else:
            _skipped(missing, before, found.position)
            yield found
        before = found
    if twice.count:
        raise SpecError(str(twice), field=FIELD)
    of = max(part.of for part in parts)
    _skipped(missing, before, of)
    if missing.count:
        there = {part.shard.index for part in parts}
        absent = [str(shard) for shard in parts[0].shard.all if shard.index not in there]
        told = f"shard {', '.join(absent)} is not there: " if absent else ""
        raise SpecError(f"{told}{missing}, of {of:,}", field=FIELD)


def _ascending(part: Part) -> Iterator[Found]:
    """The part's results, which are in order. Raises SpecError when they are not."""
    last = -1
    for found in part.results():
        if found.position < last:
            told = f"{part.path}: {found.name} stands behind a later result"
            raise SpecError(told, field=FIELD, allowed="journals as they were written")
        last = found.position
        yield found


def _skipped(missing: Some, before: Found | None, position: int) -> None:
    """The places before this one that nobody has been at."""
    start = before.position + 1 if before else 0
    for place in range(start, min(position, start + SHOWN)):
        missing.add(str(place + 1))
    missing.count += max(0, position - start - SHOWN)


def _make_room(parts: Sequence[Part]) -> None:
    """All files are open at the same time: where that is more than usual, ask for it."""
    try:
        import resource
    except ImportError:  # only POSIX has such limits
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len(parts) + OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
