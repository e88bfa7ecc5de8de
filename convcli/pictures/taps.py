"""Which input cells an output cell reads: the input with its padding, the taps, the cell that they make; 1-D to 3-D.

It goes by the layer's `Link`s, so it draws whatever slides or gathers: convolutions, transposed ones, pools, resizing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from convcli.layers import Conv, Shape
from convcli.pictures import words
from convcli.pictures.asked import Asked
from convcli.pictures.board import Board, Map
from convcli.pictures.compose import filmed
from convcli.pictures.scene import Film, Mark, Scene
from convcli.pictures.views import View, steps, told_parts, told_reads, views
from convcli.plan import Step


def drawn(step: Step, asked: Asked) -> Scene | Film:
    """The taps of one output cell, `asked.cell`, or of all of them, one after the other."""
    words.check_axes(step)
    outs = step.y[1:]
    cell = asked.cell_of(outs)
    seen = views(step.layer.links(step.x), step.x[1:], outs, cell, whole=asked.animate)
    cells = steps(seen, asked.most) if asked.animate else [cell]
    board = Board([[_input(seen)], [Map("output", tuple(view.outputs for view in seen), lambda _: "output")]])
    film = filmed(
        words.title(step),
        list(board.marks()),
        [list(_step(board, seen, one)) for one in cells],
        description=_description(step, seen, cells),
        captions=words.captions(step),
        legend=_legend(step, seen),
        notes=[*told_parts(seen, cells, animated=asked.animate), *_notes(step)],
    )
    return film if asked.animate else film.still()


def _input(seen: Sequence[View]) -> Map:
    def role(place: Shape) -> str:
        return "input" if all(map(View.holds, seen, place)) else "padding"

    return Map("input", tuple(view.cells for view in seen), role)


def _step(board: Board, seen: Sequence[View], cell: Shape) -> Iterator[Mark]:
    """The taps of one output cell, the cell, and what there is to say of them."""
    for source in _copied(seen, cell):
        yield board.cell("input", source, "read")
    for tap in product(*map(View.taps, seen, cell)):
        inside = all(map(View.holds, seen, tap))
        index = [view.link.tap(at, one) for view, at, one in zip(seen, cell, tap, strict=True)]
        name = {} if None in index else {"tap": ",".join(map(str, index))}
        yield board.cell("input", tap, "tap" if inside else "tap-padding", **name)
        yield from board.word("input", tap, name.get("tap", ""), "ink" if inside else "text")
        if len(seen) == 1:
            yield board.link("input", tap, "output", cell)
    yield board.cell("output", cell, "written")
    yield board.said(_said(seen, cell))


def _copied(seen: Sequence[View], cell: Shape) -> Iterator[Shape]:
    """The cells that the padding under some taps repeats, off the zero mode."""
    for tap in product(*map(View.taps, seen, cell)):
        if not all(map(View.holds, seen, tap)):
            source = [view.source(one) for view, one in zip(seen, tap, strict=True)]
            drawn_ones = [one for view, one in zip(seen, source, strict=True) if one is not None and view.shows(one)]
            if len(drawn_ones) == len(seen):
                yield tuple(drawn_ones)


def _said(seen: Sequence[View], cell: Shape) -> str:
    return f"output{words.place(cell)} reads {told_reads(seen, cell)}"


def _legend(step: Step, seen: Sequence[View]) -> list[tuple[str, str]]:
    pads = any(view.cells.start < 0 or view.cells.stop > view.size for view in seen)
    mode = getattr(step.layer, "padding_mode", "zeros")
    return [
        ("input", "input"),
        *([("padding", "padding" if mode == "zeros" else f"padding ({mode})")] if pads else []),
        ("tap", "tap"),
        *([("tap-padding", "tap on padding")] if pads else []),
        *([("read", "cell that the padding repeats")] if pads and mode != "zeros" else []),
        ("written", "the output cell"),
    ]


def _notes(step: Step) -> Iterator[str]:
    layer = step.layer
    if isinstance(layer, Conv) and layer.out_channels:
        taps, channels = prod(axis.kernel for axis in layer.axes), step.x[0] // (layer.groups or 1)
        bias = " and the bias" if layer.bias else ""
        count = taps * channels
        yield f"an output cell is the sum of taps x input channels = {taps} x {channels} = {count} products{bias}"
    if layer.side_inputs(step.x):
        yield "the taps at offsets of 0; --picture samples moves them"


def _description(step: Step, seen: Sequence[View], cells: Sequence[Shape]) -> str:
    """For whoever cannot see it."""
    every = f"; {len(cells)} steps are shown, one after the other" if len(cells) > 1 else ""
    return f"The cells of the input and of the output of {words.title(step)}. {_said(seen, cells[0])}{every}."
