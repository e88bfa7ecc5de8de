"""Outside data against a struct of fields: fast when all is well, every problem found when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

import msgspec

from convcli.axis import written
from convcli.errors import Problem, SpecError
from convcli.spec.forms import nearest_field

T = TypeVar("T", bound=msgspec.Struct)
SHOWN = 60  # characters of a wrong value that a message repeats


def checked(data: object, struct: type[T]) -> T:
    """`data` as `struct`. Raises SpecError with every wrong, unknown and missing field."""
    try:
        return msgspec.convert(data, struct)
    except (msgspec.ValidationError, RecursionError):
        raise SpecError(problems=tuple(_problems(data, struct))) from None


def shown(value: object) -> str:
    """A value as one would write it in a spec, cut to a length one can read."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return written(value)
    try:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    except (ValueError, RecursionError):  # numbers of thousands of digits, lists in lists in lists
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _problems(data: object, struct: type[T]) -> list[Problem]:
    if not isinstance(data, Mapping):
        return [Problem(f"{shown(data)} is not a mapping", allowed="a mapping of fields")]
    hints, fields = _described(struct)
    known = tuple(field.encode_name for field in fields)
    names = {field.encode_name: field.name for field in fields}
    found: list[Problem] = []
    for field in fields:
        if field.required and field.encode_name not in data:
            found += [Problem(f"{field.encode_name} is missing", (field.encode_name,), _allowed(hints[field.name]))]
    for name, value in data.items():
        if name not in known:
            near = nearest_field(str(name), known)
            found.append(Problem(f"the field {shown(name)} is not known", (name,), ", ".join(known), near, at_key=True))
        else:
            found.extend(_value_problems(name, value, hints[names[name]]))
    return found or [Problem("the fields do not fit together")]


@cache
def _described(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], tuple[msgspec.structs.FieldInfo, ...]]:
    """A struct's types and fields, which take a millisecond to find out."""
    return get_type_hints(struct, include_extras=True), msgspec.structs.fields(struct)


def _value_problems(name: str, value: object, hint: Any) -> list[Problem]:
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, RecursionError):
        inner = _inner_struct(hint)
        if inner is not None and isinstance(value, Mapping):
            return [msgspec.structs.replace(problem, path=(name, *problem.path)) for problem in _problems(value, inner)]
        return [Problem(f"{name}={shown(value)} is not allowed", (name,), _allowed(hint), _repair(value, hint))]
    return []


def _inner_struct(hint: Any) -> type[msgspec.Struct] | None:
    """The struct inside Annotated[Struct | None, ...]."""
    candidates = [hint, *getattr(getattr(hint, "__origin__", None), "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, msgspec.Struct)), None)


def _allowed(hint: Any) -> str:
    """The description of an annotated type, or of one inside a union."""
    for one in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(one, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    return ""


def _repair(value: object, hint: Any) -> str:
    """A value of the right form that says the same, when there is an obvious one."""
    for candidate in _readings(value):
        try:
            msgspec.convert(candidate, hint)
        except (msgspec.ValidationError, RecursionError):
            continue
        return shown(candidate)
    return ""


def _readings(value: object) -> list[object]:
    if isinstance(value, float) and value.is_integer():
        return [int(value)]
    if not isinstance(value, str):
        return [bool(value)] if value in (0, 1) else []
    word = value.strip().lower().replace("_", "")
    if word in {"yes", "true", "on", "no", "false", "off"}:
        return [word in {"yes", "true", "on"}]
    if word.isascii() and word.isdigit() and len(word) < 20:
        return [int(word)]
    numbers = word.strip("[]()").replace("x", ",").split(",")
    if all(n.strip().isascii() and n.strip().isdigit() and len(n) < 20 for n in numbers):
        return [[int(n) for n in numbers]]
    return []
