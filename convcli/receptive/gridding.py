"""Gridding: holes between the cells that an output cell sees along one axis, the layers that make them, and a cure.

Wang et al., Understanding Convolution for Semantic Segmentation (2018), call it so and cure it with rates like 1, 2, 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import msgspec

from convcli.axis import Axis
from convcli.reach import Cells, Scatter, Window

if TYPE_CHECKING:
    from convcli.receptive.footprint import Changed, Graph

MOST_RATES = 64  # rates up to so many are proposed
MOST_TRIED = 300  # sets of rates are traced through the network
PATTERN = 3  # rates that are chosen freely; a longer stack repeats them


class Trace(msgspec.Struct, frozen=True):
    """The question along one axis: which input cells does `cell` (as a set) of step `target` see?"""

    graph: Graph
    target: int
    axis: int
    cell: Cells

    def seen(self, changed: Changed | None = None) -> Cells:
        """The input cells."""
        boxes = self.graph.footprint(self.target, (self.cell,), (self.axis,), changed)
        return boxes[0][0] if boxes else 0

    @property
    def way(self) -> tuple[object, ...]:
        """All that the answer depends on: axes of one way have one answer."""
        feeds = [feed for number in self.graph.path(self.target) for feed in self.graph.feeds[number]]
        ways = ((feed.ways[self.axis], feed.size(self.axis)) for feed in feeds)
        return self.cell, *((way.link, way.place is None, size) for way, size in ways)

    def links(self) -> Iterator[tuple[int, Window | Scatter]]:
        """The windows of all steps up to the target along this axis, each with the number of its step."""
        for number in self.graph.path(self.target):
            for feed in self.graph.feeds[number][:1]:
                link = feed.ways[self.axis].link
                if isinstance(link, Window | Scatter):
                    yield number, link


def span(cells: Cells) -> int:
    """From the first cell to the last one."""
    return len(bin(cells).strip("0b")) if cells else 0


def holes(cells: Cells) -> int:
    """The cells between the first and the last one that are missing."""
    return span(cells) - cells.bit_count()


def causes(trace: Trace) -> dict[int, Window | Scatter]:
    """The steps without whose gaps there would be fewer holes: dilated ones, and strides wider than their kernel."""
    now = holes(trace.seen())
    found = {}
    for number, link in trace.links() if now else ():
        whole = _dense(link)
        if whole is not link and holes(trace.seen({number: whole})) < now:
            found[number] = link
    return found


def _dense(link: Window | Scatter) -> Window | Scatter:
    """The same with a tap on every cell that it steps over; itself when it steps over none."""
    axis = link.axis
    kernel = axis.span if isinstance(link, Scatter) else max(axis.span, axis.stride)
    if kernel == axis.kernel:
        return link
    return msgspec.structs.replace(link, axis=msgspec.structs.replace(axis, kernel=kernel, dilation=1))


def reason(link: Window | Scatter) -> str:
    """What of a layer makes the gaps."""
    axis = link.axis
    if axis.dilation > 1 and axis.kernel > 1:
        return f"dilation {axis.dilation}"
    return f"stride {axis.stride} > kernel_size {axis.kernel}"


def cure(trace: Trace, found: dict[int, Window | Scatter]) -> dict[int, int] | None:
    """Other dilation rates for the dilated layers that make holes: none are left, and the field is about as large.

    The padding is taken to follow, so that every shape stays as it is. None when no set of rates that was tried does,
    or only one with less than half of the field.
    """
    dilated = {number: link.axis for number, link in found.items() if link.axis.dilation > 1 and link.axis.kernel > 1}
    weights = [(axis.kernel - 1) * trace.graph.feeds[n][0].field[trace.axis].jump for n, axis in dilated.items()]
    rates = [axis.dilation for axis in dilated.values()]
    if not dilated or max(rates) > MOST_RATES:
        return None
    wanted = sum(rate * weight for rate, weight in zip(rates, weights, strict=True))
    tried = []
    for pattern in product(range(1, max(rates) + len(rates[:PATTERN])), repeat=min(len(rates), PATTERN)):
        tiled = [pattern[place % len(pattern)] for place in range(len(rates))]
        off = abs(sum(rate * weight for rate, weight in zip(tiled, weights, strict=True)) - wanted)
        tried.append((off, max(pattern), tiled))
    least = span(trace.seen()) / 2
    for *_, tiled in sorted(tried)[:MOST_TRIED]:
        new = dict(zip(dilated, tiled, strict=True))
        seen = trace.seen(redilated(found, new))
        if not holes(seen):
            return new if span(seen) >= least else None
    return None


def redilated(found: dict[int, Window | Scatter], rates: dict[int, int]) -> Changed:
    """The links with these rates, padded so that their outputs keep their sizes."""
    return {number: _at_rate(found[number], rate) for number, rate in rates.items()}


def _at_rate(link: Window | Scatter, rate: int) -> Window | Scatter:
    axis = link.axis
    more = (rate - axis.dilation) * (axis.kernel - 1)
    before, after = axis.before + more // 2, axis.after + more - more // 2
    return msgspec.structs.replace(link, axis=Axis(axis.kernel, axis.stride, rate, before, after, axis.output_padding))


def runs(cells: Sequence[int]) -> list[tuple[int, int, int]]:
    """Cells in order as (first, count, distance) of runs of equal distances."""
    found: list[tuple[int, int, int]] = []
    for cell in cells:
        if found:
            first, count, distance = found[-1]
            if count == 1 or cell == first + count * distance:
                found[-1] = (first, count + 1, cell - first if count == 1 else distance)
                continue
        found.append((cell, 1, 1))
    return found
