"""Chains of layers from one size to another: equal ones by bisection, mixed ones by the sizes that can be reached."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import nsmallest

import msgspec

from convcli.axis import Axis
from convcli.solver import rank
from convcli.solver.records import Near, Sizes, Way
from convcli.solver.sizes import Axes, move, out, score
from convcli.solver.space import Pairs, Space

MOST_LAYERS = 64
MOST_SIZES = 1_000  # that a mixed chain may have reached after so many layers; then the search is cut short
KEPT = 3  # chains that lead to the same size
MIXED = 4  # what different layers in one chain add to its score

Chain = tuple[Axis, ...]
Reached = dict[Sizes, list[Chain]]
Rated = tuple[int, tuple[int, ...]]  # the scores' sum, and the chain as places in the vocabulary
Step = tuple[int, Sizes, int]  # the place in the vocabulary, the size it makes, its score


class Found(msgspec.Struct, frozen=True):
    """How many chains, the first of them, sizes nearby when there is none; whether all were looked at."""

    count: int
    ways: list[Way]
    nearest: tuple[Near, ...]
    whole: bool


def chains(space: Space, pairs: Pairs, layers: int, channels: tuple[int, int], limit: int) -> Found:
    """Chains of so many layers, equal ones first; mixed ones are of a small vocabulary, every axis alike."""
    start, target = (tuple(sizes) for sizes in zip(*pairs, strict=True))
    found = {(axis,) * layers for axis in _equal(space, pairs, layers)}
    reached, whole = _reached(space, start, target, layers)
    found |= set(reached.get(target, []))
    ways = [_way(space, chain, start, channels) for chain in found]
    best = nsmallest(limit, ways, key=lambda way: (way.score, [step.layer for step in way.layers]))
    return Found(len(ways), best, () if ways else _nearest(space, reached, start, target, channels), whole)


def _equal(space: Space, pairs: Pairs, layers: int) -> Iterator[Axis]:
    """The layers that do it when they are repeated: a longer stride never makes more (transposed: fewer) cells."""
    for window, allowed in space.windows(pairs):
        for extra in (space.output_paddings or (0, 1)) if space.transposed and not window.auto else (0,):
            axis = msgspec.structs.replace(window, output_padding=extra)
            for stride in _equal_strides(space, axis, allowed, pairs, layers):
                one = msgspec.structs.replace(axis, stride=stride)
                if extra < max(stride, one.dilation) and _is_exact(space, one, pairs, layers):
                    yield one


def _equal_strides(space: Space, axis: Axis, allowed: Sequence[int] | None, pairs: Pairs, layers: int) -> Sequence[int]:
    size, wanted = pairs[0]

    def made(stride: int) -> int:
        cells = _folded(space, msgspec.structs.replace(axis, stride=stride), size, layers)
        return cells if space.transposed else -cells

    if allowed is None:
        goal = wanted if space.transposed else -wanted
        strides = range(1, max(size + axis.before + axis.after, wanted + axis.before + axis.after) + 2)
        first = bisect_left(strides, goal, key=made)
        last = bisect_left(strides, goal + 1, lo=first, key=made)
        allowed = strides[first : min(last, first + 8)]  # those of one family make the same cells
    return [stride for stride in allowed if all(_makes(space, axis, stride, pair, layers) for pair in pairs)]


def _makes(space: Space, axis: Axis, stride: int, pair: tuple[int, int], layers: int) -> bool:
    return _folded(space, msgspec.structs.replace(axis, stride=stride), pair[0], layers) == pair[1]


def _folded(space: Space, axis: Axis, size: int, layers: int) -> int:
    """The size after so many of these layers; 0 when one of them has no output."""
    for _ in range(layers):
        size = out(space, axis, size) if size else 0
    return size


def _is_exact(space: Space, axis: Axis, pairs: Pairs, layers: int) -> bool:
    """Whether the chain multiplies or divides every size alike, where that was asked for."""
    if not space.exact:
        return True
    if space.transposed:
        return axis.transposed_shift == 0
    return 0 <= axis.shift < axis.stride and all(size == wanted * axis.stride**layers for size, wanted in pairs)


def _vocabulary(space: Space) -> list[Axis]:
    """The layers that mixed chains are made of: few kernels, no padding or half, strides that halve and so on."""
    kernels = space.kernels or ((2, 3, 4) if space.transposed else (1, 3, 5, 7))
    found = []
    for kernel in kernels:
        bare = Axis(kernel, dilation=(space.dilations or (1,))[0])
        totals = {0, 2 * ((bare.span - 1) // 2)} if space.paddings is None else set()
        totals |= {2 * padding for padding in space.paddings or () if isinstance(padding, int)}
        totals |= {0} if "valid" in (space.paddings or ()) else set()
        for stride in space.strides or (1, 2, 3, 4):
            same = {bare.span - 1} if stride == 1 and "same" in (space.paddings or ()) else set()
            for total in sorted(totals | same):
                axis = msgspec.structs.replace(bare, stride=stride, before=total // 2, after=total - total // 2)
                extras = space.output_paddings or (0, 1) if space.transposed else (0,)
                found += [
                    msgspec.structs.replace(axis, output_padding=extra)
                    for extra in extras
                    if extra < max(stride, axis.dilation)
                ]
    return [axis for axis in found if not space.exact or _keeps(space, axis)]


def _keeps(space: Space, axis: Axis) -> bool:
    return axis.transposed_shift == 0 if space.transposed else 0 <= axis.shift < axis.stride


def _reached(space: Space, start: Sizes, target: Sizes, layers: int) -> tuple[Reached, bool]:
    """(every size after so many layers of the vocabulary, with the best chains to it; whether none was left out)

    Layer by layer, without sizes from which the target cannot be reached any more.
    """
    words = _vocabulary(space)
    steps: dict[Sizes, list[Step]] = {}
    reached: dict[Sizes, list[Rated]] = {start: [(0, ())]}
    whole = True
    for _ in range(layers):
        grown: dict[Sizes, list[Rated]] = {}
        for sizes, before in reached.items():
            if sizes not in steps:
                steps[sizes] = list(_steps(space, words, sizes, target))
            for word, made, cost in steps[sizes]:
                grown.setdefault(made, []).extend((cost + total, (*chain, word)) for total, chain in before)
        kept = {sizes: nsmallest(KEPT, found, key=_unusual) for sizes, found in grown.items()}
        if len(kept) > MOST_SIZES:
            whole = False
            kept = dict(nsmallest(MOST_SIZES, kept.items(), key=lambda item: item[1][0][0]))
        reached = kept
    return {
        sizes: [tuple(words[word] for word in chain) for _, chain in found] for sizes, found in reached.items()
    }, whole


def _steps(space: Space, words: Sequence[Axis], sizes: Sizes, target: Sizes) -> Iterator[Step]:
    """What each layer of the vocabulary makes of these sizes, unless that leads past the target; with its score."""
    for word, axis in enumerate(words):
        made = tuple(out(space, axis, size) for size in sizes)
        if not all(made) or not _in_reach(made, target, space):
            continue
        if not space.exact or _divides(space, axis, sizes, made):
            yield word, made, score(space, (axis,) * len(sizes), tuple(zip(sizes, made, strict=True)))


def _unusual(rated: Rated) -> tuple[int, tuple[int, ...]]:
    total, chain = rated
    return total + MIXED * len(set(chain)), chain


def _in_reach(sizes: Sizes, target: Sizes, space: Space) -> bool:
    """Without padding beyond half the kernel a convolution never grows, and a transposed layer never shrinks."""
    if space.paddings is not None:
        return True
    ends = zip(sizes, target, strict=True)
    return all(size <= wanted if space.transposed else size >= wanted for size, wanted in ends)


def _divides(space: Space, axis: Axis, sizes: Sizes, made: Sizes) -> bool:
    return space.transposed or all(size == one * axis.stride for size, one in zip(sizes, made, strict=True))


def _way(space: Space, chain: Chain, start: Sizes, channels: tuple[int, int]) -> Way:
    moves, sizes, cost, words = [], start, 0, []
    for number, axis in enumerate(chain):
        axes: Axes = (axis,) * len(start)
        ends = (channels[0] if number == 0 else channels[1], channels[1])
        step = move(space, axes, sizes, ends)
        cost += score(space, axes, tuple(zip(sizes, step.output, strict=True)))
        found = rank.transposed_remarks(axis) if space.transposed else rank.remarks(axis, max(sizes))
        words += [word for _, word in found]
        moves.append(step)
        sizes = step.output
    kinds = len(set(chain))
    rules = dict.fromkeys(rank.rule(axis, transposed=space.transposed) for axis in chain)
    alike = f"{len(chain)} equal layers" if kinds == 1 else f"{kinds} different layers"
    return Way(
        layers=tuple(moves),
        rule=", ".join(rules),
        why=tuple(dict.fromkeys([alike, *words])),
        score=cost + MIXED * (kinds - 1),
    )


def _nearest(
    space: Space, reached: Reached, start: Sizes, target: Sizes, channels: tuple[int, int]
) -> tuple[Near, ...]:
    best: dict[bool, tuple[int, Sizes]] = {}
    for sizes in reached:
        off = [one - wanted for one, wanted in zip(sizes, target, strict=True)]
        rated, above = (sum(map(abs, off)), sizes), sum(off) > 0
        if any(off) and (above not in best or rated < best[above]):
            best[above] = rated
    found = []
    for _, sizes in (best[side] for side in sorted(best)):
        way = _way(space, reached[sizes][0], start, channels)
        found.append(Near(sizes, tuple(step.layer for step in way.layers)))
    return tuple(found)
