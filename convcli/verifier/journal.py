"""A run as JSON lines: a header, a result per case in the order of the cases, each flushed when it is there; an end.

A process that is killed loses the line it was writing and nothing else; whoever continues cuts a torn line off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Self, TypeVar

import msgspec

from convcli._version import __version__
from convcli.backends.source import SOURCE
from convcli.errors import SpecError
from convcli.verifier.case import Case
from convcli.verifier.verdict import Check, Explanation, LayerVerdict

if TYPE_CHECKING:
    from convcli.plan import Step

SCHEMA = 1
NOT_COMPARED = frozenset({"platform", "python"})
NOT_TOLD = frozenset({"threads", "jobs"})  # how many work at a run is no part of it
NOT_ASKED = frozenset({"cases", "duration", "kinds", "layers", "left_out", "models", "shard"})  # of a single case
NUMBERS = ("max_abs_error", "bound_ratio", "statistical_ratio")
T = TypeVar("T", bound=msgspec.Struct)


class Header(msgspec.Struct, frozen=True, dict=True, tag_field="schema", tag=SCHEMA):
    """What a run is: enough to make every case again, and to know that the answers would be the same."""

    convcli: str
    command: str
    seed: int
    options: dict[str, Any]
    environment: dict[str, Any]

    @property
    def asked(self) -> dict[str, Any]:
        """The options as somebody would type them."""
        return {name: value for name, value in self.options.items() if not name.endswith(SOURCE)}

    @cached_property
    def salt(self) -> bytes:
        """What every case's key has in common: what was asked of it, the other side, the versions."""
        asked = {name: value for name, value in self.options.items() if name not in NOT_ASKED}
        versions = {name: value for name, value in self.environment.items() if name not in NOT_COMPARED}
        return hashlib.blake2b(msgspec.json.encode([self.convcli, asked, versions], order="sorted")).digest()


class End(msgspec.Struct, frozen=True):
    """The last line of a run that came to its end. complete: the cases of all its shards together."""

    complete: int


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A layer of `verify`. index: its place among all. checks: how many each of its jobs made.

    infinite: the numbers of the verdict that JSON cannot hold, as 0.max_abs_error.
    """

    index: int
    key: str
    verdict: LayerVerdict
    checks: tuple[int, ...] = ()
    infinite: tuple[str, ...] = ()


class Explained(msgspec.Struct, frozen=True):
    """What was found out about a layer of `verify` that failed, behind all results. explained: the layer's index."""

    explained: int
    explanation: Explanation


def header(command: str, seed: int, options: dict[str, Any], environment: dict[str, Any]) -> Header:
    """Of a run that starts now."""
    told = {name: value for name, value in environment.items() if name not in NOT_TOLD}
    return Header(__version__, command, seed, options, told)


def key_of(step: Step, seed: int, salt: bytes) -> str:
    """The same for the same checks of the same layer on the same data, by the same versions, everywhere."""
    case = Case(step.layer, step.x, step.batch, seed)
    return hashlib.blake2b(case.key + salt, digest_size=16).hexdigest()


class Journal:
    """The file that a run writes: a new one, or one that it continues."""

    def __init__(self, path: str | Path, *, keep: int = 0):
        """keep: the bytes of a run that is continued."""
        self._path = str(path)
        try:
            self._file: BinaryIO = Path(path).open("r+b" if keep else "wb")  # noqa: SIM115 - closed on leaving
            if keep:
                self._file.truncate(keep)
                self._file.seek(keep)
        except OSError as error:
            raise _unwritable(path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, record: msgspec.Struct) -> None:
        """One line, on its way to the disk before the next case."""
        try:
            self._file.write(line_of(record))
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error


class Recording(Generic[T]):
    """The journal of a run: what an earlier part of the run left there, and where results go; neither of them, perhaps.

    A context: leaving it closes the file.
    """

    def __init__(self, journal: str | Path | None, resume: str | Path | None, command: str, result: type[T]):
        if journal is not None and resume is not None and Path(journal).resolve() != Path(resume).resolve():
            raise SpecError("a run that is continued is written to its own file", field="resume")
        self._path = resume if resume is not None else journal
        self._earlier = Earlier(resume, command, result) if resume is not None else None
        self._file: Journal | None = None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def started(self) -> bool:
        """Results are written, if there is a journal: the earlier ones have all been read."""
        return self._started

    def earlier(self, own: Header) -> Iterator[T]:
        """What an earlier part of this run has done; SpecError when it is another one. Then `start`."""
        if self._earlier:
            check_same(self._earlier.header, own)
            yield from self._earlier.results()

    def start(self, own: Header) -> None:
        """Go on behind what is there, or begin."""
        self._started = True
        if self._path is not None:
            self._file = Journal(self._path, keep=self._earlier.length if self._earlier else 0)
            if not self._earlier:
                self._file.write(own)

    def write(self, result: msgspec.Struct) -> None:
        """One line."""
        if self._file:
            self._file.write(result)

    def close(self) -> None:
        """Nothing more is written."""
        if self._file:
            self._file.close()
        self._file = None


class Earlier(Generic[T]):
    """What is left of an earlier run: its header, its results one by one, and whether it came to its end.

    Raises SpecError for a file that is no such run; `results` for one that is broken elsewhere than in its last line.
    """

    def __init__(self, path: str | Path, command: str, result: type[T], *, field: str = "--resume"):
        self.path, self.length = str(path), 0
        self.end: End | None = None
        self.explained: list[Explained] = []
        self._command, self._field, self._decode = command, field, msgspec.json.Decoder(result).decode
        lines = self._lines()
        _, first = next(lines, (0, b""))
        lines.close()
        if not first:
            raise SpecError(f"{path} has no first line: there is nothing to continue", field=field)
        try:
            self.header = msgspec.json.decode(first, type=Header)
        except msgspec.MsgspecError as error:
            raise SpecError(f"{path} is not a run of convcli {command}: {error}", field=field) from error
        if self.header.command != command:
            raise SpecError(f"{path} is a run of convcli {self.header.command}, not of {command}", field=field)

    def results(self) -> Iterator[T]:
        """Each result; `length` is then the bytes up to and with it, `end` and `explained` are known at the end."""
        bad, number = None, 0
        for number, line in self._lines():
            if bad is not None:  # something stands behind it: not what a killed process leaves
                break
            if number == 1:
                self.length = len(line)
                continue
            try:
                found = self._decoded(line)
            except msgspec.MsgspecError as error:
                bad = error
                continue
            if found is None:
                continue
            if self.end or self.explained:
                raise SpecError(f"{self.path}:{number} is a result behind the end of the run", field=self._field)
            self.length += len(line)
            yield found
        else:
            return
        where, told = f"{self.path}:{number - 1}", self._command
        raise SpecError(f"{where} is not a result of convcli {told}: {bad}", field=self._field) from bad

    def _decoded(self, line: bytes) -> T | None:
        """A result; None of a line that stands behind them all."""
        if line.startswith(b'{"explained":'):
            self.explained.append(msgspec.json.decode(line, type=Explained))
        elif line.startswith(b'{"complete":'):
            self.end = msgspec.json.decode(line, type=End)
        else:
            return self._decode(line)
        return None

    def _lines(self) -> Generator[tuple[int, bytes], None, None]:
        """The lines that are whole."""
        try:
            with Path(self.path).open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith(b"\n"):
                        yield number, line
        except OSError as error:
            raise SpecError(f"cannot read {self.path}: {error.strerror}", field=self._field) from error


def check_same(old: Header, new: Header, *, field: str = "--resume", what: str = "the run to be continued") -> None:
    """Raises SpecError that names all in which a run that is to be continued is another one."""
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(old, name), getattr(new, name)) for name in ("convcli", "command", "seed")
    }
    for name in dict.fromkeys([*old.asked, *new.asked]):
        pairs[name] = (old.options.get(name), new.options.get(name))
    for name in dict.fromkeys([*old.environment, *new.environment]):
        if name not in NOT_COMPARED:
            pairs[name] = (old.environment.get(name), new.environment.get(name))
    other = [f"{name} is {_said(was)} there and {_said(now)} here" for name, (was, now) in pairs.items() if was != now]
    other += [f"{place} was edited: its source is another one here" for place in _edited(old, new)]
    if other:
        raise SpecError(f"{what} is another one: {'; '.join(other)}", field=field)


def _edited(old: Header, new: Header) -> list[str]:
    """The places that both name and whose sources differ."""
    names = [name for name in dict.fromkeys([*old.options, *new.options]) if name.endswith(SOURCE)]
    changed = [name.removesuffix(SOURCE) for name in names if old.options.get(name) != new.options.get(name)]
    return [_said(new.options.get(name, name)) for name in changed if old.options.get(name) == new.options.get(name)]


def infinite(verdict: LayerVerdict | None) -> tuple[str, ...]:
    """The numbers of a verdict that JSON cannot hold."""
    checks: Sequence[Check] = verdict.checks if verdict else ()
    return tuple(f"{n}.{name}" for n, check in enumerate(checks) for name in NUMBERS if getattr(check, name) == inf)


def restored(verdict: LayerVerdict, names: Sequence[str]) -> LayerVerdict:
    """The verdict with these numbers."""
    checks = list(verdict.checks)
    for number, name in (name.split(".") for name in names):
        checks[int(number)] = msgspec.structs.replace(checks[int(number)], **{name: inf})
    return msgspec.structs.replace(verdict, checks=tuple(checks)) if names else verdict


def line_of(record: msgspec.Struct) -> bytes:
    """As JSON in one line; what UTF-8 cannot hold in the name of a file becomes a question mark."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:
        import json  # hardly ever needed

        return json.dumps(msgspec.to_builtins(record), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _said(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _unwritable(path: str | Path, error: OSError) -> SpecError:
    return SpecError(f"cannot write {path}: {error.strerror or error}", field="--output")
