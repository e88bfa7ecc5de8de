"""`diff`: a row per layer that differs, the totals below."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from convcli.gate.changes import LayerChange
from convcli.report.sheet import Case, Sheet
from convcli.report.table import Cell, Column, Pair, Row, Signed, Table, macs_words
from convcli.units import counted, printable, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.gate.changes import Delta, Diff, End, NetworkChange

SHOWN = {"params": ("params", 0), "macs": ("macs", 1), "activation_bytes": ("output bytes", 5)}  # title, rank
WORDS = {"params": "parameters", "macs": "MACs", "activation_bytes": "bytes of outputs"}
MOST = 20  # layers of a table that is to be short
_LINE: Any = msgspec.defstruct("Layer", ["network", *LayerChange.__struct_fields__], frozen=True)


def sheet(record: Diff) -> Sheet:
    """One table per network; nothing of it is good or bad."""
    several = len(record.networks) > 1
    tables = (layer_table(one, heading=_heading(one) if several else "") for one in record.networks)
    return Sheet(
        "diff",
        tuple(table for table in tables if table),
        tuple(_case(one, layer) for one in record.networks for layer in one.layers),
        tuple(_line(one, layer) for one in record.networks for layer in one.layers),
        f"{macs_words(record.convention)}; bytes for {record.dtype}",
        _last_line(record),
        0,
        verdict=False,
    )


def layer_table(change: NetworkChange, *, heading: str = "", most: int = 0) -> Table | None:
    """The layers of a change (the `most` that differ most), then the totals; None for no layers and no difference."""
    if not change.layers and not change.differs:
        return None
    keys = [key for key in SHOWN if getattr(change.totals, key) is not UNSET]
    layers, left = change.layers, 0
    if most and len(layers) > most:
        largest = sorted(layers, key=_size, reverse=True)[:most]
        layers, left = tuple(layer for layer in layers if layer in largest), len(layers) - most
    rows = [_row(layer, keys) for layer in layers]
    rows.append(Row(("total", None, None, None, *_numbers(change.totals, keys)), "total"))
    columns = [
        Column("layer", right=False, folds=28),
        Column("change", right=False, rank=3),
        Column("type", right=False, rank=8),
        Column("output", right=False, rank=6, folds=14),
    ]
    for key in keys:
        title, rank = SHOWN[key]
        columns += [Column(title, rank=rank), Column("+/-", rank=rank)]
    return Table(heading, tuple(columns), tuple(rows), tuple(_notes(change, left, short=most > 0)))


def signed(delta: Delta) -> str:
    """-69, -63.89%"""
    share = "" if delta.percent is UNSET else f", {delta.percent:+.2f}%"
    return f"{delta.difference:+,}{share}"


def _row(layer: LayerChange, keys: list[str]) -> Row:
    cells = (_name(layer), _words(layer), _both(layer, "type"), _both(layer, "output"))
    return Row((*cells, *_numbers(layer, keys)))


def _name(layer: LayerChange) -> str:
    """The name after, or both where somebody gave the layer another one."""
    if layer.renamed:
        return _both(layer, "name") or ""
    known = layer.before if layer.after is UNSET else layer.after
    return "" if known is UNSET else printable(known.name)


def _words(layer: LayerChange) -> str:
    said: list[str] = [layer.status] if layer.status != "same" else []
    said += [word for word in ("renamed", "moved") if getattr(layer, word)]
    return ", ".join(said) or "same"


def _both(layer: LayerChange, field: str) -> str | None:
    """What a field is on both sides: once where it is the same."""
    sides = [getattr(side, field) for side in (layer.before, layer.after) if side is not UNSET]
    told = dict.fromkeys(printable(side) if isinstance(side, str) else shape(side) for side in sides if side != UNSET)
    return " -> ".join(told) or None


def _numbers(record: Any, keys: list[str]) -> Iterator[Cell]:
    for key in keys:
        yield from _cells(getattr(record, key))


def _cells(delta: Any) -> tuple[Cell, Cell]:
    if delta is UNSET:
        return None, None
    ends = [end for end in (delta.before, delta.after) if end is not UNSET]
    difference = Signed(delta.difference) if delta.difference else None
    return (Pair(*ends) if len(ends) == 2 else ends[0] if ends else None), difference


def _size(layer: LayerChange) -> int:
    return sum(abs(delta.difference) for key in SHOWN if (delta := getattr(layer, key)) is not UNSET)


def _notes(change: NetworkChange, left: int, *, short: bool) -> Iterator[str]:
    if left:
        yield f"and {counted(left, 'layer')} more that differ less"
    before, after = change.before.input, change.after.input
    if before != after:
        yield "input " + " -> ".join("none" if one is None else shape(one) for one in (before, after))
    if change.unchanged:
        yield f"{counted(change.unchanged, 'layer')} the same"
    if not short and not (change.before.complete and change.after.complete):
        yield "the cost of some layers is not known: the totals are lower bounds"


def _heading(change: NetworkChange) -> str:
    return " -> ".join(_called(end) for end in (change.before, change.after))


def _called(end: End) -> str:
    return ": ".join(printable(part) for part in (end.source, end.name) if part) or "nothing"


def _line(change: NetworkChange, layer: LayerChange) -> Any:
    """csv's row: the layer, with its network."""
    network = change.after if change.after.source or change.after.name else change.before
    return _LINE(_called(network), *msgspec.structs.astuple(layer))


def _case(change: NetworkChange, layer: LayerChange) -> Case:
    there = layer.before if layer.after is UNSET else layer.after
    line = UNSET if there is UNSET else there.line
    lines = [_both(layer, "type"), _both(layer, "output")]
    lines += [_told(key, getattr(layer, key)) for key in SHOWN]
    return Case(
        (change.before if layer.after is UNSET else change.after).source or "convcli diff",
        f"{_name(layer)} {_words(layer)}",
        detail=tuple(filter(None, lines)),
        line=line,
    )


def _told(key: str, delta: Any) -> str:
    """parameters 108 -> 39 (-69, -63.89%); nothing for what does not differ."""
    if delta is UNSET or not delta.difference:
        return ""
    start, end = (0 if one is UNSET else one for one in (delta.before, delta.after))
    return f"{WORDS[key]} {start:,} -> {end:,} ({signed(delta)})"


def _last_line(record: Diff) -> str:
    """1 layer changed: parameters 108 -> 39 (-69, -63.89%), MACs 3,888 -> 1,404 (-2,484, -63.89%)"""
    if not record.differs:
        return f"no differences in {counted(sum(one.unchanged for one in record.networks), 'layer')}"
    said = Counter(word for one in record.networks for layer in one.layers for word in _words(layer).split(", "))
    del said["same"]
    words = ", ".join(f"{counted(number, 'layer')} {word}" for word, number in said.items())
    words = words or "the layers are the same"
    if len(record.networks) > 1:
        return f"{words} in {counted(len(record.networks), 'network')}"
    totals = record.networks[0].totals
    numbers = ", ".join(filter(None, (_told(key, getattr(totals, key)) for key in SHOWN)))
    return f"{words}: {numbers or 'the totals are the same'}"
