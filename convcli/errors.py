"""What can be wrong with a spec, as data: raised short where the fact is known, located once at the door."""

from __future__ import annotations

import msgspec

Path = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong: where (`path` in the document, then `source:line:column`), what, what is allowed, the repair."""

    message: str
    path: Path = ()
    allowed: str = ""
    repair: str = ""
    source: str = ""
    line: int = 0
    column: int = 0
    excerpt: str = ""
    at_key: bool = False  # it is the key at the end of `path` that is wrong, not its value
    caret: int = 0  # the column of the excerpt that is meant, when the excerpt is a part of the line; else `column`
    formula: str = ""  # the rule that does not hold, with its numbers: what `explain` adds to the message

    @property
    def field(self) -> str:
        """The path as one reads it: layers[3].groups."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text

    def __str__(self) -> str:
        """`file:line:column: field: message; allowed; repair`, and the line it speaks of with a caret below."""
        place = ":".join(str(part) for part in (self.source, self.line, self.column) if part) if self.source else ""
        head = ": ".join(part for part in (place, self.field, self.message) if part)
        if self.allowed:
            head += f"; allowed: {self.allowed}"
        if self.repair:
            head += f"; try: {self.repair}"
        if self.excerpt:
            head += f"\n    {self.excerpt}"
            caret = self.caret or self.column
            head += f"\n    {' ' * (caret - 1)}^" if caret else ""
        return head


class SpecError(ValueError):
    """A spec, a shape or an argument is wrong. `problems` lists everything found, in document order."""

    def __init__(
        self,
        message: str = "",
        *,
        field: str = "",
        allowed: str = "",
        repair: str = "",
        formula: str = "",
        problems: tuple[Problem, ...] = (),
    ):
        self.problems = problems or (Problem(message, (field,) if field else (), allowed, repair, formula=formula),)
        super().__init__("\n".join(map(str, self.problems)))

    def at(self, *path: str | int) -> SpecError:
        """The same problems, seen from further out: their paths begin with `path`."""
        return SpecError(problems=tuple(msgspec.structs.replace(p, path=(*path, *p.path)) for p in self.problems))

    @property
    def explained(self) -> SpecError:
        """The same problems, with the rules that do not hold worked out in their messages."""
        told = (
            msgspec.structs.replace(p, message=": ".join(filter(None, (p.message, p.formula)))) for p in self.problems
        )
        return SpecError(problems=tuple(told))


class Unchecked(Exception):  # noqa: N818 - what became of the run, and the name says it
    """Nothing could be worked out here, though nothing is wrong with what was asked; the message says why."""


class BackendMissing(Unchecked):
    """What a command needs is not installed; the message holds the line that installs it."""


class RevisionMissing(Unchecked):
    """git is not there, or does not have what was asked of it; the message says which."""


class ImportFailed(Unchecked):
    """A model could not be built or run, or asks for data; the message says what it said."""
