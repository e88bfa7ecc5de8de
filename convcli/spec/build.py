"""From plain data to a Network: all problems of a document are collected before any is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from convcli.errors import Problem, SpecError
from convcli.layers import Layer, Shape
from convcli.plan import Entry, Network, steps_of
from convcli.spec import spelling as torch_spelling
from convcli.spec.checked import checked, shown
from convcli.spec.entries import Reader, Scope, budget_of
from convcli.spec.fields import AnyFields, Document, Input, Placed
from convcli.spec.forms import form

NOWHERE = {"name": None, "input": None, "from": None, "expect": None, "budget": None}  # what any layer may say, unsaid


def network(
    document: object, source: str, lines: Callable[[int], Sequence[int]] = lambda count: [0] * count
) -> Network:
    """The network that a decoded document describes: a mapping with `layers`, or a bare list of layers.

    lines: the line of each of so many layers, asked only when the document holds together.
    Raises SpecError with all that is wrong.
    """
    bare = isinstance(document, list)
    problems: list[Problem] = []
    try:
        top = checked({"layers": document} if bare else document, Document)
    except SpecError as error:
        problems.extend(error.problems)
        raw = document if bare else document.get("layers") if isinstance(document, dict) else None
        top = Document(layers=tuple(raw) if isinstance(raw, list) else ())
    prefix = () if bare else ("layers",)
    found = _entries(top.layers, prefix, problems)
    try:
        budget = budget_of(top)
    except SpecError as error:
        problems.extend(error.problems)
    if problems:
        raise SpecError(problems=_with_the_plans(problems, found, top))
    at, by_layer = len(prefix), lines(len(top.layers))
    for one in found:
        one.line = by_layer[int(one.path[at])] or None  # that of the block, for the layers in one
    return Network(
        found,
        name=top.name or "",
        source=source,
        input=top.input,
        channels_last=top.input_layout == "channels_last",
        budget=budget,
    )


def lines_network(items: Iterable[tuple[int, object]], source: str) -> Network:
    """The network of a JSON-lines file: (line number, layer) one by one, no name twice."""
    problems: list[Problem] = []
    entries: list[Entry] = []
    for number, raw in items:
        try:
            one = entry(raw, len(entries) + 1)
        except SpecError as error:
            problems.extend(msgspec.structs.replace(p, source=source, line=number) for p in error.problems)
            continue
        one.line, one.path = number, (one.name,)
        entries.append(one)
    problems.extend(_repeated(entries))
    if problems:
        raise SpecError(problems=tuple(problems))
    return Network(entries, source=source, located=_by_name(entries, source))


def printed_network(text: str, source: str) -> Network:
    """The network of a pasted `print(model)`."""
    from convcli.spec import printed

    problems: list[Problem] = []
    entries: list[Entry] = []
    for line in printed.layers(text):
        try:
            one = spelled_entry(line.text, len(entries) + 1)
        except SpecError as error:
            problems.extend(_shifted(p, source, line.number, text) for p in error.problems)
            continue
        one.name, one.line = line.name or one.name, line.number
        one.path = (one.name,)
        entries.append(one)
    if not entries and not problems:
        problems.append(Problem("there is no layer in this text", source=source))
    if problems:
        raise SpecError(problems=tuple(problems))
    return Network(entries, source=source, located=_by_name(entries, source))


def spelled_network(texts: Sequence[str]) -> Network:
    """The network of command-line arguments: layers in PyTorch's spelling or benchdnn's, one after the other."""
    from convcli.spec import benchdnn

    problems: list[Problem] = []
    entries: list[Entry] = []
    for text in texts:
        try:
            one = described_entry(text) if benchdnn.is_descriptor(text) else spelled_entry(text, len(entries) + 1)
        except SpecError as error:
            problems.extend(error.problems)
            continue
        one.path = (one.name,)
        entries.append(one)
    if problems:
        raise SpecError(problems=tuple(problems))
    return Network(entries)


def entry(raw: object, number: int) -> Entry:
    """One layer of a document: a mapping of fields, or a text in PyTorch's spelling."""
    if isinstance(raw, str):
        return spelled_entry(raw, number)
    if not isinstance(raw, dict):
        raise SpecError(
            f"{shown(raw)} is not a layer",
            allowed="a mapping with a type, or a line as PyTorch writes it, Conv2d(3, 64, 3)",
        )
    try:
        layer = _alike(msgspec.msgpack.encode({**raw, **NOWHERE}))
        placed: AnyFields = msgspec.convert(raw, Placed)
    except (SpecError, msgspec.ValidationError, TypeError, OverflowError, ValueError, RecursionError):
        layer, placed = _checked(raw)  # tells all that is wrong with the two together
    return Entry(
        name=placed.name or f"{layer.type.replace('*d', '').lower()}_{number}",
        type=layer.type,
        layer=layer.made,
        input=placed.input,
        expect=msgspec.to_builtins(placed.expect) if placed.expect else None,
        sources=(placed.from_,) if isinstance(placed.from_, str) else placed.from_,
        budget=budget_of(placed),
        padding=layer.padding,
    )


class Said(msgspec.Struct, frozen=True):
    """A layer wherever it stands: its type, what its fields make, the word that its padding was given by."""

    type: str
    made: Layer | Callable[[int], Layer]
    padding: str


@lru_cache(4096)  # most layers of a big spec are like others, but for their name and their input
def _alike(words: bytes) -> Said:
    """The layer that these fields, packed, make in any place. Raises SpecError."""
    return _checked(msgspec.msgpack.decode(words))[0]


def _checked(raw: dict[str, Any]) -> tuple[Said, AnyFields]:
    """A layer and what it says of its place. Raises SpecError with all that is wrong."""
    type_ = raw.get("type")
    if not isinstance(type_, str):
        raise SpecError(
            "type is missing" if type_ is None else f"type={shown(type_)} is not allowed",
            field="type",
            allowed="a layer type, as in Conv2d",
        )
    shape = form(type_)
    fields: AnyFields = checked({**shape.preset, **raw} if shape.preset else raw, shape.fields)
    padding = getattr(fields, "padding", 0)
    made = _layer_of(shape.layer, fields, shape.rank)
    return Said(shape.type, made, padding.lower() if isinstance(padding, str) else ""), fields


def spelled_entry(text: str, number: int) -> Entry:
    """One layer in PyTorch's spelling; problems are placed at their column."""
    spelled = torch_spelling.spelled(text)
    try:
        return entry(spelled.fields, number)
    except SpecError as error:
        raise torch_spelling.located(error, text, spelled.columns) from None


def _by_name(entries: list[Entry], source: str) -> Callable[[SpecError], SpecError]:
    """Gives each problem the line of the layer whose name its path begins with."""

    def located(error: SpecError) -> SpecError:
        lines = {one.name: one.line or 0 for one in entries}
        found = (msgspec.structs.replace(p, source=source, line=lines.get(str(p.path[0]), 0)) for p in error.problems)
        return SpecError(problems=tuple(found))

    return located


def _layer_of(make: Callable[[Any, int], Layer], fields: Any, rank: int | None) -> Layer | Callable[[int], Layer]:
    """The layer, made now so that its errors show now; or, when the input tells the rank, what makes it then."""
    if rank is None:
        kernel = getattr(fields, "kernel_size", None)
        known = len(kernel) if isinstance(kernel, tuple) else None
        return lambda told: make(fields, known or told)
    return make(fields, rank)


def described_entry(text: str, images: int = 0) -> Entry:
    """The layer of a benchdnn descriptor. images: the batch size in place of its own."""
    from convcli.spec import benchdnn

    described = benchdnn.described(text)
    rank, shape = len(described.layer.axes), described.input
    shape = (images, *shape[1:]) if images else shape
    return Entry(described.name or text, f"Conv{rank}d", described.layer, shape)


def batch_network(lines: Iterable[bytes], source: str) -> Network:
    """The network of a batch file of benchdnn; problems of one name are told apart by their lines."""
    from convcli.spec.stream import batch_entries

    problems: list[Problem] = []
    entries = list(batch_entries(lines, source, problems))
    seen: set[str] = set()
    for one in entries:
        one.name = f"{one.name}:{one.line}" if one.name in seen else one.name
        one.path = (one.name,)
        seen.add(one.name)
    problems.extend(_repeated(entries))
    if problems:
        raise SpecError(problems=tuple(problems))
    return Network(entries, source=source, located=_by_name(entries, source))


def _entries(layers: Sequence[object], prefix: tuple[str, ...], problems: list[Problem]) -> list[Entry]:
    reader = Reader(entry, problems)
    reader.layers(layers, prefix, Scope())
    problems.extend(_repeated(reader.entries))
    return reader.entries


def _with_the_plans(problems: list[Problem], found: list[Entry], top: Document) -> tuple[Problem, ...]:
    """What is wrong with the layers that could be read joins what is wrong with the others, in their order."""
    last = top.input_layout == "channels_last"
    for _ in steps_of(found, top.input, channels_last=last, problems=problems):
        pass
    return tuple(sorted(problems, key=lambda p: next((step for step in p.path if isinstance(step, int)), -1)))


def _repeated(entries: list[Entry]) -> list[Problem]:
    """A problem for every name that an earlier layer has."""
    if len({one.name for one in entries}) == len(entries):
        return []
    seen: dict[str, Entry] = {}
    problems = []
    for one in entries:
        first = seen.setdefault(one.name, one)
        if first is not one:
            where = f"line {first.line}" if first.line else Problem("", first.path).field
            problems.append(
                Problem(
                    f"the name {shown(one.name)} is taken by {where}",
                    (*one.path, "name"),
                    "a name no other layer has",
                    line=one.line or 0,
                )
            )
    return problems


def _shifted(problem: Problem, source: str, line: int, text: str) -> Problem:
    """A problem of one printed layer, placed in the whole text."""
    whole = text.splitlines()[line - 1]
    inner = problem.excerpt.strip()
    column = whole.find(inner) + problem.column if inner and inner in whole else 1
    return msgspec.structs.replace(problem, source=source, line=line, column=max(column, 1), excerpt=whole)


def shape_of(text: str) -> Shape:
    """An input's shape as a flag gives it: 1,3,224,224 or 1x3x224x224. Raises SpecError."""
    return checked({"input": torch_spelling.value(text)}, Input).input


def inputs_of(text: str) -> Shape | dict[str, Shape]:
    """The input's shape as a flag gives it, or the shapes of several by name: "x=1,3,224,224 mask=1,128"."""
    if "=" not in text:
        return shape_of(text)
    found = dict[str, Shape]()
    for one in text.split():
        name, equals, sizes = one.rpartition("=")
        if not equals:
            raise SpecError(f"--input {one}", allowed="name=1,3,224,224, of every input that is named")
        found[name] = (int(sizes),) if sizes.isdecimal() else shape_of(sizes)
    return found


def flags_network(fields: dict[str, str | bool]) -> Network:
    """The network of one layer given by flags: the texts that were typed, or true and false. Raises SpecError."""
    problems: list[Problem] = []
    raw: dict[str, Any] = {}
    for name, typed in fields.items():
        try:
            raw[name] = (
                typed if name in {"type", "padding_mode"} or isinstance(typed, bool) else torch_spelling.value(typed)
            )
        except SpecError as error:
            problems.extend(error.at(name).problems)
    try:
        if problems:
            raise SpecError(problems=tuple(problems))  # noqa: TRY301 - the flags are renamed below, whatever is wrong
        return Network([entry(raw, 1)])
    except SpecError as error:
        raise SpecError(problems=tuple(_as_flag(problem) for problem in error.problems)) from None


def _as_flag(problem: Problem) -> Problem:
    """The same problem, its field named as the flag that was typed."""
    if not problem.path:
        return problem
    return msgspec.structs.replace(problem, path=("--" + str(problem.path[0]).replace("_", "-"), *problem.path[1:]))
