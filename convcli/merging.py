"""The shards of a run as one: reports of `verify` and `bench`, journals of `verify` and `fuzz`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET

from convcli._version import __version__
from convcli.errors import SpecError
from convcli.timing.record import Bench, Timing, total
from convcli.verifier.fuzz.results import FuzzOutcome, Result, Tally, outcome_of
from convcli.verifier.fuzz.run import whole_again
from convcli.verifier.journal import Earlier, Header, Line, check_same, header, restored
from convcli.verifier.shard import Share, shard_of
from convcli.verifier.verdict import LayerVerdict, Outcome, outcome

T = TypeVar("T")
SHOWN = 5  # places that a message names
FIELD = "merge"


class Part(msgspec.Struct, Generic[T]):
    """A file: the run that it is of, which shard of it, each result at its place `of` how many; what they took."""

    path: str
    header: Header
    shard: str
    of: int
    results: list[tuple[int, T]]
    seconds: float = 0.0
    record: Any = None


class _Told(msgspec.Struct):
    """What every JSON report says first."""

    schema: int
    command: str


def merge(paths: Sequence[str | Path]) -> Outcome | FuzzOutcome | Bench:
    """The report of the whole run, from the files of all its shards: JSON reports, or journals.

    Raises SpecError that names what is missing, what is there twice, and what is of another run or other versions.
    """
    if not paths:
        raise SpecError("there is nothing to merge", field=FIELD, allowed="the files of all shards")
    parts = [_part(str(path)) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        check_same(first.header, part.header, field=FIELD, what=f"{part.path} beside {first.path}")
    results = _in_order(parts)
    return JOINED[first.header.command](parts, results)


def _in_order(parts: list[Part[Any]]) -> list[Any]:
    """Every result, each there once. Raises SpecError."""
    counts = {part.path: shard_of(part.shard).count for part in parts}
    other = next((path for path, count in counts.items() if count != counts[parts[0].path]), None)
    if other is not None:
        told = f"{parts[0].path} is one of {counts[parts[0].path]} shards, {other} one of {counts[other]}"
        raise SpecError(told, field=FIELD)
    home: dict[int, str] = {}
    found: dict[int, Any] = {}
    twice: list[str] = []
    for part in parts:
        for position, result in part.results:
            if position in found:
                twice.append(f"{_name(result)} is in {home[position]} and in {part.path}")
            home[position], found[position] = part.path, result
    if twice:
        raise SpecError(_some(twice, "results are there twice"), field=FIELD)
    missing = [number for number in range(max(part.of for part in parts)) if number not in found]
    if missing:
        there = {shard_of(part.shard).index for part in parts}
        absent = [f"{n}/{counts[parts[0].path]}" for n in range(1, counts[parts[0].path] + 1) if n not in there]
        told = f"shard {', '.join(absent)} is not there: " if absent else ""
        places = _some([str(number + 1) for number in missing], "results are missing")
        raise SpecError(f"{told}{places}, of {max(part.of for part in parts):,}", field=FIELD)
    return [found[position] for position in sorted(found)]


def _some(items: list[str], what: str) -> str:
    """3 results are missing: 4, 7, 9"""
    more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return f"{len(items):,} {what}: {', '.join(items[:SHOWN])}{more}"


def _name(result: LayerVerdict | Result | Timing) -> str:
    return result.case if isinstance(result, Result) else result.name


def _part(path: str) -> Part[Any]:
    """A file, by what stands in it."""
    try:
        with Path(path).open("rb") as file:
            start = file.readline(1 << 20)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}", field=FIELD) from error
    try:
        told = msgspec.json.decode(start, type=Header)
    except msgspec.MsgspecError:
        return _report(path)
    if told.command == "fuzz":
        return _fuzz_journal(path)
    return _verify_journal(path)


def _report(path: str) -> Part[Any]:
    """A JSON report."""
    data = Path(path).read_bytes()
    types: dict[str, type[Outcome] | type[Bench]] = {"verify": Outcome, "bench": Bench}
    try:
        told = msgspec.json.decode(data, type=_Told)
    except msgspec.MsgspecError as error:
        wanted = "a JSON report or a journal of verify, fuzz or bench"
        raise SpecError(f"{path} is no report of convcli: {error}", field=FIELD, allowed=wanted) from error
    if told.command not in types:
        counts = "holds counts, not the cases" if told.command == "fuzz" else "has no shards"
        allowed = "reports of verify and bench, journals (.jsonl) of verify and fuzz"
        raise SpecError(f"{path}: a report of {told.command} {counts}", field=FIELD, allowed=allowed)
    try:
        record = msgspec.json.decode(data, type=types[told.command])
    except msgspec.MsgspecError as error:
        raise SpecError(f"{path} is no whole report of convcli {told.command}: {error}", field=FIELD) from error
    if record.interrupted:
        raise SpecError(f"{path} was interrupted", field=FIELD, allowed="runs that came to their end")
    if isinstance(record, Outcome) and record.left_out:
        left = f"{path} leaves out {record.left_out:,} layers"
        raise SpecError(left, field=FIELD, allowed="the journals (--output FILE.jsonl) of runs of that size")
    every = range(len(record.layers))
    share = Share("1/1", tuple(every), len(every)) if record.share is UNSET else record.share
    if len(share.positions) != len(every):
        raise SpecError(f"{path}: {len(every)} layers at {len(share.positions)} places", field=FIELD)
    seed, seconds = (0, record.seconds) if isinstance(record, Bench) else (record.seed, record.summary.seconds)
    asked = {**share.options, **_asked(record)}
    own = msgspec.structs.replace(header(told.command, seed, asked, record.environment), convcli=record.convcli)
    results: list[tuple[int, Any]] = list(zip(share.positions, record.layers, strict=True))
    return Part(path, own, share.shard, share.of, results, seconds, record)


def _asked(record: Outcome | Bench) -> dict[str, Any]:
    """What its options were, as far as the record itself says it."""
    if isinstance(record, Outcome):
        return {} if record.share is UNSET else {"layers": record.share.of}
    return {name: getattr(record, name) for name in ("dtype", "gradients", "threads", "sides", "left_out")}


def _verify_journal(path: str) -> Part[LayerVerdict]:
    lines = Earlier(path, "verify", Line, field=FIELD)
    results = [(line.index, restored(line.verdict, line.infinite)) for line in lines.results()]
    return _journal(lines, results, sum(verdict.seconds for _, verdict in results))


def _fuzz_journal(path: str) -> Part[Result]:
    lines = Earlier(path, "fuzz", Result, field=FIELD)
    kinds = list(lines.header.options.get("kinds", ()))
    results, seconds = [], 0.0
    for result in lines.results():
        if result.kind not in kinds:
            raise SpecError(f"{path}: {result.case} is of no kind of this run", field=FIELD)
        results.append((result.index * len(kinds) + kinds.index(result.kind), whole_again(result)))
        seconds = result.seconds
    return _journal(lines, results, seconds)


def _journal(lines: Earlier[Any], results: list[tuple[int, T]], seconds: float) -> Part[T]:
    if lines.end is None:
        allowed = f"convcli {lines.header.command} --resume {lines.path} finishes it"
        raise SpecError(f"{lines.path} did not come to its end", field=FIELD, allowed=allowed)
    options = dict(lines.header.options)
    shard = options.pop("shard", "1/1")
    own = msgspec.structs.replace(lines.header, options=options)
    return Part(lines.path, own, shard, lines.end.complete, results, seconds)


def _verified(parts: list[Part[LayerVerdict]], results: list[LayerVerdict]) -> Outcome:
    first = parts[0]
    environment = first.record.environment if first.record else first.header.environment
    seconds = sum(part.seconds for part in parts)
    return outcome(tuple(results), seed=first.header.seed, environment=environment, seconds=seconds)


def _fuzzed(parts: list[Part[Result]], results: list[Result]) -> FuzzOutcome:
    own = parts[0].header
    tally = Tally(own.options["kinds"])
    for result in results:
        tally.add(result)
    return outcome_of(
        tally,
        seed=own.seed,
        options=own.options,
        environment=own.environment,
        seconds=sum(part.seconds for part in parts),
        interrupted=False,
    )


def _measured(parts: list[Part[Timing]], results: list[Timing]) -> Bench:
    record = cast("Bench", parts[0].record)
    layers = tuple(results)
    seconds = sum(part.seconds for part in parts)
    return msgspec.structs.replace(
        record, layers=layers, totals=total(layers, record.sides), seconds=seconds, share=UNSET, convcli=__version__
    )


JOINED: dict[str, Callable[[list[Part[Any]], list[Any]], Outcome | FuzzOutcome | Bench]] = {
    "verify": _verified,
    "fuzz": _fuzzed,
    "bench": _measured,
}
