"""`bench`: a row per different layer, the sum below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.report.units import counted, printable

if TYPE_CHECKING:
    from convcli.report.table import Cell
    from convcli.timing.record import Bench, Sum, Timing


def sheet(record: Bench) -> Sheet:
    """Times in milliseconds, ratios of the first side to the others, the share of the matrix product's speed."""
    rows = [_row(record, layer) for layer in record.layers]
    totals = record.totals
    if totals.layers:
        rows.append(Row(("sum", None, None, totals.layers, *_numbers(record, totals)), "total"))
    return Sheet(
        "bench",
        (Table("", _columns(record), tuple(rows)),) if rows else (),
        tuple(_case(record, layer) for layer in record.layers),
        record.layers,
        _about(record),
        _last_line(record),
        record.exit_code,
    )


def _columns(record: Bench) -> tuple[Column, ...]:
    first, *others = record.sides
    return (
        Column("layer", right=False, folds=28),
        Column("type", right=False, rank=8),
        Column("input", right=False, rank=6),
        Column("times", rank=5),
        *(Column(f"{side} ms", rank=1 + (side != first)) for side in record.sides),
        *(Column(f"{first}/{side}") for side in others),
        *(Column(f"{side} of limit", rank=3) for side in record.sides),
    )


def _row(record: Bench, layer: Timing) -> Row:
    return Row(
        (printable(layer.name), printable(layer.type), layer.input, layer.count, *_numbers(record, layer)),
        status=layer.status,
    )


def _numbers(record: Bench, found: Timing | Sum) -> list[Cell]:
    times = [f"{found.seconds[side] * 1e3:.3f}" if side in found.seconds else None for side in record.sides]
    ratios = [f"{found.ratios[side]:.2f}" if side in found.ratios else None for side in record.sides[1:]]
    return [*times, *ratios, *(f"{found.of_limit[s]:.0%}" if s in found.of_limit else None for s in record.sides)]


def _case(record: Bench, layer: Timing) -> Case:
    """What has no time is bad."""
    lines = [f"{side}: {why}" for side, why in layer.missing.items()]
    lines += [f"{layer.status.replace('_', ' ')}: {layer.reason}"] if layer.reason else []
    bad = len(layer.seconds) < len(record.sides)
    return Case(layer.source, layer.name, bad, tuple(map(printable, lines)), sum(layer.seconds.values()))


def _about(record: Bench) -> str:
    words = [record.dtype, *(["gradients"] if record.gradients else []), counted(record.threads, "thread")]
    words += [f"medians of {record.clock}, interleaved"]
    return ", ".join([*words, *(f"{name} {value}" for name, value in record.environment.items())])


def _last_line(record: Bench) -> str:
    """53 layers: numpy 1.13 of torch's time in 24.3 s"""
    first = record.sides[0]
    words = [f"{first} takes {ratio:.2f} of {side}'s time" for side, ratio in record.totals.ratios.items()]
    line = ": ".join(filter(None, (counted(record.totals.layers, "layer"), ", ".join(words))))
    line += f" in {record.seconds:.1f} s"
    return f"interrupted: {line}" if record.interrupted else line
