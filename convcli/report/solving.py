"""`solve`: the ways from size to size, the repairs of a layer, a message taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.units import counted, printable, shape
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.solver.records import Reading, Repairs, Way, Ways

FORMULA = "out = floor((in + padding - dilation*(kernel_size - 1) - 1)/stride) + 1, padding of both ends together"
TRANSPOSED = "out = (in - 1)*stride - padding + dilation*(kernel_size - 1) + 1 + output_padding, padding of both ends"
LAYER = Column("layer", right=False, folds=30)
WAYS = (
    Column("way"),
    LAYER,
    Column("output", right=False, rank=2),
    Column("out of any in", right=False, rank=4),
    Column("why", right=False, rank=5, folds=24),
)
REPAIRS = (
    Column("change", right=False, folds=30),
    LAYER,
    Column("input", right=False, rank=3),
    Column("output", right=False, rank=2),
    Column("note", right=False, rank=5, folds=24),
)
FIXES = (
    Column("try", right=False, folds=30),
    Column("code", right=False, folds=24),
    Column("when", right=False, folds=24),
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A layer of a way, flat: csv's row."""

    way: int
    layer: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding_before: tuple[int, ...]
    padding_after: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    rule: str
    why: tuple[str, ...]
    score: int


def ways_sheet(record: Ways) -> Sheet:
    """A row per layer, the ways numbered; what holds of the sizes below."""
    question = f"{shape(record.input)} -> {shape(record.output)}"
    rows = tuple(row for number, way in enumerate(record.ways, 1) for row in _way_rows(number, way))
    near = [f"nearest: {shape(one.output)} by {' -> '.join(one.layers)}" for one in record.nearest]
    notes = (*record.facts, *([_command(record.ways[0])] if record.ways else []))
    cut = () if record.whole else ("the search was cut short: there may be other chains",)
    case = Case("sizes", question, Status.FAILED, (f"no {_kind(record)} does it", *near, *cut))
    good = tuple(Case("sizes", f"{number}: {_words(way)}") for number, way in enumerate(record.ways, 1))
    tables = (Table("", WAYS, rows, (*notes, *cut)),) if rows else ()
    return Sheet(
        "solve",
        tables,
        good or (case,),
        tuple(line for number, way in enumerate(record.ways, 1) for line in _lines(number, way)),
        TRANSPOSED if record.transposed else FORMULA,
        _ways_line(record, question),
        record.exit_code,
    )


def repairs_sheet(record: Repairs) -> Sheet:
    """What is illegal, then a row per legal neighbour."""
    rows = tuple(Row((one.change, one.layer, one.input, one.output, one.note or None)) for one in record.repairs)
    legal = record.output is not None
    notes = tuple(printable(problem) for problem in record.problems)
    status = Status.PASSED if legal or rows else Status.FAILED
    case = Case("layer", printable(record.layer), status, (*notes, "no legal neighbour was found"))
    line = f"{printable(record.layer)} on {shape(record.input)}"
    if legal:
        line += f" is legal: {shape(record.output or ())}"
    else:
        line += f" is illegal: {counted(len(rows), 'legal neighbour')}"
    return Sheet(
        "solve",
        (Table("; ".join(notes), REPAIRS, rows),) if rows else (),
        (case,),
        record.repairs,
        "the planner takes it as it is" if legal else "the planner takes each of them, and makes the output beside it",
        line,
        record.exit_code,
    )


def reading_sheet(record: Reading) -> Sheet:
    """What the message means, what was read from it, what to try."""
    rows = tuple(Row((fix.change, fix.code or None, fix.when or None)) for fix in record.fixes)
    read = ", ".join(f"{name} {_value(value)}" for name, value in record.read.items())
    return Sheet(
        "solve",
        (Table(record.means, FIXES, rows),),
        (Case(record.about, printable(record.message)),),
        record.fixes,
        f"read: {read}" if read else "nothing was read from it",
        f"{record.about}: {counted(len(rows), 'thing')} to try",
        record.exit_code,
    )


def _way_rows(number: int, way: Way) -> Iterator[Row]:
    first, *others = way.layers
    yield Row((str(number), first.layer, first.output, way.rule, ", ".join(way.why)))
    yield from (Row(("", step.layer, step.output, None, None), "extra") for step in others)


def _lines(number: int, way: Way) -> Iterator[Line]:
    for step in way.layers:
        yield Line(
            way=number,
            layer=step.layer,
            input=step.input,
            output=step.output,
            kernel_size=step.kernel_size,
            stride=step.stride,
            padding_before=tuple(before for before, _ in step.padding),
            padding_after=tuple(after for _, after in step.padding),
            dilation=step.dilation,
            output_padding=step.output_padding,
            rule=way.rule,
            why=way.why,
            score=way.score,
        )


def _command(way: Way) -> str:
    """The line that shows the first way at work."""
    first = way.layers[0]
    channels = first.layer.split("(", 1)[1].split(",", 1)[0]
    layers = " ".join(f'"{step.layer}"' for step in way.layers)
    return f"convcli shape {layers} -i {','.join(['1', channels, *map(str, first.input)])}"


def _words(way: Way) -> str:
    return " -> ".join(step.layer for step in way.layers)


def _kind(record: Ways) -> str:
    return "transposed layer of those looked at" if record.transposed else "convolution of those looked at"


def _ways_line(record: Ways, question: str) -> str:
    if not record.ways:
        return f"{question}: {counted(0, 'way')}"
    shown = f", the first {len(record.ways)} above" if len(record.ways) < record.found else ""
    return f"{question}: {counted(record.found, 'way')}{shown}"


def _value(value: object) -> str:
    return shape(value) if isinstance(value, (list, tuple)) else str(value)
