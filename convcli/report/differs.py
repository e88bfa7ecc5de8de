"""`explain --why-differs`: a row per layer whose number is another tool's own, and the reasons by what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Cell, Column, Row, Signed, Table
from convcli.units import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.conventions.differs import Cause, Comparison, Difference, Differences, Total

ABOUT = "a layer is taken as PyTorch's module of its type, in eval mode; Add as a + b, MatMul as torch.matmul"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A layer and one reason, flat: csv's row."""

    source: str
    network: str
    tool: str
    layer: str
    module: str
    macs: int
    told_macs: int | float
    difference: int | float
    params_difference: int
    why: str
    detail: str


def sheet(record: Differences) -> Sheet:
    """A table for each network and tool, with the reasons' sums below; what agrees has no row."""
    differing = sum(bool(one.layers or one.told_macs is None) for one in record.comparisons)
    verb = "differs" if differing == 1 else "differ"
    return Sheet(
        "explain",
        tuple(_table(one) for one in record.comparisons),
        tuple(case for one in record.comparisons for case in _cases(one)),
        tuple(line for one in record.comparisons for line in _lines(one)),
        ABOUT,
        f"{differing} of {counted(len(record.comparisons), 'comparison')} {verb}",
        0,
        verdict=False,
    )


def _table(one: Comparison) -> Table:
    params = any(cause.params for layer in one.layers for cause in layer.causes)
    columns = (
        Column("layer", right=False, folds=28),
        Column("module", right=False, rank=4),
        Column("macs"),
        Column(one.tool),
        Column("difference", rank=5),
        *((Column("params", rank=3),) if params else ()),
        Column("why", right=False, folds=44),
    )
    rows = [row for layer in one.layers for row in _rows(layer, params=params)]
    sums: list[Cell] = ["total", None, one.macs, one.told_macs]
    sums.append(None if one.told_macs is None else Signed(one.told_macs - one.macs))
    sums += [*([Signed(_params(one))] if params else []), None]
    return Table(_heading(one), columns, (*rows, Row(tuple(sums), "total")), tuple(_notes(one)))


def _rows(layer: Difference, *, params: bool) -> Iterator[Row]:
    """The layer's numbers with its first reason, a line for every further one."""
    for place, cause in enumerate(layer.causes):
        said = (printable(layer.name), layer.module, layer.macs, _cell(layer.told_macs))
        more = (_signed(cause.macs), *((_signed(cause.params),) if params else ()))
        cells: tuple[Cell, ...] = (*(("", None, None, None) if place else said), *more, _why(cause))
        yield Row(cells, "extra" if place else "layer")


def _why(cause: Cause) -> str:
    return f"{cause.why}: {cause.detail}" if cause.detail else cause.why


def _signed(number: float) -> Cell:
    return (Signed(number) if number else None) if isinstance(number, int) else f"{number:+.2f}"


def _cell(number: float) -> Cell:
    return number if isinstance(number, int) else f"{number:.2f}"


def _params(one: Comparison) -> int:
    return 0 if one.told_params is UNSET else one.told_params - one.params


def _heading(one: Comparison) -> str:
    """net.yaml: resnet-stem, by thop 0.1.1"""
    where = ": ".join(printable(part) for part in (one.source, one.name) if part) or "network"
    return f"{where}, by {one.title}"


def _notes(one: Comparison) -> Iterator[str]:
    """Both numbers in one line, then what each reason that several layers have comes to."""
    if one.told_macs is None:
        yield str(one.stops)
        return
    ratio = f" ({one.told_macs / one.macs:.4g}x)" if one.macs and one.told_macs != one.macs else ""
    bound = "" if one.complete else ", of what is known"
    yield f"{one.title} says {one.told_macs:,} MACs{ratio}, convcli {one.macs:,}{bound}"
    if _params(one):
        yield f"{one.title} says {one.params + _params(one):,} parameters, convcli {one.params:,}"
    if any(total.layers > 1 for total in one.totals):
        yield from (f"  {_sum(total)}" for total in one.totals)


def _sum(total: Total) -> str:
    """+44,558,336 MACs in 53 layers: counts 4 operations per element of a normalisation as MACs"""
    amounts = [f"{amount:+,} {unit}" for amount, unit in ((total.macs, "MACs"), (total.params, "parameters")) if amount]
    return f"{' and '.join(amounts)} in {counted(total.layers, 'layer')}: {total.why}"


def _cases(one: Comparison) -> Iterator[Case]:
    """A case for every reason: a notice of GitHub's."""
    for total in one.totals:
        yield Case(_heading(one), f"{one.title}: {_sum(total)}")
    if one.told_macs is None:
        yield Case(_heading(one), str(one.stops))


def _lines(one: Comparison) -> Iterator[Line]:
    for layer in one.layers:
        for cause in layer.causes:
            yield Line(
                source=one.source,
                network=one.name,
                tool=one.title,
                layer=layer.name,
                module=layer.module,
                macs=layer.macs,
                told_macs=layer.told_macs,
                difference=cause.macs,
                params_difference=cause.params,
                why=cause.why,
                detail=cause.detail,
            )
