"""From one size to another: every window of the space with the strides that do it, the conventional ones first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import islice, product

import msgspec

from convcli.axis import Axis
from convcli.errors import SpecError
from convcli.solver import rank
from convcli.solver.records import Move, Near, Way
from convcli.solver.space import Pairs, Space
from convcli.solver.spelling import spelling, window_fields

Axes = tuple[Axis, ...]
Key = tuple[int, ...]
MOST_MIXED = 24  # ways of one axis that are combined with those of others
LONGEST = 64  # strides of one window that are all looked at; of more, the smallest and those the sizes suggest


def ways_of(space: Space, pairs: Pairs, channels: tuple[int, int], limit: int) -> tuple[int, list[Way]]:
    """(how many layers turn every size into the wanted one, the first of them).

    One kernel, stride and so on for all axes; where none does it, one of its own per axis.
    """
    found, first = _alike(space, pairs, limit)
    if not found and len(set(pairs)) > 1:
        per_axis = [_alike(space, (pair,), min(limit, MOST_MIXED)) for pair in pairs]
        found = 1
        for count, _ in per_axis:
            found *= count
        mixed = (tuple(axis for (axis,) in chosen) for chosen in product(*(axes for _, axes in per_axis)))
        first = nsmallest(limit, mixed, key=lambda axes: key(space, axes, pairs))
    return found, [_way(space, axes, pairs, channels) for axes in first]


def _alike(space: Space, pairs: Pairs, limit: int) -> tuple[int, list[Axes]]:
    found = 0
    candidates: list[Axes] = []
    for window, allowed in space.windows(pairs):
        strides = space.strides_for(window, allowed, pairs)
        found += len(strides)
        looked_at = _looked_at(strides, window, pairs, limit)
        candidates += [tuple(space.settled(window, stride, *pair) for pair in pairs) for stride in looked_at]
    return found, nsmallest(limit, candidates, key=lambda axes: key(space, axes, pairs))


def _looked_at(strides: Sequence[int], window: Axis, pairs: Pairs, limit: int) -> Sequence[int]:
    """All strides, or of very many the smallest and those that the kernel and the sizes suggest."""
    if len(strides) <= max(LONGEST, limit):
        return strides
    suggested = {window.kernel, window.span}
    for small, large in map(sorted, pairs):
        suggested |= {large // small, -(-large // small)}
    smallest = strides[: max(LONGEST, limit)]
    return [*smallest, *sorted(s for s in suggested if s in strides and s > smallest[-1])]


def key(space: Space, axes: Axes, pairs: Pairs) -> Key:
    """What ways are sorted by: how unusual, then the numbers themselves."""
    numbers = ((a.kernel, a.dilation, a.before + a.after, a.stride, len(a.auto)) for a in axes)
    return (score(space, axes, pairs), *(number for axis in numbers for number in axis))


def score(space: Space, axes: Axes, pairs: Pairs) -> int:
    """The score of the most unusual axis, and more where their kernels differ, unless those are the strides."""
    scores = (
        rank.transposed_score(axis) if space.transposed else rank.score(axis, size)
        for axis, (size, _) in zip(axes, pairs, strict=True)
    )
    tiles = all(axis.kernel == axis.stride for axis in axes)
    different = 1 if tiles else len({axis.kernel for axis in axes})
    return max(scores) + 6 * (different - 1)


def _way(space: Space, axes: Axes, pairs: Pairs, channels: tuple[int, int]) -> Way:
    rules = dict.fromkeys(rank.rule(axis, transposed=space.transposed) for axis in axes)
    words = [
        rank.transposed_remarks(axis) if space.transposed else rank.remarks(axis, size)
        for axis, (size, _) in zip(axes, pairs, strict=True)
    ]
    return Way(
        layers=(move(space, axes, tuple(size for size, _ in pairs), channels),),
        rule=", ".join(rules),
        why=tuple(dict.fromkeys(word for axis in words for _, word in axis)),
        score=score(space, axes, pairs),
    )


def move(space: Space, axes: Axes, sizes: tuple[int, ...], channels: tuple[int, int]) -> Move:
    """The layer that these axes are, on these sizes."""
    type_ = f"ConvTranspose{len(axes)}d" if space.transposed else f"Conv{len(axes)}d"
    fields = {
        "type": type_,
        "in_channels": channels[0],
        "out_channels": channels[1],
        **window_fields(axes, transposed=space.transposed),
    }
    settled = [
        axis.transposed_settled(size) if space.transposed else axis.settled(size)
        for axis, size in zip(axes, sizes, strict=True)
    ]
    return Move(
        layer=spelling(fields),
        input=sizes,
        output=tuple(out(space, axis, size) for axis, size in zip(axes, sizes, strict=True)),
        kernel_size=tuple(axis.kernel for axis in axes),
        stride=tuple(axis.stride for axis in axes),
        padding=tuple((axis.before, axis.after) for axis in settled),
        dilation=tuple(axis.dilation for axis in axes),
        output_padding=tuple(axis.output_padding for axis in axes),
    )


def out(space: Space, axis: Axis, size: int) -> int:
    """The output's size; 0 where there is none."""
    if not space.transposed:
        settled = axis.settled(size)
        return 0 if settled.lacking(size) else settled.out(size)
    try:
        return axis.transposed_settled(size).transposed_out(size)
    except SpecError:
        return 0


def nearest(space: Space, pairs: Pairs, channels: tuple[int, int]) -> tuple[Near, ...]:
    """The sizes just below and above the wanted one that one layer of the space makes, all axes alike."""
    best: dict[bool, tuple[Key, tuple[int, ...], Axes]] = {}
    for axes in _neighbours(space, pairs):
        made = tuple(out(space, axis, size) for axis, (size, _) in zip(axes, pairs, strict=True))
        if not all(made):
            continue
        off = [one - wanted for one, (_, wanted) in zip(made, pairs, strict=True)]
        rated, above = ((sum(map(abs, off)), *key(space, axes, pairs)), made, axes), sum(off) > 0
        if any(off) and (above not in best or rated[0] < best[above][0]):
            best[above] = rated
    sizes = tuple(size for size, _ in pairs)
    return tuple(Near(made, (move(space, axes, sizes, channels).layer,)) for _, (_, made, axes) in sorted(best.items()))


def _neighbours(space: Space, pairs: Pairs) -> Iterator[Axes]:
    """Every window with the strides given, or those on both sides of where the wanted size would be."""
    for window, allowed in space.windows(pairs):
        around: set[int] = {1}
        for size, wanted in pairs:
            room = max(size + window.before + window.after - window.span, 0)
            first = max(wanted // size, 1) if space.transposed else room // wanted
            around |= {first, first + 1} | set(() if space.transposed else {room // max(wanted - 1, 1) + 1})
        for stride in islice(allowed if allowed is not None else sorted(around - {0}), LONGEST):
            axis = msgspec.structs.replace(window, stride=stride)
            limit = max(axis.stride, axis.dilation)
            extras = space.output_paddings or ((0, limit - 1) if space.transposed and not axis.auto else (0,))
            for extra in extras:
                if extra < limit:
                    yield (msgspec.structs.replace(axis, output_padding=extra),) * len(pairs)
