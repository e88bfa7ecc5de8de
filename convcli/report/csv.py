r"""CSV: one table with a header, a row per layer (parts as "layer/part") or, of `verify`, per check.

Columns are those that some row fills: address them by name. A layer's numbers include its parts'. Control characters
are escaped (\n), so a row is a line. Text that a spreadsheet would run as a formula (it begins with = + - @) gets a
leading apostrophe, which is how a spreadsheet marks text.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from convcli.records import NetworkRecord, Report
from convcli.report.flat import Order, flat, layer_and_parts, written
from convcli.report.sheet import Sheet, drawn
from convcli.report.verdicts import checks
from convcli.units import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.report import Record
    from convcli.verifier.verdict import LayerVerdict, Outcome

Cells = dict[str, str]


def render(record: Record) -> str:
    """The record as CSV, lines ending in LF."""
    drawing = drawn(record)
    if isinstance(drawing, Report):
        return _report(drawing)
    return _sheet(drawing) if isinstance(drawing, Sheet) else _outcome(drawing)


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula, on one line."""
    text = printable(text)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} and len(text) > 1 else text


def _report(report: Report) -> str:
    places: dict[str, Order] = {}
    rows = [row for record in report.reports for row in _layers(record, places)]
    keys = sorted(places, key=lambda key: places[key])
    return _table(["source", "network", "layer", *keys], rows)


def _layers(record: NetworkRecord, places: dict[str, Order]) -> Iterator[Cells]:
    """Rows of a network; `places` gathers the columns, each with its place among the record's fields."""
    start = {"source": guarded(record.source), "network": guarded(record.name)}
    for layer in record.layers:
        for name, part in layer_and_parts(layer):
            row = {**start, "layer": guarded(name)}
            for place, key, value in flat(part):
                if key != "name":
                    places[key] = place
                    row[key] = _cell(value)
            yield row


def _outcome(outcome: Outcome) -> str:
    header = ["source", "line", "layer", "type", "layer_status", "check", "method", "dtype", "status"]
    header += ["max_abs_error", "bound_ratio", "statistical_ratio", "worst_index", "detail", "seconds", "repro"]
    return _table(header, [row for layer in outcome.layers for row in _checks(layer)])


def _checks(layer: LayerVerdict) -> Iterator[Cells]:
    start = {
        "source": guarded(layer.source),
        "line": "" if layer.line is UNSET else str(layer.line),
        "layer": guarded(layer.name),
        "type": guarded(layer.type),
        "layer_status": layer.status,
        "repro": guarded(layer.repro),
    }
    for check in checks(layer):
        found = {key: value for _, key, value in flat(check)}
        name = guarded(found.pop("name"))
        cells = {key: guarded(value) if isinstance(value, str) else written(value) for key, value in found.items()}
        yield {**start, "check": name, **cells}


def _sheet(sheet: Sheet) -> str:
    """A row for each of the sheet's records; `kind` says of what sort it is, a dictionary has a column per key."""
    places: dict[str, Order] = {}  # of a column: by the kind of record, then as its fields stand
    kinds, rows = list(dict.fromkeys(map(type, sheet.rows))), []
    for record in sheet.rows:
        row = {"kind": type(record).__name__.lower()}
        for order, name, value in flat(record):
            named = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
            for key, item in named.items():
                places.setdefault(guarded(key), (kinds.index(type(record)), *order))
                row[guarded(key)] = _cell(item)
        rows.append(row)
    return _table(["kind", *sorted(places, key=lambda key: places[key])], rows)


def _cell(value: Any) -> str:
    """A number as it is, its sign no formula; anything else guarded."""
    return written(value) if isinstance(value, (int, float)) else guarded(written(value))


def _table(header: list[str], rows: Iterable[Cells]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
