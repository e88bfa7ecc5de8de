"""A Scene as text: a letter or two for every cell, a line for every bar; readable without colours and without Unicode.

Places are those of the marks' data (scene.py says which), not pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from convcli.pictures.roles import ROLES
from convcli.pictures.scene import Circle, Mark, Rect, Scene, Text

GAP = "   "
LEAST_BAR = 8  # letters of the longest bar
COLOURS = {  # ANSI, of the terminal's own palette
    "tap": "33",
    "tap-padding": "33",
    "tap-zero": "33",
    "written": "32",
    "point": "31",
    "padding": "2",
    "bar": "34",
    "bar-2": "33",
    "bar-3": "32",
    "zero": "2",
    "group-1": "33",
    "group-2": "36",
    "group-3": "32",
    "group-4": "93",
    "group-5": "35",
    "group-6": "31",
}
Cell = tuple[str, str]  # role, glyph


def blocks(scene: Scene, *, width: int = 80, color: bool = False, plain: bool = False) -> str:
    """The scene as lines of text. plain: ASCII alone."""
    lines = [scene.title, *scene.captions, ""]
    found = [marks for marks in _panels(scene.marks).values() if not any(map(_is_bar, marks))]
    lines += _beside([_panel(marks, width, color=color, plain=plain) for marks in found], width)
    lines += _bars(scene.marks, width, color=color, plain=plain)
    if scene.legend:
        entries = [
            (_glyph(role, plain=plain), words, role) for role, words in scene.legend if _glyph(role, plain=plain) != " "
        ]
        lines += ["", *_packed(entries, width, color=color)]
    return "\n".join([*lines, *scene.notes]).rstrip("\n") + "\n"


def _packed(entries: Sequence[tuple[str, str, str]], width: int, *, color: bool) -> Iterator[str]:
    """The legend in lines no wider than `width`, if its words allow it."""
    line, taken = "", 0
    for glyph, words, role in entries:
        more = len(glyph) + 1 + len(words)
        if line and taken + 2 + more > width:
            yield line
            line, taken = "", 0
        line += ("  " if line else "") + f"{_painted(role, glyph, color=color)} {words}"
        taken += more + (2 if taken else 0)
    yield line


def _panels(marks: Sequence[Mark]) -> dict[str, list[Mark]]:
    """The marks of each panel, in the order in which the panels appear."""
    found: dict[str, list[Mark]] = {}
    for mark in marks:
        if "panel" in mark.data:
            found.setdefault(str(mark.data["panel"]), []).append(mark)
    return found


class Block:
    """Lines of a known width; colours take none."""

    def __init__(self, lines: list[str], width: int) -> None:
        self.lines, self.width = lines, width


def _headings(marks: Sequence[Mark]) -> list[str]:
    return [mark.text for mark in marks if isinstance(mark, Text) and mark.role == "panel"]


def _panel(marks: Sequence[Mark], width: int, *, color: bool, plain: bool) -> Block:
    headings = _headings(marks)
    cells: dict[tuple[int, int], Cell] = {}
    for mark in marks:
        if isinstance(mark, Rect | Circle) and "row" in mark.data and "column" in mark.data:
            place = round(float(mark.data["row"])), round(float(mark.data["column"]))
            cells[place] = mark.role, str(mark.data.get("glyph") or _glyph(mark.role, plain=plain))
    if not cells:
        return Block(headings, max(map(len, headings), default=0))
    rows = range(min(row for row, _ in cells), max(row for row, _ in cells) + 1)
    columns = range(min(column for _, column in cells), max(column for _, column in cells) + 1)
    letters = 2 if 2 * len(columns) <= width else 1
    lines = [
        "".join(_cell(cells.get((row, column)), letters, color=color) for column in columns).rstrip() for row in rows
    ]
    return Block([*headings, *lines], max(letters * len(columns), *map(len, headings), 0))


def _cell(cell: Cell | None, letters: int, *, color: bool) -> str:
    if cell is None:
        return " " * letters
    role, glyph = cell
    shaded = glyph in {"\N{LIGHT SHADE}", "\N{MEDIUM SHADE}", "\N{DARK SHADE}", "\N{FULL BLOCK}"}
    return _painted(role, (glyph * letters if shaded else glyph[:letters].ljust(letters)), color=color)


def _beside(panels: Sequence[Block], width: int) -> Iterator[str]:
    """Panels next to one another as long as there is room, else below."""
    row: list[Block] = []
    for panel in panels:
        if row and sum(one.width + len(GAP) for one in row) + panel.width > width:
            yield from _joined(row)
            yield ""
            row = []
        row.append(panel)
    yield from _joined(row)


def _joined(row: Sequence[Block]) -> Iterator[str]:
    for lines in zip_longest(*(panel.lines for panel in row), fillvalue=""):
        yield GAP.join(
            line + " " * (panel.width - _seen(line)) for line, panel in zip(lines, row, strict=True)
        ).rstrip()


def _seen(line: str) -> int:
    """The width of a line without its escapes."""
    return sum(len(part.partition("m")[2]) if number else len(part) for number, part in enumerate(line.split("\x1b[")))


def _is_bar(mark: Mark) -> bool:
    return isinstance(mark, Rect) and mark.role.startswith("bar") and "label" in mark.data


def _bars(marks: Sequence[Mark], width: int, *, color: bool, plain: bool) -> Iterator[str]:
    """conv1   ########  118.0 MMACs; panels below their headings. Names that leave no room have lines of their own."""
    groups = {name: some for name, some in _panels(marks).items() if any(map(_is_bar, some))}
    bars = [mark.data for some in groups.values() for mark in some if _is_bar(mark)]
    names, values = (max((len(str(data[key])) for data in bars), default=0) for key in ("label", "value"))
    above = names + values + 4 + LEAST_BAR > width
    names = 0 if above else names
    room = max(LEAST_BAR, width - names - values - 4)
    for number, some in enumerate(groups.values()):
        heading = _headings(some)
        yield from ([""] if number and heading else [])
        yield from heading
        for mark in filter(_is_bar, some):
            label = str(mark.data["label"])
            if above:
                yield label
            drawn = f"{_glyph(mark.role, plain=plain) * round(float(mark.data.get('share', 0)) * room):{room}}"
            bar = f"{_painted(mark.role, drawn, color=color)}  {mark.data['value']!s:>{values}}"
            yield f"  {bar}" if above else f"{label:{names}}  {bar}"


def _glyph(role: str, *, plain: bool) -> str:
    return ROLES[role].plain if plain else ROLES[role].glyph


def _painted(role: str, text: str, *, color: bool) -> str:
    return f"\x1b[{COLOURS[role]}m{text}\x1b[0m" if color and role in COLOURS else text
