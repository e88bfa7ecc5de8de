"""A Scene as PNG, a Film as GIF, through Pillow (the extra `pictures`) and the font that it brings along."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from convcli.errors import BackendMissing
from convcli.pictures.roles import ROLES, Paint
from convcli.pictures.scene import BOLD, Circle, Film, Line, Mark, Rect, Scene, Text

if TYPE_CHECKING:
    from PIL import Image

FINE = 2  # drawn so much larger, and averaged: Pillow's lines have steps
LARGEST = 60_000_000  # pixels that are drawn on
INSTALL = 'Pillow is not installed; pip install "convcli[pictures]"'


def png(scene: Scene, *, scale: float = 2.0, theme: str = "light") -> bytes:
    """The scene as PNG, `scale` pixels for each of its own."""
    _check_pillow()
    there = io.BytesIO()
    _Canvas(scene, scale, theme).finished().save(there, "PNG")
    return there.getvalue()


def gif(film: Film, *, scale: float = 1.0, theme: str = "light") -> bytes:
    """The film as an endless GIF; what stays is drawn once."""
    _check_pillow()
    from PIL import Image as Pictures

    base = _Canvas(film.base, scale, theme)
    frames = [base.with_marks(marks).finished() for marks in film.frames]
    colours = frames[0].quantize(128)
    flat = [frame.quantize(palette=colours, dither=Pictures.Dither.NONE) for frame in frames]
    there = io.BytesIO()
    flat[0].save(
        there, "GIF", save_all=True, append_images=flat[1:], duration=round(film.seconds * 1000), loop=0, disposal=1
    )
    return there.getvalue()


def _check_pillow() -> None:
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: F401
    except ImportError as error:
        raise BackendMissing(INSTALL) from error


class _Canvas:
    """An image that marks are drawn on, larger than it will be."""

    def __init__(self, scene: Scene, scale: float, theme: str, image: Image.Image | None = None) -> None:
        from PIL import Image as Pictures
        from PIL import ImageDraw

        most = math.sqrt(LARGEST / (scene.width * scene.height))
        self.scene, self.scale, self.theme = scene, scale, theme
        self.zoom = min(scale * FINE, most)
        size = (math.ceil(scene.width * self.zoom), math.ceil(scene.height * self.zoom))
        self.image = image or Pictures.new("RGB", size, self._paint("ground").fill)
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        for mark in () if image else scene.marks:
            self._add(mark)

    def with_marks(self, marks: tuple[Mark, ...]) -> _Canvas:
        """A copy with more on it."""
        copy = _Canvas(self.scene, self.scale, self.theme, self.image.copy())
        for mark in marks:
            copy._add(mark)
        return copy

    def finished(self) -> Image.Image:
        """The image in its own size."""
        final = min(self.scale, self.zoom)
        size = (math.ceil(self.scene.width * final), math.ceil(self.scene.height * final))
        return self.image.resize(size, 4) if size != self.image.size else self.image  # 4: the mean of every box

    def _paint(self, role: str) -> Paint:
        return ROLES[role].dark if self.theme == "dark" else ROLES[role].light

    def _add(self, mark: Mark) -> None:
        paint = self._paint(mark.role)
        line = max(1, round(ROLES[mark.role].line * self.zoom))
        left, top, right, bottom = (round(value * self.zoom) for value in mark.box)
        if isinstance(mark, Text):
            self._write(mark, paint.fill)
        elif isinstance(mark, Line):
            ends = [(mark.x * self.zoom, mark.y * self.zoom), (mark.to_x * self.zoom, mark.to_y * self.zoom)]
            self.draw.line(ends, fill=paint.stroke, width=line)
        elif isinstance(mark, Circle):
            self.draw.ellipse([left, top, right, bottom], _faded(paint.fill, mark.opacity), _colour(paint.stroke), line)
        else:
            self._box(mark, [left, top, right, bottom], paint, line)

    def _box(self, mark: Rect, box: list[int], paint: Paint, line: int) -> None:
        """The outline lies on the edge, as in SVG."""
        left, top, right, bottom = box
        if paint.fill != "none" and right > left and bottom > top:
            self.draw.rectangle([left, top, right - 1, bottom - 1], _faded(paint.fill, mark.opacity))
        if paint.stroke == "none":
            return
        half = line // 2
        if not ROLES[mark.role].dashed:
            self.draw.rectangle([left - half, top - half, right + half, bottom + half], None, paint.stroke, line)
            return
        on, off = round(3 * self.zoom), round(2 * self.zoom)
        for start in range(left, right, on + off):
            stop = min(start + on, right)
            self.draw.line([(start, top), (stop, top)], paint.stroke, line)
            self.draw.line([(start, bottom), (stop, bottom)], paint.stroke, line)
        for start in range(top, bottom, on + off):
            stop = min(start + on, bottom)
            self.draw.line([(left, start), (left, stop)], paint.stroke, line)
            self.draw.line([(right, start), (right, stop)], paint.stroke, line)

    def _write(self, mark: Text, colour: str) -> None:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        bold = round(mark.size * self.zoom * 0.025) if mark.role in BOLD else 0
        place = (mark.x * self.zoom, mark.y * self.zoom)
        self.draw.text(place, _written(mark.text), colour, _font(mark.size * self.zoom), anchor, stroke_width=bold)


_FONTS: dict[float, Any] = {}


def _font(size: float) -> Any:
    from PIL import ImageFont

    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


def _written(text: str) -> str:
    """Pillow's font has the letters of ASCII; accents are left out, anything else is a question mark."""
    plain = normalize("NFKD", text).encode("ascii", "replace") if text.isascii() else _plain(text)
    return plain.decode()


def _plain(text: str) -> bytes:
    return "".join(normalize("NFKD", letter)[0] for letter in text).encode("ascii", "replace")


def _colour(colour: str) -> str | None:
    return None if colour == "none" else colour


def _faded(colour: str, opacity: float) -> tuple[int, int, int, int] | None:
    if colour == "none":
        return None
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue, round(255 * opacity)
