"""Where a deformable convolution samples its input: the regular taps, the points that the offsets move them to.

Between four cells the value is bilinear, so those that are read are marked; outside the open square (-1, H) x (-1, W)
it is 0. With a mask, a point is as large and as strong as its mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil, floor, prod

import msgspec

from convcli.errors import SpecError
from convcli.layers import DeformConv, DeformConvPack, Shape
from convcli.pictures import words
from convcli.pictures.asked import Asked
from convcli.pictures.board import Board, Map
from convcli.pictures.compose import filmed
from convcli.pictures.grid import part
from convcli.pictures.offsets import Samples, samples
from convcli.pictures.roles import GROUPS, of_group
from convcli.pictures.scene import Circle, Data, Film, Mark, Scene
from convcli.pictures.views import MOST, View, reads, steps, told_parts, views
from convcli.plan import Step

BEYOND = 6  # cells around the taps that points may reach


class Point(msgspec.Struct, frozen=True):
    """A tap of an offset group: its regular cell, the place where it samples, and its mask."""

    group: int
    tap: int
    regular: Shape
    place: tuple[float, float]
    mask: float


def drawn(step: Step, asked: Asked) -> Scene | Film:
    """The points of one output cell, `asked.cell`, or of all of them, one after the other."""
    layer, x = _deformable(step)
    outs = step.y[1:]
    cell = asked.cell_of(outs, middle=True)
    taps = prod(axis.kernel for axis in layer.axes)
    moves, source = samples(asked.offsets, asked.seed, layer.side_inputs(x), taps)
    seen = views(layer.links(x), x[1:], outs, cell, whole=asked.animate)
    cells = steps(seen, asked.most) if asked.animate else [cell]
    points = [list(_points(layer, seen, moves, one)) for one in cells]
    every = [point for some in points for point in some]
    seen = [
        _widened(view, [point.regular[axis] for point in every], [point.place[axis] for point in every])
        for axis, view in enumerate(seen)
    ]
    drawing = _Drawing(layer, seen)
    film = filmed(
        words.title(step),
        list(drawing.board.marks()),
        [list(drawing.step(*there)) for there in zip(cells, points, strict=True)],
        description=f"The input of {words.title(step)}, and the points that output{words.place(cells[0])} is made of.",
        captions=[*words.captions(step), source],
        legend=_legend(layer),
        notes=[*told_parts(seen, cells, animated=asked.animate), *_notes(layer, seen, every)],
    )
    return film if asked.animate else film.still()


def _deformable(step: Step) -> tuple[DeformConv, Shape]:
    layer = step.layer
    if isinstance(layer, DeformConvPack):
        layer = layer.parts(step.x)[1].layer
    if not isinstance(layer, DeformConv):
        raise SpecError(f"{step.name} ({step.type}) has no offsets", field="--picture", allowed="a deformable layer")
    return layer, step.x


def _points(layer: DeformConv, seen: Sequence[View], moves: Samples, cell: Shape) -> Iterator[Point]:
    """Every drawn tap of every offset group that is drawn."""
    found = [reads(view.link, at, view.size) for view, at in zip(seen, cell, strict=True)]
    for group in range(min(layer.offset_groups, len(GROUPS))):
        for row, column in product(*map(View.taps, seen, cell)):
            tap = found[0].index(row) * len(found[1]) + found[1].index(column)
            sample = moves(group, tap, cell)
            yield Point(group, tap, (row, column), (row + sample.down, column + sample.right), sample.mask)


def _widened(view: View, regular: Sequence[int], places: Sequence[float]) -> View:
    """With room for the points beyond the padding, if they are not far from the taps."""
    low, high = min(regular) - BEYOND, max(regular) + BEYOND
    near = [floor(place) for place in places if low <= place <= high]
    wanted = range(min([*regular, *near]), max([*regular, *(one + 1 for one in near)]) + 1)
    full = range(min(view.padded.start, wanted.start), max(view.padded.stop, wanted.stop))
    return msgspec.structs.replace(view, cells=part(full, wanted, MOST[2] + 2 * BEYOND))


class _Drawing:
    """The panels, and what each step marks on them."""

    def __init__(self, layer: DeformConv, seen: Sequence[View]) -> None:
        self.layer, self.seen = layer, seen
        ranges = tuple(view.cells for view in seen)
        outputs = tuple(view.outputs for view in seen)
        self.board = Board([[Map("input", ranges, self._role)], [Map("output", outputs, lambda _: "output")]])

    def _role(self, place: Shape) -> str:
        return "input" if all(map(View.holds, self.seen, place)) else "padding"

    def step(self, cell: Shape, points: Sequence[Point]) -> Iterator[Mark]:
        """The cells that are read, the regular taps, and the points with the way that they were moved."""
        drawn_points = [point for point in points if _is_drawn(self.seen, point)]
        for place in sorted({place for point in drawn_points for place in self._corners(point)}):
            yield self.board.cell("input", place, "read")
        for row, column in dict.fromkeys(point.regular for point in points):
            yield self.board.inset("input", (row, column), "regular")
        for point in drawn_points:
            yield self.board.line("input", point.regular, point.place, "shift")
        for point in drawn_points:
            yield self._point(point)
        yield self.board.cell("output", cell, "written")
        yield self.board.said(self._said(cell, points))

    def _corners(self, point: Point) -> Iterator[Shape]:
        """The cells of the input between which a point lies; their weights are not 0."""
        rows, columns = ({floor(place), ceil(place)} for place in point.place)
        for place in product(rows, columns):
            if self._role(place) == "input" and all(map(View.shows, self.seen, place)):
                yield place

    def _point(self, point: Point) -> Circle:
        shown = min(max(point.mask, 0.0), 1.0)
        role = "point" if self.layer.offset_groups == 1 else of_group(point.group)
        role = role if _is_inside(self.seen, point) else "point-outside"
        radius = self.board.unit * (0.10 + 0.16 * shown)
        data: Data = {"tap": point.tap, "group": point.group, "mask": round(point.mask, 4)}
        return self.board.point("input", point.place, role, radius, 0.25 + 0.75 * shown, data)

    def _said(self, cell: Shape, points: Sequence[Point]) -> str:
        read = len({place for point in points if _is_drawn(self.seen, point) for place in self._corners(point)})
        return f"output{words.place(cell)} is made of {len(points)} points between {read} cells of the input"


def _is_drawn(seen: Sequence[View], point: Point) -> bool:
    return all(view.cells.start <= one <= view.cells.stop - 1 for view, one in zip(seen, point.place, strict=True))


def _is_inside(seen: Sequence[View], point: Point) -> bool:
    """Whether its value may be other than 0."""
    return all(-1 < one < view.size for view, one in zip(seen, point.place, strict=True))


def _legend(layer: DeformConv) -> list[tuple[str, str]]:
    strength = ", as large and strong as its mask" if layer.modulated else ""
    several = [(of_group(group), f"of offset group {group}") for group in range(min(layer.offset_groups, len(GROUPS)))]
    return [
        ("input", "input"),
        ("padding", "outside: zeros"),
        ("regular", "regular tap"),
        *([("point", f"sampling point{strength}")] if layer.offset_groups == 1 else several),
        ("point-outside", "point outside: 0"),
        ("read", "cell that is read"),
        ("written", "the output cell"),
    ]


def _notes(layer: DeformConv, seen: Sequence[View], points: Sequence[Point]) -> Iterator[str]:
    gone = [point for point in points if not _is_drawn(seen, point)]
    if gone:
        yield f"{len(gone)} of {len(points)} points lie outside of what is drawn"
    groups = layer.offset_groups
    if groups > len(GROUPS):
        yield f"{len(GROUPS)} of {groups} offset groups are drawn"
    if layer.modulated and groups > 1:
        yield "a point is as large and as strong as its mask"
    channels = (layer.in_channels or 0) // groups
    yield (
        f"each offset group moves the taps of {channels} input channels"
        if groups > 1
        else ("all input channels are sampled at the same points")
    )
