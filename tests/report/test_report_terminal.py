"""On a terminal: every width is readable, and no number is ever cut."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from report_samples import COMMANDS, NASTY, good, huge, many, named, outcomes, report
from rich.console import Console

from convcli.report import terminal
from convcli.report.table import page
from convcli.report.text import texts

if TYPE_CHECKING:
    from convcli.records import Command, Report
    from convcli.verifier.verdict import Outcome

WIDTHS = (20, 40, 60, 80, 120, 200)


def shown(
    record: Report | Outcome, width: int, *, color: bool = False, verbose: bool = False, quiet: bool = False
) -> str:
    out = io.StringIO()
    system = "standard" if color else None
    console = Console(file=out, width=width, force_terminal=True, color_system=system, legacy_windows=False)  # type: ignore[arg-type]
    terminal.show(record, console, verbose=verbose, quiet=quiet)
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()) if not color else out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_are_whole_and_missing_columns_named(command: Command, width: int) -> None:
    record = report(command, backward=command == "flops")
    rendered = shown(record, width)
    assert "…" not in rendered
    gone = re.findall(r"no room here for: (.*)", rendered)
    missing = gone[0].split(", ") if gone else []
    words = set(rendered.split())
    (table,) = page(record).tables
    for row in table.rows:
        for column, cell in zip(table.columns[1:], texts(row, separators=True)[1:], strict=True):
            if column.title not in missing and not column.folds and cell != "-":
                assert set(cell.split()) <= words, (column.title, cell)
    assert width < 200 or not missing


@pytest.mark.parametrize("record", [report("flops", backward=True), named(NASTY), named(NASTY, command="params")])
def test_tables_fit_every_width_to_the_cell(record: Report) -> None:
    (table,) = page(record).tables
    totals = zip(table.columns, texts(table.rows[-1], separators=True), strict=True)
    essential = {total for column, total in totals if column.right and column.rank == 0}
    for width in range(20, 180, 2):
        rendered = shown(record, width)
        assert essential <= set(rendered.split())
        assert "\n".join(["", *table.notes, ""]) in rendered
        for rule in re.findall("─+", rendered):
            assert len(rule) <= width
            (row,) = [line for line in rendered.splitlines() if re.match(r"total +[\d.,x ]+$", line)]
            assert len(row.rstrip()) <= width


def test_the_essential_columns_stay_or_everything_is_listed() -> None:
    assert "──" in shown(report("flops"), 80)
    narrow = shown(report("flops"), 40)
    assert "──" not in narrow
    assert "no room" not in narrow
    assert re.search(r"^  macs_nonpad +116,214,528$", narrow, re.MULTILINE)
    assert re.search(r"^  macs_zero_insert +231,211,008$", narrow, re.MULTILINE)


@pytest.mark.parametrize("width", WIDTHS)
def test_huge_numbers_stay_whole(width: int) -> None:
    assert f"{huge().reports[0].totals.macs:,}" in shown(huge(), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_names_are_text_not_markup(width: int) -> None:
    rendered = shown(named(NASTY), width)
    assert "[bold red]x" in rendered.replace("\n", "")
    assert r"nul\x00bell\x07" in rendered.replace("\n", "")
    assert "\x00" not in rendered
    assert re.sub(r"[^x]", "", rendered).count("x" * 300) >= 1  # all 300, on as many lines as it takes


def test_a_long_name_does_not_push_the_numbers_away() -> None:
    (line,) = [line for line in shown(named(["x" * 300]), 400).splitlines() if "Conv2d" in line]
    assert len(line) < 150


@pytest.mark.parametrize("width", WIDTHS)
def test_verify_names_every_layer_and_repeats_the_bad(width: int) -> None:
    rendered = shown(outcomes(), width)
    for layer in outcomes().layers:
        assert layer.name in rendered
        assert layer.status.good or layer.repro in rendered
    assert rendered.splitlines()[-1].startswith("1 passed, 1 failed")


def test_quiet_and_verbose() -> None:
    assert shown(good(), 80, quiet=True) == "1 passed in 0.5 s\n"
    assert "38.0 of 53 bits" in shown(good(), 80, verbose=True)
    assert "38.0 of 53 bits" not in shown(good(), 80)


def test_statuses_are_coloured() -> None:
    rendered = shown(outcomes(), 120, color=True)
    assert "\x1b[32mpassed" in rendered
    assert "\x1b[31mfailed" in rendered
    assert "\x1b[1;32m1 passed" in shown(good(), 120, color=True)


def test_many_rows_are_plain_lines() -> None:
    rendered = shown(many(2500), 80)
    assert len(re.findall(r"^conv\d+ +Conv2d ", rendered, re.MULTILINE)) == 2500
