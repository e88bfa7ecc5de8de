"""A table's values as HTML: numbers with a bar where they add up, one scale for all columns that share a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.html.document import badge
from convcli.report.html.element import Markup, element, lines
from convcli.report.table import Pair
from convcli.report.text import cell_text
from convcli.units import counted
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convcli.report.table import Cell, Column, Row, Table

MOST_ROWS = 20_000  # a browser takes three seconds for them
Scales = dict[str, int | float]


def table(drawn: Table, name: str, noun: str = "row", links: Mapping[int, str] | None = None) -> Markup:
    """The table in a box that scrolls when the window is narrow.

    name: of the table, for those who cannot see its heading. noun: what a row is. links: ids by the row's number.
    """
    columns, shown = drawn.columns, drawn.rows[:MOST_ROWS]
    scales = _scales(drawn)
    body = [
        _row(columns, row, scales, (links or {}).get(number)) for number, row in enumerate(shown) if row.kind != "total"
    ]
    foot = [_row(columns, row, scales, None) for row in drawn.rows if row.kind == "total"]
    left = len(drawn.rows) - len(foot) - len(body)
    count = counted(sum(row.kind == "layer" for row in drawn.rows), noun)
    scale = "; bars of one unit share one scale" if scales else ""
    parts = [
        element("caption", element("span", f"{name}: ", class_="hidden"), count + scale),
        element("thead", element("tr", *(_title(column) for column in columns))),
        element("tbody", lines(("", *body, ""))),
        element("tfoot", lines(foot)) if foot else None,
    ]
    grid = element("table", lines(parts), class_="sortable" if len(body) > 1 else None)
    notes = (f"{left:,} more rows are left out here: csv and json have them all",) if left else ()
    return lines(
        (
            element("div", grid, class_="scroll", role="group", aria_label=f"{name}: {count}", tabindex="0"),
            *(element("p", note, class_="note") for note in notes),
        )
    )


def whole(drawn: Table, name: str) -> Iterator[Markup]:
    """A table with its lines above it and its notes below."""
    if drawn.lines:
        yield element("pre", lines(line.rstrip() for line in drawn.lines))
    if drawn.columns:
        yield table(drawn, drawn.heading or name)
    yield from (element("p", note, class_="note") for note in drawn.notes)


def kind_of(status: str) -> str:
    """good, bad or idle; empty for what is no status."""
    if status not in set(Status):
        return {"measured": "good", "unchecked": "idle"}.get(status, "")
    found = Status(status)
    return "good" if found.good else "bad" if found.bad else "idle"


def _title(column: Column) -> Markup:
    return element("th", column.title, scope="col", class_="n" if column.right else None)


def _row(columns: tuple[Column, ...], row: Row, scales: Scales, link: str | None) -> Markup:
    first, *others = zip(columns, row.cells, strict=True)
    name = "" if first[1] is None else cell_text(first[1], separators=True)
    inside = element("a", name, href=f"#{link}") if link else name
    cells = [_cell(column, cell, row, scales) for column, cell in others]
    kind = "" if row.kind in {"layer", "total"} else f"{row.kind} d{min(row.depth, 4)}"
    return element(
        "tr",
        element("th", inside, scope="row", class_="n" if first[0].right else _long(first[0], name)),
        *cells,
        class_=kind,
    )


def _cell(column: Column, cell: Cell, row: Row, scales: Scales) -> Markup:
    if cell is None:
        blank = "-" if row.kind in {"layer", "part"} else ""
        return element("td", blank, class_="n" if column.right else None)
    said = cell_text(cell, separators=True)
    if column.title == "status":
        kind = kind_of(row.status)
        return element("td", badge(said, kind) if kind else said)
    share = 0 if row.kind == "total" else _share(column, cell, scales)
    classes = ["n" if column.right else "", f"b b{share}" if share else "", _long(column, said)]
    return element(
        "td", said, class_=" ".join(filter(None, classes)), data_v=cell.after if isinstance(cell, Pair) else None
    )


def _long(column: Column, said: str) -> str:
    """The class of a text that is broken into lines."""
    return "long" if 0 < column.folds < len(said) else ""


def _scales(drawn: Table) -> Scales:
    """The largest amount of each unit that has bars."""
    most: Scales = {}
    for place, column in enumerate(drawn.columns):
        if column.bar:
            amounts = [_amount(row.cells[place]) for row in drawn.rows if row.kind != "total"]
            most[column.bar] = max([most.get(column.bar, 0), *amounts])
    return most


def _share(column: Column, cell: Cell, scales: Scales) -> int:
    """Per cent of the longest bar; what is more than nothing is seen."""
    amount = _amount(cell) if column.bar else 0
    return max(1, round(100 * amount / scales[column.bar])) if amount > 0 else 0


def _amount(cell: Cell) -> int | float:
    """A number, or the number that a text is."""
    if isinstance(cell, str):
        return float(cell)
    return cell if isinstance(cell, int) else 0
