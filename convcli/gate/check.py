"""`check`: a network against what its spec expects, its budgets, and a baseline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from convcli.errors import Path, Problem, SpecError
from convcli.gate import baseline as baselines
from convcli.gate.baseline import Baseline
from convcli.gate.changes import NetworkChange, change
from convcli.gate.findings import Finding, Gate, Gated, Status, tally
from convcli.gate.numbers import KEYS, NetworkNumbers, Numbers, numbers_of
from convcli.layers import Shape
from convcli.plan import Network, Plan, plan
from convcli.records import BYTES, NetworkRecord, Scope, network_record
from convcli.spec.amounts import limit, share

NAMED = 5  # layers that a growth is put down to
LOST = "this is a lower bound now, for nobody knows the cost of"


class Subject(NamedTuple):
    """A network under check. spec: what the baseline calls it, "" without a baseline; old: what it has of it."""

    network: Network
    record: NetworkRecord
    numbers: NetworkNumbers
    spec: str
    old: NetworkNumbers | None
    change: NetworkChange | None

    @property
    def old_totals(self) -> Numbers | None:
        """The baseline's totals."""
        return self.old.totals if self.old else None

    @property
    def gap(self) -> str:
        """Why there is nothing to compare with, and what to do."""
        if not self.spec:
            return "there is no baseline to compare with; --baseline FILE names one"
        return f"{self.spec} is not in the baseline; --update-baseline adds it"


def check(
    *networks: Network,
    baseline: str | os.PathLike[str] | Baseline | None = None,
    tolerance: str = "0%",
    dtype: str = "float32",
) -> Gate:
    """What holds, and what does not, of the specs' `expect` and `budget`, and of the baseline.

    baseline: a file that `convcli check --update-baseline` wrote. tolerance: how much the totals may grow beyond it.
    dtype: what the bytes are counted for. Raises SpecError with all that is wrong in the networks.
    """
    path = baseline if isinstance(baseline, (str, os.PathLike)) else ""
    held = baselines.read(baseline) if isinstance(baseline, (str, os.PathLike)) else baseline
    return gate([plan(network) for network in networks], baseline=held, path=path, tolerance=tolerance, dtype=dtype)


def gate(
    plans: Sequence[Plan],
    *,
    baseline: Baseline | None,
    path: str | os.PathLike[str] = "",
    tolerance: str = "0%",
    dtype: str = "float32",
    update: bool = False,
) -> Gate:
    """The same for networks that are worked out; totals come first, for GitHub shows ten annotations.

    update: the baseline is about to be written, growth is agreed to.
    """
    part = share(f"+{tolerance.removeprefix('+')}")
    if part is None:
        raise SpecError(f"--tolerance {tolerance} is not a percentage", allowed="as in 2% or 0.5%")
    if dtype not in BYTES:
        raise SpecError(f"--dtype {dtype} is not known", allowed=", ".join(BYTES))
    if baseline and baseline.dtype != dtype and not update:
        raise SpecError(
            f"the baseline counts bytes for {baseline.dtype}, this run for {dtype}", repair=f"--dtype {baseline.dtype}"
        )
    subjects = [_subject(one, baseline, path, dtype) for one in plans]
    each = (finding for one in subjects for finding in _findings(one, part, tolerance, update=update))
    found = tuple(sorted(each, key=lambda finding: finding.layer is not UNSET))
    return Gate(
        dtype=dtype,
        baseline=os.fspath(path) or UNSET if baseline or update else UNSET,
        tolerance=tolerance,
        updated=update,
        networks=tuple(map(_gated, subjects)),
        checks=found,
        summary=tally(found),
    )


def _subject(planned: Plan, baseline: Baseline | None, path: str | os.PathLike[str], dtype: str) -> Subject:
    record = network_record(planned, Scope("summary", dtype=dtype))
    numbers = numbers_of(record)
    spec = baselines.spec_of(numbers.source, path) if baseline else ""
    old = baseline.specs.get(spec) if baseline else None
    return Subject(planned.network, record, numbers, spec, old, change(old, numbers) if old else None)


def _gated(one: Subject) -> Gated:
    network = one.numbers
    return Gated(
        source=network.source,
        name=network.name,
        totals=network.totals,
        notes=tuple(_notes(one)),
        change=one.change or UNSET,
    )


def _notes(one: Subject) -> Iterator[str]:
    """What nobody asked for and everybody should know."""
    if not one.numbers.complete:
        yield f"the totals are lower bounds: nobody knows the cost of {_listed(_unknown(one))}"
    entries = one.network.entries
    if not one.spec and not one.network.budget and not any(entry.expect or entry.budget for entry in entries):
        yield "nothing was checked here: no expect, no budget, no baseline"


def _findings(one: Subject, part: tuple[int, int], tolerance: str, *, update: bool) -> Iterator[Finding]:
    """All of one network."""
    raw = [*_of_totals(one, part, tolerance, update=update)]
    there = {layer.name: layer for layer in one.old.layers} if one.old else {}
    for entry, record, numbers in zip(one.network.entries, one.record.layers, one.numbers.layers, strict=True):
        for key, expected in (entry.expect or {}).items():
            raw.append((_expected(one, record.name, key, expected, getattr(record, key)), entry.path, entry.line))
        old = there.get(record.name)
        gap = f"{record.name} is not in the baseline; --update-baseline adds it" if one.old else one.gap
        for key, said in (entry.budget or {}).items():
            at_most = _at_most(said, old, key)
            if at_most is None and update:
                continue
            held = _held(one, "budget", key, getattr(numbers, key), at_most, old, gap)
            raw.append((msgspec.structs.replace(held, layer=record.name, said=str(said)), entry.path, entry.line))
    yield from _placed(one.network, raw)


Raw = tuple[Finding, Path, int | None]  # a finding, its path in the document, its line when that is known


def _of_totals(one: Subject, part: tuple[int, int], tolerance: str, *, update: bool) -> Iterator[Raw]:
    budget, old, totals = one.network.budget or {}, one.old_totals, one.numbers.totals
    for key, said in budget.items():
        at_most = _at_most(said, old, key)
        if share(said) is None or not update:
            held = _held(one, "budget", key, getattr(totals, key), at_most, old, one.gap)
            yield msgspec.structs.replace(held, said=str(said)), ("budget", key), None
    if update or not one.spec:
        return
    for key in KEYS:
        if key in budget and share(budget[key]) is not None:
            continue  # the spec says itself how much this one may grow
        before = UNSET if old is None else getattr(old, key)
        at_most = None if before is UNSET else before * part[0] // part[1]
        held = _held(one, "baseline", key, getattr(totals, key), at_most, old, one.gap)
        if _is_lost(one, key) and held.status == "passed":
            held = msgspec.structs.replace(held, status="unchecked", detail=f"{LOST} {_listed(_unknown(one))}")
        path, line = _place_of_growth(one, key) if held.status == "failed" else ((), None)
        yield msgspec.structs.replace(held, said=f"+{tolerance}"), path, line
        if old is None:
            return  # one finding says that the spec is not there


def _at_most(said: int | str, old: Numbers | None, key: str) -> int | None:
    before = UNSET if old is None else getattr(old, key)
    return limit(said, None if before is UNSET else before)


def _expected(one: Subject, layer: str, key: str, expected: Any, found: Any) -> Finding:
    wanted: int | Shape = tuple(expected) if isinstance(expected, (list, tuple)) else expected
    status: Status = "passed" if found == wanted else "failed"
    detail = "this kind of layer has no such number" if found is UNSET else ""
    return Finding(
        source=one.numbers.source,
        network=one.numbers.name,
        layer=layer,
        rule="expect",
        key=key,
        status=status,
        allowed=wanted,
        found=found,
        detail=detail,
    )


def _held(
    one: Subject,
    rule: Any,
    key: str,
    found: int | UnsetType,
    at_most: int | None,
    old: Numbers | None,
    gap: str,
) -> Finding:
    """`found` against the most that is allowed, which is None where nothing is there to compare with."""
    unchecked = at_most is None or found is UNSET
    status: Status = "unchecked" if unchecked else "passed" if found <= at_most else "failed"  # type: ignore[operator]
    detail = gap if at_most is None else "nobody knows what this layer costs" if found is UNSET else ""
    return Finding(
        source=one.numbers.source,
        network=one.numbers.name,
        rule=rule,
        key=key,
        status=status,
        allowed=UNSET if at_most is None else at_most,
        found=found,
        baseline=UNSET if old is None else getattr(old, key),
        detail=detail or (_grown(one.change, key) if status == "failed" and old is one.old_totals else ""),
    )


def _grown(change: NetworkChange | None, key: str) -> str:
    """conv2 +36,928, head (added) +12: where the growth comes from."""
    grown = _growing(change, key)
    words = [
        f"{layer.after.name}{' (added)' if layer.status == 'added' else ''} +{getattr(layer, key).difference:,}"
        for layer in grown[:NAMED]
    ]
    return ", ".join(words) + (f", and {len(grown) - NAMED} more" if len(grown) > NAMED else "")


def _growing(change: NetworkChange | None, key: str) -> list[Any]:
    """The layers whose number grew, the most first."""
    layers: list[Any] = [
        layer
        for layer in (change.layers if change else ())
        if getattr(layer, key) is not UNSET and getattr(layer, key).difference > 0 and layer.after is not UNSET
    ]
    return sorted(layers, key=lambda layer: -getattr(layer, key).difference)


def _place_of_growth(one: Subject, key: str) -> tuple[Path, int | None]:
    """Where the layer stands that grew most."""
    grown = _growing(one.change, key)
    name = grown[0].after.name if grown else ""
    return next(((entry.path, entry.line) for entry in one.network.entries if entry.name == name), ((), None))


def _is_lost(one: Subject, key: str) -> bool:
    """Whether a total has become a lower bound that was none when somebody agreed to the baseline."""
    return one.old is not None and one.old.complete and not one.numbers.complete and key != "activation_bytes"


def _unknown(one: Subject) -> list[str]:
    return [layer.name for layer in one.record.layers if layer.complete is False]


def _placed(network: Network, raw: Iterable[Raw]) -> list[Finding]:
    """The findings with their lines; those that the layers do not tell are looked up, for what does not hold only."""
    found = list(raw)
    problems: dict[int, Problem] = {}
    for place, (finding, path, line) in enumerate(found):
        inside = sum(isinstance(step, int) for step in path) > 1  # a block's layers have the block's line
        if path and finding.status != "passed" and (not line or inside):
            problems[place] = Problem("", path, at_key=path[0] == "budget")
    located: dict[int, int] = {}
    if problems:
        error = network.located(SpecError(problems=tuple(problems.values())))
        located = {place: problem.line for place, problem in zip(problems, error.problems, strict=True)}
    return [
        msgspec.structs.replace(finding, line=located.get(place) or line or UNSET)
        for place, (finding, _, line) in enumerate(found)
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
