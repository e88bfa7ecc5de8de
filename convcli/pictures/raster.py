"""A Scene as PNG, a Film as GIF, through Pillow (the extra `pictures`) and the font that it brings along."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from convcli.errors import BackendMissing
from convcli.pictures.roles import ROLES, Paint
from convcli.pictures.scene import BOLD, Box, Circle, Film, Line, Mark, Rect, Scene, Text, hull

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

FINE = 2  # drawn so much larger, and averaged: Pillow's lines have steps
LARGEST = 40_000_000  # pixels that are drawn on
DASH, SPACE = 3, 2
EDGE = 4  # pixels that outlines may lie outside of their boxes
INSTALL = 'Pillow is not installed; pip install "convcli[pictures]"'


def png(scene: Scene, *, scale: float = 2.0, theme: str = "light") -> bytes:
    """The scene as PNG, `scale` pixels for each of its own, fewer where it is huge."""
    _check_pillow()
    there = io.BytesIO()
    _whole(scene, scale, theme).image.reduce(FINE).save(there, "PNG")
    return there.getvalue()


def gif(film: Film, *, scale: float = 1.0, theme: str = "light") -> bytes:
    """The film as an endless GIF; what stays is drawn once."""
    _check_pillow()
    from PIL import Image as Pictures

    canvas = _whole(film.base, scale, theme)
    base = canvas.image.reduce(FINE)
    frames = []
    for marks in film.frames:
        frame = base.copy()
        if marks:
            part, place = canvas.part(hull(marks), marks)
            frame.paste(part, place)
        frames.append(frame)
    colours = frames[0].quantize(128)
    flat = [frame.quantize(palette=colours, dither=Pictures.Dither.NONE) for frame in frames]
    there = io.BytesIO()
    flat[0].save(there, "GIF", save_all=True, append_images=flat[1:], duration=round(film.seconds * 1000), loop=0)
    return there.getvalue()


def _check_pillow() -> None:
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: F401
    except ImportError as error:
        raise BackendMissing(INSTALL) from error


def _whole(scene: Scene, scale: float, theme: str) -> _Canvas:
    """The scene, drawn FINE times as large as it will be."""
    from PIL import Image as Pictures

    zoom = min(scale * FINE, math.sqrt(LARGEST / (scene.width * scene.height)))
    size = (math.ceil(scene.width * zoom / FINE) * FINE, math.ceil(scene.height * zoom / FINE) * FINE)
    canvas = _Canvas(Pictures.new("RGB", size, _paint("ground", theme).fill), zoom, theme)
    canvas.add(scene.marks)
    return canvas


class _Canvas:
    """An image that marks are drawn on; (left, top) is where the scene's pixel (0, 0) lies on it."""

    def __init__(self, image: Image.Image, zoom: float, theme: str, left: int = 0, top: int = 0) -> None:
        from PIL import ImageDraw

        self.image, self.zoom, self.theme, self.left, self.top = image, zoom, theme, left, top
        self.draw = ImageDraw.Draw(image, "RGBA")

    def part(self, box: Box, marks: Iterable[Mark]) -> tuple[Image.Image, tuple[int, int]]:
        """(what lies in `box`, with more marks on it, in its final size; where it belongs)"""
        left, top = (max(0, math.floor((value - EDGE) * self.zoom / FINE)) for value in box[:2])
        right, bottom = (math.ceil((value + EDGE) * self.zoom / FINE) for value in box[2:])
        right, bottom = min(right, self.image.width // FINE), min(bottom, self.image.height // FINE)
        cut = self.image.crop((left * FINE, top * FINE, right * FINE, bottom * FINE))
        canvas = _Canvas(cut, self.zoom, self.theme, -left * FINE, -top * FINE)
        canvas.add(marks)
        return cut.reduce(FINE), (left, top)

    def add(self, marks: Iterable[Mark]) -> None:
        """Draw marks, one above the other."""
        for mark in marks:
            paint = _paint(mark.role, self.theme)
            line = max(1, round(ROLES[mark.role].line * self.zoom))
            if isinstance(mark, Text):
                self._write(mark, paint.fill)
            elif isinstance(mark, Line):
                ends = [self._at(mark.x, mark.y), self._at(mark.to_x, mark.to_y)]
                self.draw.line(ends, fill=paint.stroke, width=line)
            elif isinstance(mark, Circle):
                stroke = None if paint.stroke == "none" else paint.stroke
                self.draw.ellipse(self._box(mark), _faded(paint.fill, mark.opacity), stroke, line)
            else:
                self._rect(mark, paint, line)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self.zoom) + self.left, round(y * self.zoom) + self.top

    def _box(self, mark: Rect | Circle) -> tuple[int, int, int, int]:
        left, top, right, bottom = mark.box
        return (*self._at(left, top), *self._at(right, bottom))

    def _rect(self, mark: Rect, paint: Paint, line: int) -> None:
        """The outline lies on the edge, as in SVG."""
        left, top, right, bottom = self._box(mark)
        if paint.fill != "none" and right > left and bottom > top:
            self.draw.rectangle((left, top, right - 1, bottom - 1), _faded(paint.fill, mark.opacity))
        if paint.stroke == "none":
            return
        if ROLES[mark.role].dashed:
            self._dashes((left, top, right, bottom), paint.stroke, line)
        else:
            half = line // 2
            self.draw.rectangle((left - half, top - half, right + half, bottom + half), None, paint.stroke, line)

    def _dashes(self, box: tuple[int, int, int, int], colour: str, line: int) -> None:
        left, top, right, bottom = box
        dash, step = round(DASH * self.zoom), max(1, round((DASH + SPACE) * self.zoom))
        for start in range(left, right, step):
            for y in (top, bottom):
                self.draw.line([(start, y), (min(start + dash, right), y)], colour, line)
        for start in range(top, bottom, step):
            for x in (left, right):
                self.draw.line([(x, start), (x, min(start + dash, bottom))], colour, line)

    def _write(self, mark: Text, colour: str) -> None:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        size = mark.size * self.zoom
        bold = round(size * 0.025) if mark.role in BOLD else 0
        self.draw.text(self._at(mark.x, mark.y), written(mark.text), colour, _font(size), anchor, stroke_width=bold)


def _paint(role: str, theme: str) -> Paint:
    return ROLES[role].dark if theme == "dark" else ROLES[role].light


_FONTS: dict[float, Any] = {}


def _font(size: float) -> Any:
    """Pillow's own, which is everywhere the same."""
    from PIL import ImageFont

    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


def written(text: str) -> str:
    """Pillow's font has the letters of ASCII; accents are left out, anything else is a question mark."""
    if not text.isascii():
        text = "".join(normalize("NFKD", letter)[0] for letter in text).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _faded(colour: str, opacity: float) -> tuple[int, int, int, int] | None:
    if colour == "none":
        return None
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue, round(255 * min(max(opacity, 0.0), 1.0))
