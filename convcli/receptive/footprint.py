"""The input cells that one output cell depends on, exactly: followed back through the network, layer by layer.

Kernels are dense across axes, so what a layer reads is a product of one set per axis, a box. Where branches join, the
union of two boxes need not be a box: a footprint is a list of boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from convcli.errors import SpecError
from convcli.field import NOTHING, first_field, ways
from convcli.plan import spatial_rank
from convcli.reach import Cells

if TYPE_CHECKING:
    from convcli.layers import Field, Shape
    from convcli.layers.companion import Way
    from convcli.plan import Plan
    from convcli.reach import Link

Box = tuple[Cells, ...]  # one set of cells per axis
Changed = Mapping[int, "Link"]  # links in place of the layers' own, by the number of the step
INPUT = -1  # the number of the step that an input comes from
MOST_CELLS = 10_000_000  # along an axis of anything that is followed cell by cell


class Feed(NamedTuple):
    """One input of a step: the number of the step that it comes from, its shape, its field and how it is read."""

    source: int
    shape: Shape
    field: Field
    ways: list[Way]

    def back(self, cells: Cells, axis: int, link: Link | None = None) -> Cells:
        """The cells of this input that `cells` of the output read, along an axis; 1 where no axis is left."""
        way, size = self.ways[axis], self.size(axis)
        check_length(size)
        asked = cells if way.place is not None else min(cells, 1)
        return (link or way.link).back(asked, size)

    def size(self, axis: int) -> int:
        """The number of cells along an axis; 1 where no axis is left."""
        reach = self.field[axis]
        return 1 if reach.place is None else reach.merged or self.shape[reach.place]


class Graph:
    """The steps of a plan with what feeds them. Where a field is not known, a step has no feeds."""

    def __init__(self, plan: Plan):
        self.plan, self.steps = plan, plan.steps
        self._numbers = {step.name: number for number, step in enumerate(plan.steps)}
        self.feeds = [self._feeds(number) for number in range(len(plan.steps))]

    def _feeds(self, number: int) -> list[Feed]:
        step, entry = self.steps[number], self.plan.network.entries[number]
        if step.layer.arity[1] == 0 or step.field is None:
            return []
        found = []
        for which, source in enumerate(self.sources(number)):
            if source == INPUT:
                shape = entry.input or self.plan.network.input or ()
                rank = spatial_rank(self.plan.network.entries, number, step.layer, shape)
                field: Field | None = first_field(shape, rank, channels_last=step.channels_last)
            else:
                before = self.steps[source]
                shape, field = before.shown(before.y), before.field
            if field is not None and field is not NOTHING:
                first = len(step.batch) + (not step.channels_last)
                taken = ways(step.layer, step.x, first, which, field)
                found.append(Feed(source, shape, field, taken or []))
        return found

    def sources(self, number: int) -> list[int]:
        """The numbers of the steps that feed this one, INPUT for inputs."""
        entry = self.plan.network.entries[number]
        if entry.input is not None:
            return [INPUT]
        if entry.sources is None:
            return [number - 1]  # before the first step comes the input
        return [self._numbers[name] if name != "input" else INPUT for name in entry.sources]

    def path(self, target: int) -> list[int]:
        """The numbers of the steps that `target` depends on, its own the last."""
        needed = {target}
        for number in range(target, -1, -1):
            if number in needed:
                needed.update(feed.source for feed in self.feeds[number])
        return sorted(needed - {INPUT})

    def footprint(
        self, target: int, cells: Sequence[Cells], axes: Sequence[int], changed: Changed | None = None
    ) -> list[Box]:
        """The input cells that `cells` of step `target` depend on, along some axes: boxes that together are all."""
        reached: dict[int, list[Box]] = {target: [tuple(cells)]}
        links = changed or {}
        for number in range(target, -1, -1):
            for box in reached.pop(number, []):
                for feed in self.feeds[number]:
                    back = tuple([feed.back(one, axis, links.get(number)) for one, axis in zip(box, axes, strict=True)])
                    if all(back):
                        _join(reached.setdefault(feed.source, []), back)
        return reached.get(INPUT, [])


def check_length(cells: int) -> None:
    """Refuse an axis of more cells than are followed one by one."""
    if cells > MOST_CELLS:
        raise SpecError(f"an axis of {cells:,} cells is too long to follow", allowed=f"at most {MOST_CELLS:,}")


def _join(boxes: list[Box], new: Box) -> None:
    """Add a box to a union, without those that others hold; two that differ along one axis become one."""
    for old in boxes:
        if all(one | other == one for one, other in zip(old, new, strict=True)):
            return
        held = all(one | other == other for one, other in zip(old, new, strict=True))
        if held or sum(one != other for one, other in zip(old, new, strict=True)) == 1:
            boxes.remove(old)
            _join(boxes, tuple([one | other for one, other in zip(old, new, strict=True)]))
            return
    boxes.append(new)


def volume(boxes: Sequence[Box]) -> int:
    """The number of cells in a union of boxes."""
    if not boxes or not boxes[0]:
        return len(boxes[:1])
    parts: list[tuple[Cells, list[Box]]] = []  # sets of cells along the first axis that lie in the same boxes
    for first, *rest in boxes:
        left, split = first, []
        for cells, others in parts:
            both = cells & first
            split += [(cells & ~first, others), (both, [*others, tuple(rest)])]
            left &= ~cells
        parts = [part for part in [*split, (left, [tuple(rest)])] if part[0]]
    return sum(cells.bit_count() * volume(others) for cells, others in parts)
