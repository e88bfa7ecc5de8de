"""What there is to say of the cells that an output cell does not see, though they lie between those that it sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from convcli.pictures.views import NAMES

if TYPE_CHECKING:
    from convcli.receptive.record import AxisField, CellRecord


def told_holes(record: CellRecord) -> Iterator[str]:
    """The holes and their share, what makes them, and the dilation rates that leave none."""
    if not record.cells:
        yield "no cell of the input is seen"
        return
    if not record.holes:
        yield "no holes: every cell in the box around the seen ones is seen"
        return
    box = record.cells + record.holes
    yield f"{record.holes:,} of the {box:,} cells in the box around the seen ones are holes: {record.untouched:.1%}"
    for names, axis in _alike(record):
        if axis.causes:
            yield f"gridding along {names}: {', '.join(f'{one.layer} ({one.reason})' for one in axis.causes)}"
        if axis.cure:
            rates = ", ".join(f"{layer} {rate}" for layer, rate in axis.cure.dilation.items())
            yield f"no holes along {names} with dilation: {rates} (a field of {axis.cure.size}; padding to match)"


def _alike(record: CellRecord) -> Iterator[tuple[str, AxisField]]:
    """("rows, columns", what is said of both)"""
    groups: list[tuple[list[str], AxisField]] = []
    for name, axis in zip(NAMES[len(record.axes)], record.axes, strict=True):
        if groups and (groups[-1][1].causes, groups[-1][1].cure) == (axis.causes, axis.cure):
            groups[-1][0].append(name)
        else:
            groups.append(([name], axis))
    return ((", ".join(names), axis) for names, axis in groups)
