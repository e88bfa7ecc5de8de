"""The calculator's numbers: totals at the top, a table per network, every layer's record below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from convcli.report.flat import flat, written
from convcli.report.html.document import MOST_FOLDS, Page, Section, figures
from convcli.report.html.element import Markup, element, lines
from convcli.report.html.tables import table
from convcli.report.table import convention_lines, heading, in_all, sentence
from convcli.report.table import page as tables
from convcli.units import counted, digits, scaled, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.records import LayerRecord, NetworkRecord, Report
    from convcli.report.html.album import Album
    from convcli.report.table import Table

HIDDEN = {"name", "type"}  # they are the fold's title


def page(report: Report, album: Album) -> Page:
    """Two sections per network: its table, its layers one by one."""
    several = len(report.reports) > 1
    drawn = tables(report)
    sections: list[Section] = []
    folds = MOST_FOLDS
    for place, (network, grid) in enumerate(zip(report.reports, drawn.tables, strict=True), 1):
        shown = network.layers[:folds]
        folds -= len(shown)
        sections += _sections(f"n{place}", network, grid, shown, album, named=several)
    first = report.reports[0]
    return Page(
        title=counted(len(report.reports), "network") if several else first.name or first.source or "network",
        command=report.command if several or not first.name else f"{report.command} {first.source}",
        said=in_all(report) if several and report.command != "shape" else sentence(first, report.command),
        sections=tuple(sections),
        figures=None if several else _figures(first),
        foot=convention_lines(report),
    )


def _sections(
    key: str, network: NetworkRecord, grid: Table, shown: tuple[LayerRecord, ...], album: Album, *, named: bool
) -> Iterator[Section]:
    name = heading(network)
    ids = [f"{key}-{number}" for number in range(1, len(shown) + 1)]
    first_rows = [number for number, row in enumerate(grid.rows) if row.kind == "layer"]
    links = dict(zip(first_rows, ids, strict=False))
    above = [_figures(network), *(element("p", note, class_="note") for note in grid.notes)] if named else []
    title = name if named else "Layers"
    yield Section(key, title, (*filter(None, above), table(grid, title, "layer", links)))
    if shown:
        pictures = [album.picture(network.source, one.name, at) for at, one in zip(ids, shown, strict=True)]
        folds = [_fold(*fold) for fold in zip(ids, shown, pictures, strict=True)]
        title = f"{name}: layer by layer" if named else "Layer by layer"
        yield Section(f"{key}-layers", title, (*folds, *_left(len(network.layers) - len(shown))))


def _left(number: int) -> Iterator[Markup]:
    if number:
        more = f"{counted(number, 'more layer')} in the table only: folds and pictures are for the first {MOST_FOLDS}"
        yield element("p", more, class_="note")


def _figures(network: NetworkRecord) -> Markup | None:
    totals, least = network.totals, "" if network.totals.complete else "at least "
    memory = totals.memory
    numbers = (
        ("parameters", totals.params, ""),
        ("MACs", totals.macs, ""),
        ("FLOPs", totals.flops, ""),
        ("backward MACs", UNSET if totals.backward is UNSET else totals.backward.macs, ""),
        ("weights", UNSET if memory is UNSET else memory.weight_bytes, "B"),
        ("outputs", UNSET if memory is UNSET else memory.activation_bytes, "B"),
    )
    known = [(what, value, unit) for what, value, unit in numbers if value is not UNSET]
    told = [(what, least + scaled(value, unit).strip(), f"{value:,} {unit}".strip()) for what, value, unit in known]
    output = [("output", shape(totals.output), "")] if totals.output is not UNSET else []
    return figures([("layers", f"{len(network.layers):,}", ""), *told, *output])


def _fold(key: str, layer: LayerRecord, picture: Markup | None) -> Markup:
    """All of a layer's record, and its picture. The id stands inside: a link to it opens the fold."""
    title = element("summary", element("b", layer.name), " ", layer.type)
    facts = [fact for _, name, value in flat(layer) if name not in HIDDEN for fact in _fact(name, value)]
    return element("details", lines((title, element("dl", *facts, class_="facts", id=key), picture)))


def _fact(name: str, value: Any) -> Iterator[Markup]:
    said = digits(value, separators=True) if isinstance(value, int) and name != "line" else written(value)
    if said:
        yield element("div", element("dt", name.replace("_", " ").replace(".", ", ")), element("dd", said))
