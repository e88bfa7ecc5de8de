"""`bench`: a row per different layer, the sum below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.timing.record import MEASURED
from convcli.units import counted, printable
from convcli.verifier.verdict import Status

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
        tuple(_case(layer) for layer in record.layers),
        record.layers,
        _about(record),
        _last_line(record),
        record.exit_code,
    )


def _columns(record: Bench) -> tuple[Column, ...]:
    first, *others = short = [_short(side) for side in record.sides]
    return (
        Column("layer", right=False, folds=28),
        Column("type", right=False, rank=8),
        Column("input", right=False, rank=6),
        Column("times", rank=5),
        *(Column(f"{side} ms", rank=1 + (side != first), bar="ms") for side in short),
        *(Column(f"{first}/{side}") for side in others),
        *(Column(f"{side} of limit", rank=3) for side in short),
    )


def _short(side: str) -> str:
    """im2col for "numpy im2col": the columns are many."""
    return side.removeprefix("numpy ")


def _digits(ratio: float) -> str:
    """1.13, 0.0004: a hundredth is what interleaved medians tell, of loops a digit."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


def _row(record: Bench, layer: Timing) -> Row:
    return Row(
        (printable(layer.name), printable(layer.type), layer.input, layer.count, *_numbers(record, layer)),
        status=layer.status,
    )


def _numbers(record: Bench, found: Timing | Sum) -> list[Cell]:
    times = [f"{found.seconds[side] * 1e3:.3f}" if side in found.seconds else None for side in record.sides]
    ratios = [_digits(found.ratios[side]) if side in found.ratios else None for side in record.sides[1:]]
    return [*times, *ratios, *(f"{found.of_limit[s]:.0%}" if s in found.of_limit else None for s in record.sides)]


def _case(layer: Timing) -> Case:
    """What became of a layer that some side has no time for."""
    lines = [f"{side}: {why}" for side, why in layer.missing.items()] + [layer.reason] * bool(layer.reason)
    status = Status.PASSED if layer.status == MEASURED else Status(layer.status)
    seconds = sum(layer.seconds.values())
    return Case(layer.source, layer.name, status, tuple(map(printable, lines)), seconds, layer.line)


def _about(record: Bench) -> str:
    words = [record.dtype, *(["gradients"] if record.gradients else []), counted(record.threads, "thread")]
    words += [f"medians of {record.clock}, interleaved"]
    words += [f"{counted(record.left_out, 'layer')} between convolutions left out"] if record.left_out else []
    return ", ".join([*words, *(f"{name} {value}" for name, value in record.environment.items())])


def _last_line(record: Bench) -> str:
    """52 of 53 layers measured in 24.3 s: numpy takes 1.13 of torch's time, 0.72 of onnxruntime's"""
    measured, every = record.totals.layers, sum(layer.count for layer in record.layers)
    many = counted(every, "layer") if measured == every else f"{measured:,} of {counted(every, 'layer')}"
    ratios = [f"{_digits(ratio)} of {_short(side)}'s" for side, ratio in record.totals.ratios.items()]
    line = f"{many} measured in {record.seconds:.1f} s"
    if ratios:
        line += f": {_short(record.sides[0])} takes {', '.join([f'{ratios[0]} time', *ratios[1:]])}"
    return f"interrupted: {line}" if record.interrupted else line
