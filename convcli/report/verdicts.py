"""The verifier's outcome as tables, blocks and a last line: what text and markdown draw."""

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET

from convcli.report.table import Column, Row, Table
from convcli.units import printable
from convcli.verifier.verdict import Check, LayerVerdict, Outcome

_BITS = re.compile(r"([\d.]+) of (\d+) bits")
_COLUMNS = (
    Column("layer", right=False, folds=28),
    Column("type", right=False, rank=8),
    Column("status", right=False),
    Column("checks"),
    Column("dtypes", right=False, rank=5),
    Column("exact", right=False, rank=4),
    Column("error/bound", rank=6),
    Column("seconds", rank=7, bar="seconds"),
)


class Block(msgspec.Struct, frozen=True):
    """All there is to say of one layer: title, status, a paragraph of lines per check, the line that repeats it."""

    title: str
    status: str
    paragraphs: tuple[tuple[str, ...], ...]
    repro: str


def tables(outcome: Outcome, *, quiet: bool = False) -> tuple[Table, ...]:
    """One table per source, a row per layer; `quiet` leaves only what is bad."""
    sources = dict.fromkeys(layer.source for layer in outcome.layers)
    made = []
    for source in sources:
        layers = [layer for layer in outcome.layers if layer.source == source and (layer.status.bad or not quiet)]
        if layers:
            made.append(_table(layers, printable(source) if len(sources) > 1 else ""))
    return tuple(made)


def blocks(outcome: Outcome, *, verbose: bool = False, quiet: bool = False) -> tuple[Block, ...]:
    """The layers to speak of: bad, idle, warned of; with `verbose` all, with all their checks; `quiet` only bad ones.

    Layers idle for the same reason share a block: without torch that is every layer of a network.
    """
    made: dict[object, list[Block]] = {}
    for number, layer in enumerate(outcome.layers):
        if layer.status.bad or ((verbose or layer.status.idle or any(c.warns for c in layer.checks)) and not quiet):
            block = _block(layer, verbose=verbose)
            shared = layer.status.idle and not verbose
            made.setdefault((block.status, block.paragraphs) if shared else number, []).append(block)
    return tuple(map(_together, made.values()))


def checks(layer: LayerVerdict) -> tuple[Check, ...]:
    """The layer's checks, and one for the layer itself when none of them has its status (its process died, say)."""
    if any(check.status is layer.status for check in layer.checks):
        return layer.checks
    return (*layer.checks, Check("layer", "", layer.status, detail=layer.reason))


def place(layer: LayerVerdict) -> str:
    """net.yaml:12"""
    line = "" if layer.line is UNSET else str(layer.line)
    return ":".join(filter(None, [layer.source, line]))


def findings(check: Check) -> tuple[str, ...]:
    """What a check found, line by line: its detail, and the worst element."""
    lines = [printable(line.rstrip()) for line in check.detail.splitlines()]
    if check.worst_index is not None:
        lines.append(f"worst at {list(check.worst_index)}{_known(', error ', check.max_abs_error)}")
    elif check.max_abs_error:
        lines.append(f"largest error {check.max_abs_error:.6g}")
    if check.bound_ratio is not None:
        lines.append(f"error/bound {check.bound_ratio:.3g}")
    return tuple(lines)


def explained(layer: LayerVerdict, *, whole: bool = True) -> tuple[str, ...]:
    """Why a check failed, line by line; not `whole`, without the products and the script."""
    found = layer.explanation
    if not found:
        return ()
    least = found.smallest
    lines = [f"why {found.check} failed:"]
    lines += [f"  {line}" for line in found.contributions[: None if whole else 1]]
    lines += [f"  looks like {guess}" for guess in found.looks_like]
    lines += [f"  {found.votes}"] if found.votes else []
    if least:
        lines += [f"  smallest layer that fails like this: {least.layer} on {'x'.join(map(str, least.input))}"]
        lines += [f"    {line}" for line in (least.data, least.repro) if line]
        lines += [f"    {line}" for line in least.python.splitlines()] if whole else []
    lines += [f"  {found.note}"] if found.note else []
    return tuple(printable(line) for line in lines)


def words(status: str) -> str:
    """shape_mismatch as two words."""
    return status.replace("_", " ")


def last_line(outcome: Outcome) -> str:
    """53 passed, 1 failed, 2 skipped in 12.3 s"""
    summary = outcome.summary
    counts = {name: getattr(summary, name) for name in summary.__struct_fields__ if name != "seconds"}
    told = [f"{count:,} {name}" for name, count in counts.items() if count or name == "passed"]
    line = f"{', '.join(told)} in {summary.seconds:.1f} s"
    if not (summary.passed + summary.failed + summary.inexact + summary.mistrusted + summary.crashed):
        line = f"nothing was checked: {line}"
    if outcome.left_out:
        line += f"; {outcome.left_out:,} layers are counted and not listed: the journal has all"
    return f"interrupted: {line}" if outcome.interrupted else line


def environment_line(outcome: Outcome) -> str:
    """What was run: seed 0, numpy 2.4.6, torch 2.15.0, threads 2"""
    known = [f"{name} {value}" for name, value in outcome.environment.items() if value is not None]
    return printable(", ".join([f"seed {outcome.seed}", *known]))


def _table(layers: list[LayerVerdict], heading: str) -> Table:
    rows = [_row(layer) for layer in layers]
    used = [i for i in range(len(_COLUMNS)) if i == 0 or any(row.cells[i] is not None for row in rows)]
    return Table(
        heading,
        tuple(_COLUMNS[i] for i in used),
        tuple(msgspec.structs.replace(row, cells=tuple(row.cells[i] for i in used)) for row in rows),
    )


def _row(layer: LayerVerdict) -> Row:
    good = sum(check.status.good for check in layer.checks)
    made = sum(not check.status.idle for check in layer.checks)
    dtypes = dict.fromkeys(check.dtype for check in layer.checks if check.dtype)
    ratios = [check.bound_ratio for check in layer.checks if check.bound_ratio is not None]
    cells = (
        printable(layer.name),
        printable(layer.type),
        words(layer.status),
        f"{good}/{made}" if made else None,
        ",".join(dtypes) or None,
        _proof(layer),
        f"{max(ratios):.3g}" if ratios else None,
        f"{layer.seconds:.2f}",
    )
    return Row(cells, status=layer.status)


def _proof(layer: LayerVerdict) -> str | None:
    """21.3 of 24 bits: of the layer's proofs the one that comes closest to its limit."""
    held = (check for check in layer.checks if check.method == "exact" and check.status.good)
    proofs = [match for check in held if (match := _BITS.search(check.detail))]
    return max(proofs, key=lambda proof: float(proof[1]) / float(proof[2]))[0] if proofs else None


def _block(layer: LayerVerdict, *, verbose: bool) -> Block:
    shown = [check for check in checks(layer) if verbose or check.warns or not check.status.good]
    title = "  ".join(printable(part) for part in (layer.name, layer.type, place(layer)) if part)
    reason = tuple(printable(line) for line in layer.reason.splitlines())
    said = any(check.detail == layer.reason for check in shown)
    paragraphs = ((reason,) if reason and not said else ()) + tuple(_paragraph(check) for check in shown)
    paragraphs += (explained(layer),) if layer.explanation else ()
    return Block(title, layer.status, paragraphs, "" if layer.status.good else printable(layer.repro))


def _together(blocks: list[Block]) -> Block:
    """Blocks that say the same, as one under the first one's title."""
    more = f"  and {len(blocks) - 1:,} more" if len(blocks) > 1 else ""
    return msgspec.structs.replace(blocks[0], title=blocks[0].title + more)


def _paragraph(check: Check) -> tuple[str, ...]:
    head = f"{check.label}: {words(check.status)}{', with a warning' if check.warns else ''}"
    found = findings(check)
    if len(found) <= 1:
        return (": ".join((head, *found)),)
    return (head, *(f"  {line}" for line in found))


def _known(word: str, value: float | None) -> str:
    return "" if value is None else f"{word}{value:.6g}"
