"""`verify --self-test`: the kill table, and what became of the right implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.units import counted, printable, shape
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.verifier.self_test import Alarm, Kill, Right, SelfTest

KILLS = (
    Column("wrong implementation", right=False, folds=30),
    Column("what it does", right=False, rank=6, folds=30),
    Column("caught by", right=False, rank=1, folds=18),
    Column("smallest layer", right=False, rank=3, folds=24),
    Column("input", right=False, rank=4),
    Column("products", rank=2),
    Column("would have been missed by", right=False, rank=5, folds=24),
)
RIGHT = (
    Column("right implementation", right=False, folds=30),
    Column("what it does", right=False, rank=6, folds=30),
    Column("runs"),
    Column("alarms"),
    Column("would have been refused by", right=False, rank=5, folds=24),
)


def sheet(record: SelfTest) -> Sheet:
    """Every wrong and every right implementation is a row and a case."""
    tables = (
        Table("", KILLS, tuple(map(_kill_row, record.kills))),
        Table("", RIGHT, tuple(map(_right_row, record.right)), tuple(_tolerances(record))),
    )
    return Sheet(
        "verify --self-test",
        tuple(table for table in tables if table.rows),
        (*map(_kill_case, record.kills), *(_right_case(right, record.alarms) for right in record.right)),
        (*record.kills, *record.right),
        ", ".join([f"seed {record.seed}", *(f"{name} {value}" for name, value in record.environment.items())]),
        _last_line(record),
        record.exit_code,
    )


def _kill_row(kill: Kill) -> Row:
    by = ",".join(dict.fromkeys(kill.caught.values())) if not kill.survived else "nothing"
    missed = ", ".join(kill.missed_by) or None
    return Row((kill.name, kill.says, by, printable(kill.layer), kill.input, kill.products, missed))


def _right_row(right: Right) -> Row:
    return Row((right.name, right.says, right.runs, right.alarms, ", ".join(right.refused_by) or None))


def _kill_case(kill: Kill) -> Case:
    shown = f"{kill.layer} on {shape(kill.input)}"
    status = Status.FAILED if kill.survived else Status.PASSED
    return Case("wrong", kill.name, status, (f"{kill.says}: nothing caught it on {shown}",))


def _right_case(right: Right, alarms: tuple[Alarm, ...]) -> Case:
    told = [alarm for alarm in alarms if alarm.name == right.name]
    lines = (f"{a.layer}, seed {a.seed}: {a.check.name} [{a.check.dtype}]: {a.check.detail}" for a in told)
    return Case("right", right.name, Status.FAILED if told else Status.PASSED, tuple(map(printable, lines)))


def _tolerances(record: SelfTest) -> Iterator[str]:
    """What the usual tolerances would have made of the same implementations."""
    for name in record.tolerances:
        missed, refused = record.missed(name), record.refused(name)
        yield (
            f"{name} would have passed {missed} of {len(record.kills)} wrong implementations"
            f" and refused {refused} of {len(record.right)} right ones"
        )


def _last_line(record: SelfTest) -> str:
    """168 of 168 wrong implementations caught, 0 alarms in 450 runs of 9 right ones in 12.3 s"""
    caught = len(record.kills) - len(record.survivors)
    runs = sum(right.runs for right in record.right)
    line = f"{caught} of {len(record.kills)} wrong implementations caught, {counted(len(record.alarms), 'alarm')}"
    line += f" in {counted(runs, 'run')} of {len(record.right)} right ones in {record.seconds:.1f} s"
    return f"interrupted: {line}" if record.interrupted else line
