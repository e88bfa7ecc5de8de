"""The verifier's verdicts: what failed first, with its detail and the line that repeats it, then every check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report import verdicts
from convcli.report.html.document import MOST_FOLDS, Page, Section, badge, figures
from convcli.report.html.element import Markup, element, lines
from convcli.report.html.sheet import finding
from convcli.report.html.tables import kind_of, table
from convcli.report.table import Column, Row, Table
from convcli.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.report.html.album import Album
    from convcli.report.verdicts import Block
    from convcli.verifier.verdict import Check, LayerVerdict, Outcome

MOST_BLOCKS = 500
_CHECKS = (
    Column("check", right=False),
    Column("method", right=False),
    Column("dtype", right=False),
    Column("status", right=False),
    Column("largest error"),
    Column("error/bound"),
    Column("seconds", bar="seconds"),
    Column("detail", right=False, folds=40),
)


def page(outcome: Outcome, album: Album) -> Page:
    """Sections: what failed, what else is to be said, the tables, all checks layer by layer."""
    mark = "passed" if outcome.exit_code == 0 else "failed" if outcome.exit_code == 1 else "incomplete"
    return Page(
        title=_title(outcome),
        command="verify",
        said=verdicts.last_line(outcome),
        sections=tuple(_sections(outcome, album)),
        figures=_figures(outcome),
        foot=(verdicts.environment_line(outcome),),
        mark=mark,
    )


def _title(outcome: Outcome) -> str:
    sources = {layer.source for layer in outcome.layers}
    return counted(len(sources), "spec") if len(sources) > 1 else "".join(sources) or "verify"


def _figures(outcome: Outcome) -> Markup:
    summary = outcome.summary
    counts = [(name, getattr(summary, name)) for name in summary.__struct_fields__ if name != "seconds"]
    shown = [(name, f"{count:,}", "") for name, count in counts if count or name in {"passed", "failed"}]
    checks = sum(not check.status.idle for layer in outcome.layers for check in layer.checks)
    return figures([*shown, ("checks made", f"{checks:,}", ""), ("seconds", f"{summary.seconds:.1f}", "")])


def _sections(outcome: Outcome, album: Album) -> Iterator[Section]:
    blocks = verdicts.blocks(outcome)
    bad = [block for block in blocks if kind_of(block.status) == "bad"]
    others = [block for block in blocks if kind_of(block.status) != "bad"]
    if bad:
        yield Section("failed", f"Failed: {counted(len(bad), 'layer')}", tuple(_findings(bad)))
    if others:
        yield Section("told", "Not checked, or with a warning", tuple(_findings(others)))
    ids = [f"l{number}" for number in range(1, min(len(outcome.layers), MOST_FOLDS) + 1)]
    for place, (drawn, links) in enumerate(_tables(outcome, ids), 1):
        title = drawn.heading or "Layers"
        yield Section(f"t{place}", title, (table(drawn, title, "layer", links),))
    if ids:
        folds = [_fold(key, layer, album) for key, layer in zip(ids, outcome.layers, strict=False)]
        left = len(outcome.layers) - len(ids)
        more = element("p", f"The checks of {left:,} more layers are in json and csv.", class_="note") if left else None
        yield Section("checks", "Every check", tuple(filter(None, (*folds, more))))


def _findings(blocks: list[Block]) -> Iterator[Markup]:
    for block in blocks[:MOST_BLOCKS]:
        told = tuple(line for paragraph in block.paragraphs for line in paragraph)
        yield finding(verdicts.words(block.status), kind_of(block.status), block.title, "", told, block.repro)
    if len(blocks) > MOST_BLOCKS:
        yield element("p", f"and {len(blocks) - MOST_BLOCKS:,} more, in the table", class_="note")


def _tables(outcome: Outcome, ids: list[str]) -> Iterator[tuple[Table, dict[int, str]]]:
    """The table of each source, and which fold each of its rows leads to."""
    places: dict[str, list[str]] = {}
    for place, layer in enumerate(outcome.layers):
        places.setdefault(layer.source, []).extend(ids[place : place + 1])
    for drawn, keys in zip(verdicts.tables(outcome), places.values(), strict=True):
        yield drawn, dict(enumerate(keys))


def _fold(key: str, layer: LayerVerdict, album: Album) -> Markup:
    """All checks of a layer, and its picture. The id stands inside: a link to it opens the fold."""
    said = badge(verdicts.words(layer.status), kind_of(layer.status))
    title = element("summary", element("b", layer.name), " ", layer.type, " ", said)
    grid = Table("", _CHECKS, tuple(_row(check) for check in verdicts.checks(layer)))
    repeat = element("pre", element("code", layer.repro), class_="repro") if layer.repro else None
    checks = element("div", table(grid, f"Checks of {layer.name}", "check"), repeat, id=key)
    return element("details", lines((title, checks, album.picture(layer.source, layer.name, key))))


def _row(check: Check) -> Row:
    error = None if check.max_abs_error is None else f"{check.max_abs_error:.3g}"
    ratio = None if check.bound_ratio is None else f"{check.bound_ratio:.3g}"
    cells = (check.name, check.method or None, check.dtype or None, verdicts.words(check.status), error, ratio)
    found = "; ".join(line.strip() for line in check.detail.splitlines())
    return Row((*cells, f"{check.seconds:.3f}", found or None), status=check.status)
