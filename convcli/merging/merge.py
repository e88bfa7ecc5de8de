"""`merge`: the report of the whole run, and its journal, from the files of all its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from convcli.errors import SpecError
from convcli.files import replaced
from convcli.merging.order import check_counts, in_order
from convcli.merging.parts import FIELD, Found, Journaled, Part, part_of
from convcli.timing.record import Bench, clock_of, total
from convcli.verifier.fuzz.results import FuzzOutcome, Tally, outcome_of
from convcli.verifier.journal import End, check_same, line_of
from convcli.verifier.kept import Kept
from convcli.verifier.shard import Shard
from convcli.verifier.verdict import Outcome, outcome
from convcli.zoo.record import Imports, imports

Merged = Outcome | FuzzOutcome | Bench | Imports


def merge(paths: Sequence[str | Path], *, journal: str | Path | None = None) -> Merged:
    """The report of the whole run, from the files of all its shards: JSON reports, or journals.

    journal: a file that becomes the whole run's journal, of journals alone; it may be one of them.
    Raises SpecError that names what is missing, what is there twice, and what is of another run or other versions.
    """
    if not paths:
        raise SpecError("there is nothing to merge", field=FIELD, allowed="the files of all shards")
    parts = [part_of(str(path)) for path in paths]
    first = parts[0]
    for part in parts[1:]:
        check_same(first.header, part.header, field=FIELD, what=f"{part.path} beside {first.path}")
    check_counts(parts)
    join, results = JOINED[first.header.command], in_order(parts)
    if journal is None:
        return join(parts, results)
    return _written(journal, parts, results, join)


def _written(journal: str | Path, parts: list[Part], results: Iterator[Found], join: Join) -> Merged:
    """The report, and the journal: what the run would have written that was not shared out."""
    reported = next((part.path for part in parts if not isinstance(part, Journaled)), None)
    if reported is not None:
        told = f"{reported} is a JSON report, and a journal is made of journals"
        raise SpecError(told, field="--output", allowed="the shards' journals")
    with replaced(journal) as file:

        def noted() -> Iterator[Found]:
            for found in results:
                if found.line is not None:
                    file.write(line_of(found.line))
                yield found

        own = parts[0].header
        file.write(line_of(msgspec.structs.replace(own, options={**own.options, "shard": str(Shard())})))
        merged = join(parts, noted())
        explained = sorted(chain.from_iterable(part.explained for part in parts), key=attrgetter("explained"))
        for line in (*explained, End(max(part.of for part in parts))):
            file.write(line_of(line))
    return merged


def _verified(parts: list[Part], results: Iterator[Found]) -> Outcome:
    kept = Kept()
    for found in results:
        kept.add(found.position, found.result)
    for one in chain.from_iterable(part.explained for part in parts):
        kept.explain(one.explained, one.explanation)
    return outcome(
        tuple(kept.verdicts.values()),
        seed=parts[0].header.seed,
        environment=_environment(parts[0]),
        seconds=sum(part.seconds for part in parts),
        counts=kept.counts,
    )


def _fuzzed(parts: list[Part], results: Iterator[Found]) -> FuzzOutcome:
    own = parts[0].header
    tally = Tally(own.options["kinds"])
    for found in results:
        tally.add(found.result)
    return outcome_of(
        tally,
        seed=own.seed,
        options=own.asked,
        environment=own.environment,
        seconds=sum(part.seconds for part in parts),
        interrupted=False,
    )


def _measured(parts: list[Part], results: Iterator[Found]) -> Bench:
    layers = tuple(found.result for found in results)
    asked = parts[0].header.asked
    sides, threads = tuple(asked["sides"]), asked["threads"]
    return Bench(
        dtype=asked["dtype"],
        gradients=asked["gradients"],
        threads=threads,
        clock=clock_of(threads),
        sides=sides,
        environment=_environment(parts[0]),
        layers=layers,
        totals=total(layers, sides),
        left_out=asked["left_out"],
        seconds=sum(part.seconds for part in parts),
    )


def _environment(first: Part) -> dict[str, Any]:
    """A report knows more than a journal, which goes on elsewhere."""
    return dict(first.record.environment if first.record else first.header.environment)


def _imported(parts: list[Part], results: Iterator[Found]) -> Imports:
    own = parts[0].header
    models = tuple(found.result for found in results)
    asked = {name: value for name, value in own.asked.items() if name != "models"}
    return imports(models, options=asked, environment=own.environment, seconds=sum(part.seconds for part in parts))


Join = Callable[[list[Part], Iterator[Found]], Merged]
JOINED: dict[str, Join] = {"verify": _verified, "fuzz": _fuzzed, "bench": _measured, "import": _imported}
