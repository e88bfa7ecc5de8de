"""Plain text: columns two spaces apart, no boxes, no colours, never cut to a width, one row per line for grep and awk.

Numbers are bare digits here (a script may add them up); the lines below the table spell them for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from convcli.records import Report
from convcli.report.table import Cell, Page, Pair, Row, Signed, Table, page
from convcli.units import digits, shape, width

if TYPE_CHECKING:
    from convcli.report import Record
    from convcli.report.sheet import Sheet
    from convcli.report.verdicts import Block
    from convcli.verifier.verdict import Outcome

GAP = "  "


def render(record: Record) -> str:
    """The record as plain text."""
    return plain(record)


def plain(record: Record, *, verbose: bool = False, quiet: bool = False, separators: bool = False) -> str:
    """The record as plain text; verbose and quiet concern `verify`. separators: 118,013,952 in the tables too."""
    if isinstance(record, Report):
        lines = page_lines(page(record), separators=separators)
    else:
        from convcli.report.sheet import Sheet, drawn  # never on the calculator's way

        drawing = drawn(record)
        lines = (
            sheet_lines(drawing, quiet=quiet)
            if isinstance(drawing, Sheet)
            else outcome_lines(drawing, verbose=verbose, quiet=quiet)
        )
    return "\n".join(lines) + "\n"


def page_lines(page: Page, *, separators: bool = False) -> Iterator[str]:
    """The tables, each with its notes, then the notes on all of them."""
    for number, table in enumerate(page.tables):
        if number:
            yield ""
        yield from table_lines(table, separators=separators)
        yield ""
        yield from table.notes
    if len(page.tables) > 1 and page.notes:
        yield ""
    yield from page.notes


def outcome_lines(outcome: Outcome, *, verbose: bool = False, quiet: bool = False) -> Iterator[str]:
    """A row per layer, a block for each that is bad or idle, the last line."""
    from convcli.report import verdicts  # never on the calculator's way

    for table in verdicts.tables(outcome, quiet=quiet):
        yield from table_lines(table)
        yield ""
    for block in verdicts.blocks(outcome, verbose=verbose, quiet=quiet):
        yield from block_lines(block)
        yield ""
    if not quiet:
        yield verdicts.environment_line(outcome)
    yield verdicts.last_line(outcome)


def sheet_lines(sheet: Sheet, *, quiet: bool = False) -> Iterator[str]:
    """The tables, each with its notes, what is not well, the last line."""
    from convcli.report.sheet import case_lines

    for table in () if quiet else sheet.tables:
        yield from table_lines(table)
        yield ""
        if table.notes:
            yield from table.notes
            yield ""
    for case in sheet.told:
        yield from case_lines(case)
        yield ""
    if not quiet:
        yield sheet.about
    yield sheet.last_line


def block_lines(block: Block) -> Iterator[str]:
    """FAILED  conv2  Conv2d  net.yaml:12, and what its checks found, indented."""
    yield f"{block.status.upper()}{GAP}{block.title}"
    for paragraph in block.paragraphs:
        yield from (f"{GAP}{line}" for line in paragraph)
    if block.repro:
        yield f"{GAP}{block.repro}"


def table_lines(table: Table, *, separators: bool = False) -> Iterator[str]:
    """Heading, column titles, rows; every cell padded to its column."""
    if table.heading:
        yield table.heading
    yield from table.lines
    if not table.columns:
        return
    titles = [column.title for column in table.columns]
    rows = [titles, *(texts(row, separators=separators) for row in table.rows)]
    widths = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    sides = [column.right for column in table.columns]
    for cells in rows:
        yield GAP.join(map(_padded, cells, widths, sides)).rstrip()


def texts(row: Row, *, separators: bool) -> list[str]:
    """The row's cells as text: the name indented by its depth; what is not known of a layer is a dash."""
    blank = "-" if row.kind in {"layer", "part"} else ""
    name, *others = row.cells
    return [
        GAP * row.depth + str(name),
        *[blank if cell is None else cell_text(cell, separators=separators) for cell in others],
    ]


def cell_text(cell: Cell, *, separators: bool) -> str:
    """A number's digits, a shape as 1x64x112x112, text as it is."""
    if isinstance(cell, int):
        return digits(cell, separators=separators)
    if isinstance(cell, Pair):
        ends = (digits(end, separators=separators) for end in (cell.before, cell.after))
        return " -> ".join(ends) if cell.before != cell.after else next(ends)
    if isinstance(cell, Signed):
        return ("+" if cell.number > 0 else "") + digits(cell.number, separators=separators)
    return shape(cell) if isinstance(cell, tuple) else cell or ""


def _padded(text: str, size: int, right: bool) -> str:  # noqa: FBT001 - one of the columns' three lists
    room = " " * (size - width(text))
    return room + text if right else text + room
