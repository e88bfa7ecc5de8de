"""Counts as colours: up to six classes, and a legend that says in numbers what each of them holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log

from convcli.pictures.roles import HEAT

CLASSES = len(HEAT)
LONGEST = 10**9  # smaller numbers are written with all their digits


class Scale:
    """The class of each of some counts, all >= 1: from 1, pale, to 6.

    Up to six different counts have a class each. Of more, the largest of a class is to its smallest as in every other.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        values = sorted(set(counts))
        first = CLASSES - len(values) + 1  # the strongest colours, where there are few
        if len(values) <= CLASSES:
            self.classes = dict(zip(values, range(first, CLASSES + 1), strict=True))
        else:
            least, most = log(values[0]), log(values[-1])
            shares = [(log(value) - least) / (most - least) for value in values]
            self.classes = {v: 1 + min(int(s * CLASSES), CLASSES - 1) for v, s in zip(values, shares, strict=True)}

    def role(self, count: int) -> str:
        """The colour of a count."""
        return f"heat-{self.classes[count]}"

    def ink(self, count: int) -> str:
        """The colour of letters on it."""
        return f"ink-{self.classes[count]}"

    def legend(self) -> list[tuple[str, str]]:
        """What every class holds: (heat-3, 2 to 5 paths)."""
        held: dict[str, list[int]] = {}
        for count in self.classes:
            held.setdefault(self.role(count), []).append(count)
        return [
            (role, counted(some[0]) if len(some) == 1 else f"{number(some[0])} to {counted(some[-1])}")
            for role, some in held.items()
        ]


def told_paths(counts: Sequence[int]) -> Iterator[str]:
    """How many paths there are, and how few cells have half of them."""
    total, half, few = sum(counts), 0, 0
    for count in sorted(counts, reverse=True):
        if 2 * half >= total:
            break
        half, few = half + count, few + 1
    if counts:
        share = f", half of them to {few:,} of the cells" if few < len(counts) else ""
        yield f"{counted(total)} in all{share}: a tap of every layer on the way, channels not counted"


def counted(paths: int) -> str:
    """No path, 1 path, 27 paths."""
    return "no path" if not paths else f"{number(paths)} path{'' if paths == 1 else 's'}"


def number(count: int) -> str:
    """1,234; of larger numbers three digits and the power of ten."""
    if count < LONGEST:
        return f"{count:,}"
    from decimal import Decimal  # floats end at 1e308

    return f"{Decimal(count):.2e}"
