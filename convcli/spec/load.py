"""The door: files, standard input, layers on the command line; each becomes a Network, each error its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import cast

import msgspec

from convcli.errors import Problem, SpecError
from convcli.layers import Layer, Shape
from convcli.plan import Network
from convcli.spec import text
from convcli.spec.build import batch_network, lines_network, network, printed_network, spelled_entry, spelled_network

STDIN, TYPED_IN = "-", "<stdin>"  # standard input on the command line, and in messages
ONNX = b"\x08"  # how an ONNX file begins: its version's number. No text does
Given = Shape | Mapping[str, Shape] | None  # the input's shape in place of the spec's own; several by name are for ONNX


def load(source: str | PathLike[str], *, input: Given = None) -> Network:  # noqa: A002 - as in a spec
    """The network of a spec file; "-" is standard input.

    YAML, JSON, JSON lines (.jsonl), a benchdnn batch file, a printed model, ONNX.

    input: in place of the spec's own; an ONNX file needs it for axes that it leaves open, and takes several by name.
    Raises SpecError with everything that is wrong, each problem with its file, line and column.
    """
    name = str(source)
    data = contents(name)
    return loads(data, TYPED_IN if name == STDIN else name, input)


def loads(data: bytes, source: str = "<text>", input: Given = None) -> Network:  # noqa: A002 - as in a spec
    """The network of a spec already read; the ending of `source` tells the format when it has one."""
    ending = Path(source).suffix.lower()
    if ending == ".onnx" or data.startswith(ONNX):
        # the importer lies above the specs and needs a library of its own, so it is named, not imported
        read = import_module("convcli.importer.onnx.load").onnx_network
        return cast("Network", read(data, source, input))
    return _with_input(_loaded(data, source, ending), input)


def _with_input(found: Network, given: Given) -> Network:
    if isinstance(given, Mapping):
        raise SpecError("inputs by name are for ONNX files", field="--input", allowed="a shape")
    found.input = found.input if given is None else given
    return found


def _loaded(data: bytes, source: str, ending: str) -> Network:
    if ending == ".jsonl" or (ending not in {".json", ".yaml", ".yml"} and is_lines(data)):
        return lines_network(text.decode_lines(data.splitlines(keepends=True), source), source)
    if ending not in {".json", ".yaml", ".yml"}:
        from convcli.spec import printed, stream

        if stream.is_batch(data[: stream.START]):
            return batch_network(data.splitlines(), source)

        if printed.is_printed(start := data.decode("utf-8", "replace")):
            return printed_network(start, source)
    form = "json" if ending == ".json" else ""
    document = text.decode(data, source, form)
    try:
        found = network(document, source, lambda count: text.layer_lines(data, count, form))
    except SpecError as error:
        raise text.located(error, data, source, form) from None
    _place_blocks(found, data, form)
    found.located = lambda error: text.located(error, data, source, form)
    return found


def _place_blocks(network: Network, data: bytes, form: str) -> None:
    """Each layer inside a block has its own line, in a text that is not too long to be read again for that."""
    inside = [entry for entry in network.entries if len(entry.path) > 2]  # ("layers", 3, "layers", 0)
    if inside and len(data) <= text.SLOW_BYTES:
        found = text.lines_of(data, {entry.path for entry in inside}, form)
        for entry in inside:
            entry.line = found.get(entry.path, entry.line)


def parse(spelling: str) -> Layer:
    """The layer of one line in PyTorch's spelling or benchdnn's: parsed, never evaluated. Raises SpecError."""
    from convcli.spec import benchdnn

    if benchdnn.is_descriptor(spelling):
        return benchdnn.described(spelling).layer
    entry = spelled_entry(spelling, 1)
    if "*" in entry.type:
        raise SpecError(
            f"the type {entry.type.replace('*d', '')!r} names no rank",
            field="type",
            allowed=entry.type.replace("*", "2"),
        )
    return entry.made(0)


def networks(
    arguments: Sequence[str],
    problems: list[Problem],
    input: Given = None,  # noqa: A002 - as in a spec
    *,
    held: bytes | None = None,
) -> list[Network]:
    """One network per file; the layers spelled out among the arguments make one network together, in their order.

    input: in place of the files' own. held: what standard input holds, if somebody has read it. What is wrong with any
    of them goes to `problems`.
    """
    spelled = [argument for argument in arguments if is_spelled(argument)]
    files = [argument for argument in arguments if not is_spelled(argument)]
    readers: list[Callable[[], Network]] = [
        partial(load, file, input=input)
        if file != STDIN or held is None
        else partial(loads, held, TYPED_IN, input=input)
        for file in files
    ]
    if spelled:
        readers.insert(0, lambda: _with_input(spelled_network(spelled), input))
    found = []
    for read in readers:
        try:
            found.append(read())
        except SpecError as error:
            problems.extend(error.problems)
    return found


def is_spelled(argument: str) -> bool:
    """Whether an argument is a layer, not the name of a file."""
    if argument == STDIN or Path(argument).suffix.lower() in {".yaml", ".yml", ".json", ".jsonl", ".onnx"}:
        return False
    from convcli.spec import benchdnn

    return "(" in argument or benchdnn.is_descriptor(argument)


def is_lines(data: bytes) -> bool:
    """JSON lines without the ending that says so: a first line that is a whole object, and more after it."""
    first, _, rest = data.lstrip().partition(b"\n")
    if not first.startswith(b"{") or not rest.lstrip().startswith(b"{"):
        return False
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, ValueError):  # ValueError: not UTF-8
        return False
    return True


def contents(name: str) -> bytes:
    """The bytes of a file, or of standard input. Raises SpecError."""
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> SpecError:
    if isinstance(error, FileNotFoundError):
        from difflib import get_close_matches  # a slow import that only errors need

        path = Path(name)
        near = get_close_matches(path.name, _siblings(path), n=1)
        hint = 'a file, "-", or a layer as PyTorch writes it, Conv2d(3, 64, 3)'
        return SpecError(
            f"{name}: there is no such file", allowed=hint, repair=str(path.with_name(near[0])) if near else ""
        )
    reason = (
        "this is a directory"
        if isinstance(error, IsADirectoryError)
        else getattr(error, "strerror", None) or str(error)
    )
    return SpecError(f"{name}: {reason}", allowed="a file that can be read")


def _siblings(path: Path) -> list[str]:
    try:
        return [sibling.name for sibling in path.parent.iterdir()]
    except (OSError, ValueError):
        return []
