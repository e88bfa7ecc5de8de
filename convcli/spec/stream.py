"""Layers by the million, each on an input of its own: JSON lines or benchdnn's batch files, read line by line.

Whoever looks at all of them holds one at a time. The file is read once before, so that all that is wrong with it is
told before any work, and again for the work.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from weakref import finalize

import msgspec

from convcli.errors import Problem, SpecError
from convcli.layers import Shape
from convcli.plan import Entry, Step, steps_of
from convcli.spec import benchdnn, text
from convcli.spec.build import described_entry, entry
from convcli.spec.load import STDIN, TYPED_IN, is_lines

LEAST = 4 << 20  # bytes of a file that is not read as a whole
MOST_SHOWN = 100  # problems; a file with more has one cause
START = 1 << 16
OPTION = re.compile(r"--[a-z]")  # --- begins a document of YAML
DEEPEST = 8  # batch files that name batch files


class Stream:
    """The layers of a file, as often as one likes. Raises SpecError with what is wrong."""

    def __init__(self, path: Path | Spool, source: str, given: Shape | None = None, *, channels_last: bool = False):
        self._path, self.source, self._given, self._last = path, source, given, channels_last
        with path.open("rb") as file:
            self._batch = is_batch(file.read(START))
        problems: list[Problem] = []
        self._count = sum(1 for _ in self._steps(problems))
        if not self._count and not problems:
            problems.append(Problem("there is no layer in this file", source=source))
        if problems:
            raise SpecError(problems=tuple(problems))

    def __len__(self) -> int:
        return self._count

    def steps(self) -> Iterator[Step]:
        """One by one."""
        problems: list[Problem] = []
        yield from self._steps(problems)
        if problems:  # somebody has changed the file meanwhile
            raise SpecError(problems=tuple(problems))

    def _steps(self, problems: list[Problem]) -> Iterator[Step]:
        with self._path.open("rb") as file:
            for one in (batch_entries if self._batch else line_entries)(file, self.source, problems):
                yield from self._step(one, problems)
                if len(problems) >= MOST_SHOWN:
                    return

    def _step(self, one: Entry, problems: list[Problem]) -> Iterator[Step]:
        """The layer by itself; what is wrong has its line."""
        wrong: list[Problem] = []
        if one.sources is not None:
            wrong.append(Problem("in a file of this size every layer stands alone", ("from",), "an `input` of its own"))
        else:
            yield from steps_of([one], self._given, channels_last=self._last, problems=wrong)
        problems += [msgspec.structs.replace(p, source=self.source, line=one.line or 0) for p in wrong]


class Spool:
    """Bytes that came once, on the disk, where they can be read again; gone when nobody holds them."""

    def __init__(self, start: bytes, rest: Any):
        """rest: the file that holds what is behind the start. Raises SpecError when the disk cannot hold it."""
        try:
            self._file = TemporaryFile()  # noqa: SIM115 - closed with us
            finalize(self, self._file.close)
            self._file.write(start)
            shutil.copyfileobj(rest, self._file)
            self._file.flush()
        except OSError as error:
            raise SpecError(f"cannot keep {TYPED_IN} on the disk: {error.strerror or error}") from error

    def open(self, _: str) -> BufferedReader:
        """From the beginning."""
        return BufferedReader(_Pass(self._file))


class _Pass(RawIOBase):
    """An open file once more from its beginning, whoever else reads it."""

    def __init__(self, file: Any):
        self._raw, self._at = file.raw, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.seek(self._at)
        count: int = self._raw.readinto(buffer)
        self._at += count
        return count


def typed_in(given: Shape | None = None, *, channels_last: bool = False) -> Stream | bytes:
    """Standard input: the stream of many lines, of anything else the bytes."""
    start = sys.stdin.buffer.read(LEAST)
    if len(start) < LEAST or not (is_batch(start[:START]) or is_lines(start)):
        return start + sys.stdin.buffer.read()
    return Stream(Spool(start, sys.stdin.buffer), TYPED_IN, given, channels_last=channels_last)


def stream_of(name: str, given: Shape | None = None, *, channels_last: bool = False) -> Stream | None:
    """The stream of a file of many lines; None for one that is to be read at once."""
    path = Path(name)
    if name == STDIN or not path.is_file() or path.stat().st_size < LEAST:
        return None
    with path.open("rb") as file:
        start = file.read(START)
    if path.suffix.lower() == ".jsonl" or is_batch(start):
        return Stream(path, name, given, channels_last=channels_last)
    return None


def line_entries(lines: Iterable[bytes], source: str, problems: list[Problem]) -> Iterator[Entry]:
    """The layers of JSON lines."""
    return _entries(text.decode_lines(lines, source), entry, source, problems)


def is_batch(start: bytes) -> bool:
    """Whether a text is a batch file of benchdnn: its first line that is no comment is a problem or an option."""
    for line in start.decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if words:
            return all(OPTION.match(word) or benchdnn.is_descriptor(word) for word in words)
    return False


def batch_entries(lines: Iterable[bytes], source: str, problems: list[Problem], *, depth: int = 0) -> Iterator[Entry]:
    """The problems of a batch file. Of its options --mb=N holds for what is below, --batch=FILE names another one."""
    images = 0
    for number, line in enumerate(lines, 1):
        for word in line.decode("utf-8", "replace").partition("#")[0].split():
            try:
                if word.startswith("--mb="):
                    images = _whole(word)
                elif word.startswith("--batch="):
                    yield from _included(Path(source).parent / word.removeprefix("--batch="), problems, depth + 1)
                elif not word.startswith("--"):
                    one = described_entry(word, images)
                    one.line, one.path = number, (one.name,)
                    yield one
            except SpecError as error:
                problems += [msgspec.structs.replace(p, source=source, line=number) for p in error.problems]


def _included(path: Path, problems: list[Problem], depth: int) -> Iterator[Entry]:
    if depth > DEEPEST:
        raise SpecError(f"{path} is named by batch files that name each other")
    try:
        with path.open("rb") as file:
            yield from batch_entries(file, str(path), problems, depth=depth)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from error


def _whole(word: str) -> int:
    digits = word.partition("=")[2]
    if not digits.isdecimal():
        raise SpecError(f"{word} is not a batch size", allowed="--mb=0 for the problems' own, or --mb=16")
    return int(digits)


def _entries(
    items: Iterator[tuple[int, object]], made: Callable[[object, int], Entry], source: str, problems: list[Problem]
) -> Iterator[Entry]:
    count = 0
    try:
        for number, raw in items:
            count += 1
            try:
                one = made(raw, count)
            except SpecError as error:
                problems += [msgspec.structs.replace(p, source=source, line=number) for p in error.problems]
                continue
            one.line, one.path = number, (one.name,)
            yield one
    except SpecError as error:  # a line that is no JSON: what follows it is not read
        problems += error.problems
