"""Title, captions, legend and notes around the marks of a picture; nothing is cut off, no words lie on others."""

from __future__ import annotations

from collections.abc import Sequence

from convcli.pictures import letters
from convcli.pictures.scene import Circle, Film, Mark, Rect, Scene, Text, hull, moved

MARGIN, LEAST = 20.0, 380.0  # around everything; width of the words' column
TITLE, WORDS = 17.0, 13.0  # sizes of letters
SWATCH = 14.0
GAP = 18.0


def composed(
    title: str,
    marks: Sequence[Mark],
    *,
    description: str,
    captions: Sequence[str] = (),
    legend: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Scene:
    """A scene of marks that may lie anywhere: title and captions above them, legend and notes below."""
    return filmed(title, marks, [()], description=description, captions=captions, legend=legend, notes=notes).base


def filmed(
    title: str,
    marks: Sequence[Mark],
    frames: Sequence[Sequence[Mark]],
    *,
    description: str,
    captions: Sequence[str] = (),
    legend: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> Film:
    """`composed`, with room for the marks of every frame."""
    left, top, right, bottom = hull([*marks, *(mark for frame in frames for mark in frame)])
    room = max(right - left, LEAST)
    head = [*_lines([title], room, TITLE, "heading"), *_lines(captions, room, WORDS, "text")]
    foot = _lines(notes, room, WORDS, "label")
    swatches, tall = _legend(legend, room)
    down = MARGIN + _tall(head) + GAP - top
    legend_at = down + bottom + (GAP if legend else 0)
    notes_at = legend_at + tall + (GAP / 2 if notes else 0)
    words = [
        *(moved(mark, MARGIN, MARGIN) for mark in _stacked(head)),
        *(moved(mark, MARGIN, legend_at) for mark in swatches),
        *(moved(mark, MARGIN, notes_at) for mark in _stacked(foot)),
    ]
    height = notes_at + _tall(foot) + MARGIN
    scene = Scene(
        title,
        description,
        room + 2 * MARGIN,
        height,
        (*words, *(moved(mark, MARGIN - left, down) for mark in marks)),
        tuple(captions),
        tuple(legend),
        tuple(notes),
    )
    return Film(scene, tuple(tuple(moved(mark, MARGIN - left, down) for mark in frame) for frame in frames))


def _lines(texts: Sequence[str], room: float, size: float, role: str) -> list[tuple[str, float, str]]:
    return [(line, size, role) for text in texts for line in letters.wrapped(text, size, room, bold=role == "heading")]


def _tall(lines: Sequence[tuple[str, float, str]]) -> float:
    return sum(size * letters.LEADING for _, size, _ in lines)


def _stacked(lines: Sequence[tuple[str, float, str]]) -> list[Mark]:
    """One below the other, from (0, 0) down."""
    placed: list[Mark] = []
    top = 0.0
    for text, size, role in lines:
        placed.append(Text(0, top + size * letters.ASCENT, text, role, size))
        top += size * letters.LEADING
    return placed


def _legend(entries: Sequence[tuple[str, str]], room: float) -> tuple[list[Mark], float]:
    """(swatches with their words in rows no wider than `room`, how tall they are)"""
    marks: list[Mark] = []
    x = y = 0.0
    step = max(SWATCH, WORDS) * 1.5
    for role, words in entries:
        taken = SWATCH + 6 + letters.width(words, WORDS)
        if x and x + taken > room:
            x, y = 0.0, y + step
        marks.append(_swatch(x, y, role, words))
        lines = letters.wrapped(words, WORDS, room - SWATCH - 6)
        for number, line in enumerate(lines):
            marks.append(Text(x + SWATCH + 6, y + 11.5 + number * WORDS * letters.LEADING, line, "text", WORDS))
        y += (len(lines) - 1) * WORDS * letters.LEADING
        x += taken + GAP
    return marks, y + step if entries else 0.0


def _swatch(x: float, y: float, role: str, words: str) -> Mark:
    if role.startswith("point"):
        return Circle(x + SWATCH / 2, y + SWATCH / 2, SWATCH / 2 - 1, role, {"legend": words})
    return Rect(x, y, SWATCH, SWATCH, role, {"legend": words})
