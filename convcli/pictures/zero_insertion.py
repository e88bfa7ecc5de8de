"""A transposed layer as a convolution: zeros between the input's cells, the kernel rotated by 180 degrees, stride 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from string import ascii_letters

from convcli.errors import SpecError
from convcli.layers import Shape
from convcli.layers.transposed import ConvTranspose
from convcli.pictures import words
from convcli.pictures.asked import Asked
from convcli.pictures.board import Board, Map
from convcli.pictures.compose import filmed
from convcli.pictures.scene import Data, Film, Mark, Scene
from convcli.pictures.views import View, steps, told_parts, told_reads, views
from convcli.plan import Step
from convcli.reach import Window

LARGEST_KERNEL = 7  # that is drawn by itself: there are letters for 49 weights
STUFFED = "zeros inserted"


def drawn(step: Step, asked: Asked) -> Scene | Film:
    """The input, the same with its zeros, the taps of the rotated kernel for `asked.cell`, or for all cells in turn."""
    layer, outs = step.layer, step.y[1:]
    if not isinstance(layer, ConvTranspose):
        raise SpecError(
            f"{step.name} ({step.type}) inserts no zeros", field="--picture", allowed="a transposed layer, or taps"
        )
    cell = asked.cell_of(outs)
    links = [Window(axis.on_inserted) for axis in layer.axes]
    sizes = tuple(axis.inserted(size) for axis, size in zip(layer.axes, step.x[1:], strict=True))
    seen = views(links, sizes, outs, cell, whole=asked.animate)
    cells = steps(seen, asked.most) if asked.animate else [cell]
    drawing = _Drawing(layer, seen)
    film = filmed(
        words.title(step),
        [*drawing.board.marks(), *drawing.kernels()],
        [list(drawing.step(one)) for one in cells],
        description=f"{words.title(step)} as a convolution of stride 1 over its input with zeros inserted. "
        f"{drawing.said(cells[0])}.",
        captions=[*words.captions(step), f"as a convolution: {words.slides([link.axis for link in links])}"],
        legend=_legend(layer, seen),
        notes=[*told_parts(seen, cells, animated=asked.animate), _note(layer)],
    )
    return film if asked.animate else film.still()


class _Drawing:
    """The panels, and what each step marks on them."""

    def __init__(self, layer: ConvTranspose, seen: Sequence[View]) -> None:
        self.strides = [axis.stride for axis in layer.axes]
        self.kernel = tuple(axis.kernel for axis in layer.axes)
        self.seen = seen
        inputs = tuple(
            range(-(-max(view.cells.start, 0) // stride), (min(view.cells.stop, view.size) - 1) // stride + 1)
            for view, stride in zip(seen, self.strides, strict=True)
        )
        flat = len(seen) < 3 and all(map(len, inputs))
        small = flat and max(self.kernel) <= LARGEST_KERNEL
        ranges = tuple(map(range, self.kernel))
        kernel = Map("kernel", ranges, lambda _: "weight", self._letter)
        rotated = Map("rotated", ranges, lambda _: "weight", lambda place: self._letter(self._turned(place)))
        self.weights = [kernel, rotated] if small else []
        self.inputs = [Map("input", inputs, lambda _: "input")] if flat else []
        stuffed = Map(STUFFED, tuple(view.cells for view in seen), self._role)
        output = Map("output", tuple(view.outputs for view in seen), lambda _: "output")
        self.board = Board([column for column in (self.inputs, [stuffed], [output], self.weights) if column])

    def _role(self, place: Shape) -> str:
        if not all(map(View.holds, self.seen, place)):
            return "padding"
        return "zero" if any(one % stride for one, stride in zip(place, self.strides, strict=True)) else "input"

    def kernels(self) -> Iterator[Mark]:
        """Which weight stands where."""
        for one in self.weights:
            for place in product(*one.ranges):
                turned = one.name == "rotated"
                yield from self.board.word(one.name, place, _index(self._turned(place) if turned else place))

    def step(self, cell: Shape) -> Iterator[Mark]:
        """The taps of an output cell; those on cells of the input are marked there too."""
        for tap in product(*map(View.taps, self.seen, cell)):
            role = self._role(tap)
            weight = self._weight(cell, tap)
            yield self.board.cell(STUFFED, tap, "tap" if role == "input" else f"tap-{role}", tap=weight)
            yield from self.board.word(STUFFED, tap, weight, "ink" if role == "input" else "text")
            if role == "input" and self.inputs:
                source = [one // stride for one, stride in zip(tap, self.strides, strict=True)]
                yield self.board.cell("input", source, "tap", tap=weight)
                yield from self.board.word("input", source, weight, "ink")
            if len(self.seen) == 1:
                yield self.board.link(STUFFED, tap, "output", cell)
        yield self.board.cell("output", cell, "written")
        yield self.board.said(self.said(cell))

    def said(self, cell: Shape) -> str:
        """What an output cell reads."""
        return f"output{words.place(cell)} reads {told_reads(self.seen, cell)} of the input with its zeros"

    def _letter(self, index: Shape) -> Data:
        """A letter for each weight, where text is drawn."""
        row, column = (0, *index)[-2:]
        return {"glyph": ascii_letters[row * self.kernel[-1] + column]}

    def _turned(self, index: Shape) -> Shape:
        return tuple(kernel - 1 - one for kernel, one in zip(self.kernel, index, strict=True))

    def _weight(self, cell: Shape, tap: Shape) -> str:
        """The weight on a tap: the rotated kernel's first is the last one."""
        there = zip(self.seen, cell, tap, strict=True)
        return _index(self._turned(tuple(view.link.tap(at, one) or 0 for view, at, one in there)))


def _index(index: Shape) -> str:
    return ",".join(map(str, index))


def _legend(layer: ConvTranspose, seen: Sequence[View]) -> list[tuple[str, str]]:
    zeros = any(axis.stride > 1 for axis in layer.axes)
    pads = any(view.cells.start < 0 or view.cells.stop > view.size for view in seen)
    return [
        ("input", "input"),
        *([("zero", "inserted zero")] if zeros else []),
        *([("padding", "padding")] if pads else []),
        ("tap", "tap on the input"),
        *([("tap-zero", "tap on a zero")] if zeros else []),
        *([("tap-padding", "tap on padding")] if pads else []),
        ("written", "the output cell"),
    ]


def _note(layer: ConvTranspose) -> str:
    zeros = " x ".join(str(axis.stride - 1) for axis in layer.axes)
    return f"stride - 1 = {zeros} zeros between neighbours; a tap is named by the weight that it holds"
