"""The layers of a document, blocks spelled out: each an Entry with its full name, its path, and what feeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from convcli.errors import Path, Problem, SpecError
from convcli.plan import Entry
from convcli.spec.checked import checked, shown
from convcli.spec.fields import AnyFields, Block, Document, Shared

MOST = 1_000_000  # layers that blocks may stand for
Read = Callable[[object, int], Entry]  # one layer and its number in its list -> its entry


class Scope:
    """The names that can be seen from inside a block: its own, then those around it; `input` is what reaches it.

    full: what the names mean that are not full already.
    """

    def __init__(self, prefix: str = "", outer: Scope | None = None, feeds: str = "input"):
        self.prefix, self.outer, self.full = prefix, outer, {"input": feeds}

    def name(self, local: str) -> str:
        """The full name of a layer that has `local` for its name here."""
        return f"{self.prefix}.{local}" if self.prefix else local

    def find(self, said: str) -> str:
        """The full name that `said` means; itself when nobody here has that name."""
        if said in self.full:
            return self.full[said]
        return self.outer.find(said) if self.outer else said


class Reader:
    """Reads layers, one after the other, into `entries`; what is wrong goes to `problems`."""

    def __init__(self, read: Read, problems: list[Problem]):
        self.read, self.problems = read, problems
        self.entries: list[Entry] = []
        self._by_name: dict[str, Entry] = {}

    def layers(self, layers: Sequence[object], path: Path, scope: Scope, feeds: str | None = None) -> None:
        """All of a list. feeds: what its first layer takes when it says nothing; None for the layer before it."""
        for index, raw in enumerate(layers):
            here = (*path, index)
            try:
                if type(raw) is dict and "layers" in raw and "type" not in raw:
                    self._block(checked(raw, Block), here, scope, feeds if index == 0 else None)
                    continue
                one = self._shared(raw, index) if type(raw) is dict and "shares" in raw else self.read(raw, index + 1)
            except SpecError as error:
                self.problems.extend(error.at(*here).problems)
                one = Entry(f"layers[{index}]", "", None)
            self._place(one, here, scope, feeds if index == 0 else None)

    def _place(self, one: Entry, path: Path, scope: Scope, feeds: str | None) -> None:
        local, one.path = one.name, path
        if scope.prefix:
            one.name = scope.name(local)
        if one.sources is not None:
            one.sources = tuple(map(scope.find, one.sources))
        elif feeds is not None and one.input is None:
            one.sources = (feeds,)
        if one.shares:
            one = self._like_its_owner(one, scope)
        if scope.prefix or local in scope.full:
            scope.full[local] = one.name
        self.entries.append(one)

    def _block(self, block: Block, path: Path, scope: Scope, feeds: str | None) -> None:
        name = block.name or f"block_{int(path[-1]) + 1}"
        if block.from_ is not None:
            feeds = scope.find(block.from_)
        if block.repeat * sum(map(_leaves, block.layers)) > MOST:
            raise SpecError(
                "the repeated blocks stand for too many layers", field="repeat", allowed=f"at most {MOST:,}"
            )
        told = len(self.problems)
        for turn in range(block.repeat):
            inside = scope.name(f"{name}.{turn}" if block.repeat > 1 else name)
            reaches = feeds or (self.entries[-1].name if self.entries else scope.find("input"))
            self.layers(block.layers, (*path, "layers"), Scope(inside, scope, reaches), feeds)
            feeds = None
            if len(self.problems) > told:  # the other turns would say the same
                break
        scope.full[name] = self.entries[-1].name

    def _shared(self, raw: dict[str, Any], index: int) -> Entry:
        fields = checked(raw, Shared)
        return Entry(
            name=fields.name or f"{fields.shares}_{index + 1}",
            type="",
            layer=None,
            input=fields.input,
            expect=msgspec.to_builtins(fields.expect) if fields.expect else None,
            sources=(fields.from_,) if isinstance(fields.from_, str) else fields.from_,
            shares=fields.shares,
            budget=budget_of(fields),
        )

    def _like_its_owner(self, one: Entry, scope: Scope) -> Entry:
        """The entry as the layer that it shares with: of its type, with its fields."""
        if len(self._by_name) < len(self.entries):
            self._by_name = {entry.name: entry for entry in self.entries}
        owner = self._by_name.get(scope.find(one.shares))
        if owner is None:
            near = f"no layer before this one is named {shown(one.shares)}"
            error = SpecError(near, field="shares", allowed="the name of a layer above")
            self.problems.extend(error.at(*one.path).problems)
            return one
        first = owner.shares or owner.name
        return msgspec.structs.replace(one, type=owner.type, layer=owner.layer, padding=owner.padding, shares=first)


def budget_of(fields: AnyFields | Document | Shared) -> dict[str, Any] | None:
    """The `budget` of a spec or of one of its layers, as it was written. Raises SpecError for what are no amounts."""
    if fields.budget is None:
        return None
    from convcli.spec.amounts import limit

    written: dict[str, Any] = msgspec.to_builtins(fields.budget)
    problems: list[Problem] = []
    for name, value in written.items():
        try:
            limit(value)
        except SpecError as error:
            problems.extend(error.at("budget", name).problems)
    if problems:
        raise SpecError(problems=tuple(problems))
    return written


def _leaves(raw: object) -> int:
    """The layers that an item of a list stands for, before anybody has checked it."""
    if type(raw) is not dict or not isinstance(raw.get("layers"), list) or "type" in raw:
        return 1
    times = raw.get("repeat", 1)
    return (times if type(times) is int else 1) * sum(map(_leaves, raw["layers"]))
