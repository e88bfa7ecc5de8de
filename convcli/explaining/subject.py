"""What is explained: a layer or a part of one, with all that is known of it; and the pieces that say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.explaining.working import LETTERS, Working

if TYPE_CHECKING:
    from convcli.layers import Field, Layer, Shape
    from convcli.records import LayerRecord

Cell = int | str


class Grid(msgspec.Struct, frozen=True):
    """A table; drawn: a picture, whose cells stand one below the other."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    drawn: bool = False


class Section(msgspec.Struct, frozen=True):
    """One topic: sentences, formulas with their numbers, tables."""

    title: str
    text: tuple[str, ...] = ()
    steps: tuple[Working, ...] = ()
    tables: tuple[Grid, ...] = ()


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """layer: settled on x; said: as the spec has it, padding perhaps a rule still; padding: its word.

    x, y: (channels, *space), or whole shapes, as in a Step. before: the receptive field of what feeds it.
    record: the calculator's numbers. cell: of the output, whose taps are asked for. shares: whose parameters it uses.
    """

    layer: Layer
    said: Layer
    padding: str
    x: Shape
    y: Shape
    images: int
    record: LayerRecord
    before: Field | None = None
    after: Field | None = None
    cell: Shape | None = None
    shares: str = ""

    @property
    def letters(self) -> str:
        """The names of the spatial axes; nothing of a layer of more than three."""
        return LETTERS.get(self.layer.rank, "")

    @property
    def space(self) -> Shape:
        """The input's sizes along the spatial axes."""
        return self.x[1:]
