"""A run as JSON lines: a header, then a result per case in the order of the cases, each flushed when it is there.

A process that is killed loses the line it was writing and nothing else; whoever continues cuts a torn line off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from convcli._version import __version__
from convcli.errors import SpecError
from convcli.verifier.fuzz.results import SCHEMA, Result

NOT_COMPARED = frozenset({"platform", "python"})


class Header(msgspec.Struct, frozen=True):
    """What a run is: enough to make every case again, and to know that the answers would be the same."""

    schema: int
    convcli: str
    command: str
    seed: int
    options: dict[str, Any]
    environment: dict[str, Any]


def header(seed: int, options: dict[str, Any], environment: dict[str, Any]) -> Header:
    """Of a run that starts now. How many work at it is no part of it."""
    told = {name: value for name, value in environment.items() if name not in {"threads", "jobs"}}
    return Header(SCHEMA, __version__, "fuzz", seed, options, told)


class Journal:
    """The file that a run writes: a new one, or one that it continues. A context: leaving it closes the file."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def write(self, record: Header | Result) -> None:
        """One line, on its way to the disk before the next case."""
        try:
            self._file.write(msgspec.json.encode(record) + b"\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error


class Earlier(msgspec.Struct, frozen=True):
    """What is left of an earlier run: its header, its results, and the bytes that hold them."""

    header: Header
    results: list[Result]
    length: int


def earlier(path: str | Path) -> Earlier:
    """Read a journal. Raises SpecError for a file that is none, or that is broken elsewhere than in its last line."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}", field="--resume") from error
    lines = list(_lines(data))
    if not lines:
        raise SpecError(f"{path} has no first line: there is nothing to continue", field="--resume")
    try:
        first = msgspec.json.decode(lines[0], type=Header)
    except msgspec.MsgspecError as error:
        raise SpecError(f"{path} is not a run of convcli fuzz: {error}", field="--resume") from error
    results: list[Result] = []
    length = len(lines[0])
    for number, line in enumerate(lines[1:], 2):
        try:
            results.append(msgspec.json.decode(line, type=Result))
        except msgspec.MsgspecError as error:
            if number == len(lines):  # torn, and something else was written over it
                break
            raise SpecError(f"{path}:{number} is not a result of convcli fuzz: {error}", field="--resume") from error
        length += len(line)
    return Earlier(first, results, length)


def check_same(old: Header, new: Header) -> None:
    """Raises SpecError that names all in which a run that is to be continued is another one."""
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(old, name), getattr(new, name)) for name in ("schema", "convcli", "command", "seed")
    }
    for name in dict.fromkeys([*old.options, *new.options]):
        pairs[name] = (old.options.get(name), new.options.get(name))
    for name in dict.fromkeys([*old.environment, *new.environment]):
        if name not in NOT_COMPARED:
            pairs[name] = (old.environment.get(name), new.environment.get(name))
    other = [f"{name} is {_said(was)} there and {_said(now)} here" for name, (was, now) in pairs.items() if was != now]
    if other:
        raise SpecError(f"the run to be continued is another one: {'; '.join(other)}", field="--resume")


def _lines(data: bytes) -> Iterator[bytes]:
    """The lines that are whole."""
    whole = data[: data.rfind(b"\n") + 1]
    return iter(whole.splitlines(keepends=True))


def _said(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _unwritable(path: str | Path, error: OSError) -> SpecError:
    return SpecError(f"cannot write {path}: {error.strerror or error}", field="--output")
