"""`import` of many models: a row for each, what became of those without a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.units import counted, printable
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.zoo.record import Imports, Model

COLUMNS = (
    Column("model", right=False, folds=28),
    Column("target", right=False, rank=3, folds=40),
    Column("layers", rank=2),
    Column("parameters"),
    Column("MACs", bar="MACs"),
    Column("status", right=False),
    Column("file", right=False, rank=4, folds=40),
)


def sheet(record: Imports) -> Sheet:
    """A row and a case for every model; what the reader of its spec should know stands below."""
    rows = tuple(map(_row, record.models))
    notes = tuple(line for model in record.models for line in _notes(model))
    return Sheet(
        "import",
        (Table("", COLUMNS, rows, notes),) if rows else (),
        tuple(map(_case, record.models)),
        record.models,
        _about(record),
        _last_line(record),
        record.exit_code,
    )


def _row(model: Model) -> Row:
    cells = (printable(model.name), printable(model.target), model.layers, model.params, model.macs)
    return Row((*cells, model.status.replace("_", " "), printable(model.file) or None), status=_status(model))


def _notes(model: Model) -> Iterator[str]:
    yield from (printable(f"{model.name}: {note}") for note in model.notes)


def _case(model: Model) -> Case:
    detail = (printable(model.reason),) if model.reason else ()
    return Case("models", printable(model.target), _status(model), detail, model.seconds)


def _status(model: Model) -> Status:
    return Status.PASSED if model.good else Status(model.status)


def _about(record: Imports) -> str:
    """input 1x3x224x224, torch 2.15.0, torchvision 0.29.0"""
    options = record.options
    words = [f"input {one}" for one in options.get("inputs", ())]
    words += [f"{name}={value}" for name, value in options.get("arguments", {}).items()]
    words += [name for name in ("partial", "run") if options.get(name)]
    return printable(", ".join([*words, *(f"{name} {value}" for name, value in record.environment.items())]))


def _last_line(record: Imports) -> str:
    """97 of 98 models imported in 120.3 s"""
    good, every = record.summary.imported, len(record.models)
    many = counted(every, "model") if good == every else f"{good:,} of {counted(every, 'model')}"
    line = f"{many} imported in {record.summary.seconds:.1f} s"
    return f"interrupted: {line}" if record.interrupted else line
