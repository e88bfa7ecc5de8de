"""Text on a terminal: the same tables, with colours and thousands separators, fitted to its width.

What does not fit: names fold first, then the least important columns go (a line names them), and where even the
essential ones have no room, each layer becomes a block with all its numbers. A number is never cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table as Grid
from rich.text import Text

from convcli.records import Report
from convcli.report import text, verdicts
from convcli.report.sheet import Sheet, case_lines, drawn
from convcli.report.table import EXTRAS, Column, Row, Table, page
from convcli.units import width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from convcli.report import Record
    from convcli.report.verdicts import Block
    from convcli.verifier.verdict import Outcome

GAP = 2
LONGEST_NAME = 40  # nor does one long name push the numbers away
MANY_ROWS = 2000  # rich needs a second for them
LINE = box.Box(  # a line below the titles and above the totals
    "    \n    \n ── \n    \n ── \n ── \n    \n    \n"
)
COLOURS = {
    "passed": "green",
    "inexact": "cyan",
    "unsupported": "yellow",
    "skipped": "yellow",
}  # every other status is red


def show(record: Record, console: Console, *, verbose: bool = False, quiet: bool = False) -> None:
    """Print the record on `console`."""
    drawing = drawn(record)
    if isinstance(drawing, Report):
        _show_report(drawing, console)
    elif isinstance(drawing, Sheet):
        _show_sheet(drawing, console, quiet=quiet)
    else:
        _show_outcome(drawing, console, verbose=verbose, quiet=quiet)


def _show_report(report: Report, console: Console) -> None:
    whole = page(report)
    for number, table in enumerate(whole.tables):
        if number:
            _line(console, Text())
        _show_table(table, console)
        _line(console, Text())
        for note in table.notes:
            _line(console, Text(note, "bold"))
    if len(whole.tables) > 1:
        _line(console, Text())
    for note in whole.notes:
        _line(console, Text(note, "dim" if note == whole.notes[-1] else "bold"))


def _show_outcome(outcome: Outcome, console: Console, *, verbose: bool, quiet: bool) -> None:
    for table in verdicts.tables(outcome, quiet=quiet):
        _show_table(table, console)
        _line(console, Text())
    for block in verdicts.blocks(outcome, verbose=verbose, quiet=quiet):
        _show_block(block, console)
        _line(console, Text())
    if not quiet:
        _line(console, Text(verdicts.environment_line(outcome), "dim"))
    _last_line(console, verdicts.last_line(outcome), outcome.exit_code)


def _show_sheet(sheet: Sheet, console: Console, *, quiet: bool) -> None:
    for table in () if quiet else sheet.tables:
        _show_table(table, console)
        _line(console, Text())
        for note in table.notes:
            _line(console, Text(note, "bold"))
        if table.notes:
            _line(console, Text())
    for case in sheet.told:
        head, *lines = case_lines(case)
        _line(console, Text(head, f"bold {_colour(case.status)}"))
        for line in lines:
            _line(console, Text(line))
        _line(console, Text())
    if not quiet:
        _line(console, Text(sheet.about, "dim"))
    _last_line(console, sheet.last_line, sheet.exit_code)


def _last_line(console: Console, line: str, exit_code: int) -> None:
    colour = {0: "green", 1: "red"}.get(exit_code, "yellow")
    _line(console, Text(line, f"bold {colour}"))


def _show_block(block: Block, console: Console) -> None:
    head, *lines = text.block_lines(block)
    _line(console, Text.assemble((block.status.upper(), f"bold {_colour(block.status)}"), head[len(block.status) :]))
    for line in lines:
        _line(console, Text(line, "cyan" if line.strip() == block.repro else ""))


def _show_table(table: Table, console: Console) -> None:
    if table.heading:
        _line(console, Text(table.heading, "bold"))
    for line in table.lines:
        _line(console, Text(line))
    if not table.columns:
        return
    if len(table.rows) > MANY_ROWS:
        console.out("\n".join(text.table_lines(table, separators=True)), highlight=False)
        return
    rows = [_cells(table.columns, row) for row in table.rows]
    widths = _widths(table.columns, rows, console.width)
    if not widths:
        _show_as_blocks(table, rows, console)
        return
    console.print(_grid(table, rows, widths))
    gone = [column.title for i, column in enumerate(table.columns) if i not in widths]
    if gone:
        _line(console, Text(f"no room here for: {', '.join(gone)}", "dim italic"))


def _cells(columns: Sequence[Column], row: Row) -> list[str]:
    """The row's texts, with a space after commas where text folds: that is where a break looks best."""
    cells = text.texts(row, separators=True)
    return [
        cell.replace(", ", ",").replace(",", ", ") if column.folds and i else cell
        for i, (column, cell) in enumerate(zip(columns, cells, strict=True))
    ]


def _widths(columns: Sequence[Column], rows: list[list[str]], room: int) -> dict[int, int]:
    """The width of each column that fits, the least important gone first; none if the essential ones do not fit."""
    whole = [max(map(width, cells)) for cells in zip([column.title for column in columns], *rows, strict=True)]
    least = [min(size, column.folds or size) for size, column in zip(whole, columns, strict=True)]
    kept = list(range(len(columns)))
    while (left := room - sum(least[i] + GAP for i in kept) + GAP) < 0:
        last = max(kept, key=lambda i: columns[i].rank)
        if columns[last].rank == 0:
            return {}
        kept.remove(last)
    widths = {i: least[i] for i in kept}
    for i in kept:  # what is left goes to the text that would fold
        more = min(left, max(0, min(whole[i], LONGEST_NAME) - widths[i]))
        widths[i] += more
        left -= more
    return widths


def _grid(table: Table, rows: list[list[str]], widths: dict[int, int]) -> Grid:
    grid = Grid(box=LINE, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for i, size in widths.items():
        column = table.columns[i]
        grid.add_column(column.title, justify="right" if column.right else "left", overflow="fold", width=size)
    for number, (row, cells) in enumerate(zip(table.rows, rows, strict=True)):
        before_total = number + 1 < len(rows) and table.rows[number + 1].kind == "total"
        styled = [_styled(table.columns[i], row, cells[i]) for i in widths]
        grid.add_row(*styled, style=_style(row), end_section=before_total)
    return grid


def _styled(column: Column, row: Row, cell: str) -> Text:
    if column.title == "status":
        return Text(cell, _colour(row.status))
    return Text(cell, "dim" if cell == "-" else "")


def _show_as_blocks(table: Table, rows: list[list[str]], console: Console) -> None:
    """One block per layer: its name, then a line per number."""
    titles = [column.title for column in table.columns]
    longest = max(map(width, [*titles, *EXTRAS]))
    for number, (row, (name, *values)) in enumerate(zip(table.rows, rows, strict=True)):
        extra = row.kind == "extra"  # its name says what its only number is
        if number and row.kind not in {"extra", "part"}:
            _line(console, Text())
        if not extra:
            _line(console, Text(name, _style(row) or "bold"))
        margin = " " * GAP * (row.depth + (not extra))
        for title, value in zip(titles[1:], values, strict=True):
            if value not in {"", "-"}:
                label = f"{margin}{name.strip() if extra else title:{longest + GAP}}"
                colour = _colour(row.status) if title == "status" else _style(row)
                _line(console, Text.assemble((label, "dim"), (value, colour)))


def _line(console: Console, line: Text) -> None:
    """A line that the terminal may break, never rich: what is copied from it stays whole."""
    console.print(line, soft_wrap=True, highlight=False)


def _style(row: Row) -> str:
    return {"total": "bold", "part": "dim", "extra": "dim"}.get(row.kind, "")


def _colour(status: str) -> str:
    return COLOURS.get(status, "red")
