"""What `diff` compares: a spec, a layer spelled out, a saved report, any of the files at a git revision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from convcli.errors import Problem, SpecError
from convcli.gate import revisions
from convcli.gate.changes import Diff, change
from convcli.gate.numbers import KEYS, NetworkNumbers, Numbers, numbers_of
from convcli.plan import Network, plan
from convcli.records import FLOPS_WORDS, Convention, Report, Scope, network_record
from convcli.spec.build import spelled_network
from convcli.spec.load import STDIN, Given, contents, is_spelled, loads

Source = str | os.PathLike[str] | Network | Report
S = TypeVar("S")
T = TypeVar("T")
REPORTS = ("summary", "params", "flops", "shape")


class Side(NamedTuple):
    """One side's networks; convention and data type are told by a saved report."""

    networks: tuple[NetworkNumbers, ...]
    told: tuple[str, str] | None = None


class _Saved(msgspec.Struct):
    """What tells a saved report from a spec."""

    command: str
    convcli: str


def diff(
    before: Source,
    after: Source,
    *,
    input: Given = None,  # noqa: A002 - as in a spec
    convention: str | None = None,
    dtype: str | None = None,
    everything: bool = False,
    strict: bool = False,
) -> Diff:
    """What changed from `before` to `after`, per layer and in all.

    Either is a spec file, a file at a git revision (`net.yaml@HEAD~1`), a saved JSON report, a layer in PyTorch's
    spelling, a Network or a Report. input: in place of the specs' own. convention, dtype: how specs are counted, as
    a saved report is unless they are given. everything: the layers that are the same too. strict: a spec's layer whose
    cost nobody knows is wrong.
    Raises SpecError for what is wrong with either side, RevisionMissing when git cannot give a file.
    """
    read = _both(lambda source: _read(source, input), (before, after))
    scope = _scope(read, convention, dtype)
    first, second = _both(lambda one: _side(one, scope, input, strict=strict), read)
    _check_alike(first, second, scope)
    networks = tuple(change(*pair, everything=everything) for pair in _paired(first.networks, second.networks))
    return Diff(convention=Convention(flops=FLOPS_WORDS[scope.convention]), dtype=scope.dtype, networks=networks)


def _both(work: Callable[[T], S], sides: Iterable[T]) -> list[S]:
    """The work done on each side. Raises SpecError with all that is wrong with either."""
    problems: list[Problem] = []
    done = []
    for side in sides:
        try:
            done.append(work(side))
        except SpecError as error:
            problems.extend(error.problems)
    if problems:
        raise SpecError(problems=tuple(problems))
    return done


def _scope(read: list[Network | Report], convention: str | None, dtype: str | None) -> Scope:
    """How to count: as was said, or else as a saved report does."""
    saved = next((one for one in read if isinstance(one, Report)), None)
    names = {words: name for name, words in FLOPS_WORDS.items()}
    told = names.get(saved.convention.flops, "dense") if saved else "dense"
    return Scope("summary", convention or told, dtype or (saved.dtype if saved else "float32"))


def _read(source: Source, given: Given) -> Network | Report:
    if isinstance(source, (Network, Report)):
        return source
    name = os.fspath(source)
    if is_spelled(name):
        return spelled_network([name])
    revision = revisions.split(name)
    data = revisions.content(*revision) if revision else contents(name)
    saved = _saved(data, name)
    if saved:
        return saved
    if not revision:
        return loads(data, "<stdin>" if name == STDIN else name, given)
    try:
        network = loads(data, revision[0], given)
    except SpecError as error:
        raise _renamed(error, name) from None
    located = network.located
    network.source, network.located = name, lambda error: _renamed(located(error), name)
    return network


def _renamed(error: SpecError, source: str) -> SpecError:
    """The same problems, in the file of that revision."""
    return SpecError(problems=tuple(msgspec.structs.replace(p, source=source) for p in error.problems))


def _saved(data: bytes, name: str) -> Report | None:
    """The calculator's report that the bytes are; None when they are no report of ours. Raises SpecError."""
    if not data.lstrip().startswith(b"{"):
        return None
    try:
        head = msgspec.json.decode(data, type=_Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    try:
        if head.command in REPORTS:
            return msgspec.json.decode(data, type=Report)
        told = f"the report of `{head.command}`, which counts nothing"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = f"a report that cannot be read: {error}"
    raise SpecError(f"{name}: this is {told}", allowed="a spec, or the JSON report of " + ", ".join(REPORTS))


def _side(read: Network | Report, scope: Scope, shape: Given, *, strict: bool) -> Side:
    if isinstance(read, Report):
        return Side(tuple(map(numbers_of, read.reports)), (read.convention.flops, read.dtype))
    if isinstance(shape, tuple):
        read = msgspec.structs.replace(read, input=shape)
    planned = plan(read, strict=strict)
    return Side((numbers_of(network_record(planned, scope)),))


def _check_alike(first: Side, second: Side, scope: Scope) -> None:
    """Numbers that mean different things are not compared."""
    for side in (first, second):
        counted = (FLOPS_WORDS[scope.convention], scope.dtype)
        if side.told and side.told != counted:
            raise SpecError(
                f"the saved report counts flops as {side.told[0]} and bytes for {side.told[1]},"
                f" the other side as {counted[0]} and for {counted[1]}",
                allowed="reports made with the same --convention and --dtype",
            )


Networks = tuple[NetworkNumbers, ...]


def _paired(before: Networks, after: Networks) -> list[tuple[NetworkNumbers, NetworkNumbers]]:
    """Networks of the same source, or else of the same name; one against one whatever they are called."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    found: list[tuple[NetworkNumbers, NetworkNumbers]] = []
    rest = list(after)
    for one in before:
        same = [other for other in rest if other.source == one.source] or [
            other for other in rest if one.name and other.name == one.name
        ]
        found.append((one, same[0]) if same else (one, _nothing(one)))
        rest = [other for other in rest if not same or other is not same[0]]
    return found + [(_nothing(other), other) for other in rest]


def _nothing(other: NetworkNumbers) -> NetworkNumbers:
    """What stands for a network that is not there: no layers, and 0 for whatever the other has."""
    zeros = {key: 0 for key in KEYS if getattr(other.totals, key) is not UNSET}
    return NetworkNumbers(input=other.input, totals=Numbers(**zeros))
