"""Which layer of one network is which layer of another: pairs (i, j), the same whichever of the two comes first.

Names that somebody gave come first; then layers of the same type and numbers, in order, which finds what was renamed,
and out of order, which finds what was moved; then names that stand for a position; then, between the same neighbours,
layers with the same output: one stands in for the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from convcli.gate.numbers import LayerNumbers

MOST = 1_000_000  # pairs of layers that an alignment looks at, about
Layers = Sequence[LayerNumbers]
Key = Callable[[LayerNumbers], Hashable]


def pairs(before: Layers, after: Layers) -> list[tuple[int, int]]:
    """The matched layers, in the order of `before`."""
    found: dict[int, int] = {}
    _by_key(before, after, found, lambda layer: layer.name if is_given(layer) else None)
    for key in (_exactly, _weights):
        _in_order(before, after, found, key)
        _by_key(before, after, found, key if key is _exactly else lambda layer: (layer.type, layer.name))
    _in_gaps(before, after, found)
    return sorted(found.items())


def is_given(layer: LayerNumbers) -> bool:
    """Whether the name says which layer it is; conv2d_3 and features.3 only say where it stands."""
    last = layer.name.rpartition(".")[2]
    stem, _, number = last.rpartition("_")
    return not (last.isdecimal() or (stem and number.isdecimal() and layer.type.lower().startswith(stem)))


def moved(found: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pairs that must leave for the rest to stand in one order: all but a longest rising run."""
    ends: list[int] = []  # the least end of a rising run of each length
    at: list[int] = []  # the place of that end in `found`
    before: list[int] = []
    for place, (_, j) in enumerate(found):
        size = bisect_left(ends, j)
        before.append(at[size - 1] if size else -1)
        ends[size : size + 1], at[size : size + 1] = [j], [place]
    staying, place = set(), at[-1] if at else -1
    while place >= 0:
        staying.add(found[place])
        place = before[place]
    return {pair for pair in found if pair not in staying}


def _exactly(layer: LayerNumbers) -> tuple[Any, ...]:
    return (layer.type, layer.params, layer.output, layer.macs, layer.activation_bytes)


def _weights(layer: LayerNumbers) -> tuple[Any, ...]:
    return (layer.type, layer.params)


def _left(before: Layers, after: Layers, found: dict[int, int]) -> tuple[list[int], list[int]]:
    """What is not matched yet, of either side."""
    taken = set(found.values())
    return [i for i in range(len(before)) if i not in found], [j for j in range(len(after)) if j not in taken]


def _by_key(before: Layers, after: Layers, found: dict[int, int], key: Key) -> None:
    """Match the first of a key with the first, the second with the second; None is no key."""
    left, right = _left(before, after, found)
    there: dict[Hashable, list[int]] = defaultdict(list)
    for j in reversed(right):
        there[key(after[j])].append(j)
    for i in left:
        said = key(before[i])
        if said is not None and there[said]:
            found[i] = there[said].pop()


def _in_order(before: Layers, after: Layers, found: dict[int, int], key: Key) -> None:
    left, right = _left(before, after, found)
    for i, j in common([key(before[i]) for i in left], [key(after[j]) for j in right]):
        found[left[i]] = right[j]


def _in_gaps(before: Layers, after: Layers, found: dict[int, int]) -> None:
    """Match what stands between the same matched layers: of the same output, or nameless, in one block, of one type."""
    left, right = _left(before, after, found)
    gaps: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, gap in zip(left, _neighbours(left, len(before), found), strict=True):
        gaps[gap][0].append(i)
    back = {j: i for i, j in found.items()}
    for j, gap in zip(right, _neighbours(right, len(after), back, there=False), strict=True):
        gaps[gap][1].append(j)
    for ours, theirs in gaps.values():
        _in_one_gap(before, after, found, ours, theirs)


def _in_one_gap(before: Layers, after: Layers, found: dict[int, int], ours: list[int], theirs: list[int]) -> None:
    nameless = [i for i in ours if not is_given(before[i])], [j for j in theirs if not is_given(after[j])]
    keys: list[tuple[list[int], list[int], Key]] = [
        (ours, theirs, lambda layer: layer.output),
        (*nameless, lambda layer: (layer.type, layer.name.rpartition(".")[0])),
    ]
    for here, there, key in keys:
        taken = set(found.values())
        rest, others = [i for i in here if i not in found], [j for j in there if j not in taken]
        for i, j in common([key(before[i]) for i in rest], [key(after[j]) for j in others]):
            found[rest[i]] = others[j]


def _neighbours(free: list[int], size: int, found: dict[int, int], *, there: bool = True) -> list[Hashable]:
    """For each free place, the nearest matched pairs on its two sides, as (place before, place after)."""

    def nearest(step: int) -> list[Hashable]:
        last: tuple[int, int] | None = None
        told: dict[int, Hashable] = {}
        for place in range(size)[::step]:
            told[place] = last
            if place in found:
                last = (place, found[place]) if there else (found[place], place)
        return [told[place] for place in free]

    return list(zip(nearest(1), nearest(-1), strict=True))


def common(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[tuple[int, int]]:
    """A longest common subsequence, as places in both; the same pairs when the two change places.

    Of long sequences it is one whose places are not far from each other.
    """
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    first, second = before[start:], after[start:]
    found = [(i, i) for i in range(start)]
    if not first or not second:
        return found
    longest, more = max(len(first), len(second)), len(second) - len(first)
    apart = min(longest, MOST // longest)
    low, high = min(0, more) - apart, max(0, more) + apart
    best = _lengths(first, second, low, high)
    i = j = 0
    while i < len(first) and j < len(second):
        here = j - i - low + 1
        if first[i] == second[j]:
            found.append((start + i, start + j))
            i, j = i + 1, j + 1
        elif (best[i + 1][here - 1], repr(second[j])) > (best[i][here + 1], repr(first[i])):  # a tie: by what is there
            i += 1
        else:
            j += 1
    return found


def _lengths(first: Sequence[Hashable], second: Sequence[Hashable], low: int, high: int) -> list[list[int]]:
    """best[i][j - i - low + 1]: how much first[i:] and second[j:] have in common, for j - i from low to high.

    Nothing is known beyond: 0 stands there, and at both ends of each row.
    """
    width = high - low + 1
    best = [[0] * (width + 2)]
    for i in range(len(first) - 1, -1, -1):
        below, row, one = best[-1], [0] * (width + 2), first[i]
        for j in range(min(i + high, len(second) - 1), max(i + low, 0) - 1, -1):
            here = j - i - low + 1
            row[here] = below[here] + 1 if one == second[j] else max(below[here - 1], row[here + 1])
        best.append(row)
    return best[::-1]
