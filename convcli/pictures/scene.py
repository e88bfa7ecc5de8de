"""What a picture shows, apart from how it is drawn: a `Scene` of marks, or a `Film` whose marks change step by step.

A mark (`Rect`, `Circle`, `Line`, `Text`) has a place in pixels, from the top left, and a role, which is a key of
`roles.ROLES` and decides on its colours and letters. `data` says what it stands for; the SVG writes it as attributes
(`{"row": 3}` becomes `data-row="3"`), and the terminal, which has no pixels, goes by these of its keys:

    panel            the part of the picture that a mark belongs to; a Text of the role "panel" is its heading
    row, column      a Rect with both is a cell of its panel (a Circle too: its point lies there, rounded)
    glyph            the letter that stands for the cell, instead of its role's
    title            a Rect says it where the pointer is (an SVG's <title>, not an attribute)
    label, value     a Rect of a role that begins with "bar" is a bar: a line with its label and its value as text,
    share            as long as `share`, from 0 to 1, of the room that there is

`Scene`s are made by `compose.composed`, which puts title, captions, legend and notes around marks that lie anywhere.
A new picture is a function that returns a Scene or a Film, and a line in `choice.PICTURES`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from convcli.pictures import letters

Data = dict[str, str | int | float]
Box = tuple[float, float, float, float]  # left, top, right, bottom
BOLD = frozenset({"heading", "panel"})  # roles of text in bold letters


class Rect(msgspec.Struct, frozen=True, tag=True):
    """A box; `opacity` is that of its inside."""

    x: float
    y: float
    width: float
    height: float
    role: str
    data: Data = {}
    opacity: float = 1.0

    @property
    def box(self) -> Box:
        """Where it lies."""
        return self.x, self.y, self.x + self.width, self.y + self.height


class Circle(msgspec.Struct, frozen=True, tag=True):
    """A point, by its centre."""

    x: float
    y: float
    radius: float
    role: str
    data: Data = {}
    opacity: float = 1.0

    @property
    def box(self) -> Box:
        """Where it lies."""
        return self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius


class Line(msgspec.Struct, frozen=True, tag=True):
    """From (x, y) to (to_x, to_y)."""

    x: float
    y: float
    to_x: float
    to_y: float
    role: str
    data: Data = {}

    @property
    def box(self) -> Box:
        """Where it lies."""
        return min(self.x, self.to_x), min(self.y, self.to_y), max(self.x, self.to_x), max(self.y, self.to_y)


class Text(msgspec.Struct, frozen=True, tag=True):
    """One line of letters of `size` pixels; (x, y) is the start, middle or end of its baseline."""

    x: float
    y: float
    text: str
    role: str = "text"
    size: float = 13
    anchor: str = "start"
    data: Data = {}

    @property
    def box(self) -> Box:
        """The room that it takes at the most, in any font."""
        wide = letters.width(self.text, self.size, bold=self.role in BOLD)
        left = self.x - {"start": 0.0, "middle": wide / 2, "end": wide}[self.anchor]
        return left, self.y - letters.ASCENT * self.size, left + wide, self.y + letters.DESCENT * self.size


Mark = Rect | Circle | Line | Text


class Scene(msgspec.Struct, frozen=True):
    """A picture: later marks lie above earlier ones.

    title and description are for whoever cannot see it. captions, legend and notes are the words that some of the marks
    spell, for renderers that have no pixels; legend pairs a role with what it stands for here.
    """

    title: str
    description: str
    width: float
    height: float
    marks: tuple[Mark, ...]
    captions: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class Film(msgspec.Struct, frozen=True):
    """What stays, and what is added to it in every step; `seconds` for each step. There is at least one."""

    base: Scene
    frames: tuple[tuple[Mark, ...], ...]
    seconds: float = 0.6

    def still(self, number: int = 0) -> Scene:
        """One step alone."""
        return msgspec.structs.replace(self.base, marks=self.base.marks + self.frames[number])


def hull(marks: Iterable[Mark]) -> Box:
    """The box around all marks; (0, 0, 0, 0) around none."""
    boxes = [mark.box for mark in marks]
    if not boxes:
        return 0.0, 0.0, 0.0, 0.0
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def moved(mark: Mark, right: float, down: float) -> Mark:
    """The same mark elsewhere."""
    if isinstance(mark, Line):
        return msgspec.structs.replace(
            mark, x=mark.x + right, y=mark.y + down, to_x=mark.to_x + right, to_y=mark.to_y + down
        )
    return msgspec.structs.replace(mark, x=mark.x + right, y=mark.y + down)
