"""PyTorch's spelling of a layer, `Conv2d(3, 64, kernel_size=7, stride=2)`: parsed with `ast`, never evaluated.

Positions follow the type's own order, as its PyTorch constructor has it; `print(model)` writes some words without
quotes (`padding=same`), so a bare word is a text.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import msgspec

from convcli.axis import LARGEST, written
from convcli.errors import Problem, SpecError
from convcli.spec.forms import form

LONGEST = 10_000  # characters of one layer; a real one has a few hundred at the most


class Spelled(msgspec.Struct, frozen=True):
    """A layer's fields as plain data, and the column (from 1) at which each was said."""

    fields: dict[str, Any]
    columns: dict[str, int]


def spelled(text: str) -> Spelled:
    """The fields of one layer in PyTorch's spelling. Raises SpecError with the column of what is wrong."""
    call = _expression(text)
    if not isinstance(call, ast.Call):
        raise _wrong(text, call, "this is not a layer", allowed="a layer as PyTorch writes it, Conv2d(3, 64, 3)")
    type_ = _type_name(text, call.func)
    try:
        order = form(type_).order
    except SpecError as error:
        raise _placed(error, text, call.func) from None
    fields: dict[str, Any] = {"type": type_}
    columns = {"type": call.func.col_offset + 1}
    if len(call.args) > len(order):
        raise _wrong(
            text, call.args[len(order)], f"{type_} takes {len(order)} positional values", allowed=", ".join(order)
        )
    for name, node in zip(order, call.args, strict=False):
        fields[name], columns[name] = _value(text, node), _column(node)
    for keyword in call.keywords:
        if keyword.arg is None:
            raise _wrong(text, keyword.value, "** is not allowed: a layer is data, not code")
        name = "from" if keyword.arg == "from_" else keyword.arg  # Python keeps the word itself for its own use
        if name in fields:
            raise _wrong(text, keyword.value, f"{name} is given twice")
        fields[name], columns[name] = _value(text, keyword.value), keyword.col_offset + 1
    return Spelled(fields, columns)


def value(text: str) -> Any:
    """One value as a flag gives it: 3, 3,3, (1, 2), [1,2],[0,1], same, true. Raises SpecError."""
    if re.fullmatch(r"\d+(x\d+)+", text.strip()):
        return [int(number) for number in text.strip().split("x")]
    return _value(text, _expression(text))


def located(error: SpecError, text: str, columns: dict[str, int]) -> SpecError:
    """Problems of a spelled layer, each at the column where its field was said."""
    problems = []
    for problem in error.problems:
        column = columns.get(str(problem.path[0]) if problem.path else "", 0)
        problems.append(problem if problem.excerpt else msgspec.structs.replace(problem, excerpt=text, column=column))
    return SpecError(problems=tuple(problems))


def _expression(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise SpecError(f"{len(text)} characters are too many for one layer", allowed=f"at most {LONGEST}")
    if "\n" in text or "\0" in text:
        raise SpecError("a layer is one line of text", allowed="a layer as PyTorch writes it, Conv2d(3, 64, 3)")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        column = min(max(error.offset or 1, 1), len(text) + 1)
        problem = Problem(
            f"this cannot be read: {error.msg}",
            allowed="a layer as PyTorch writes it, Conv2d(3, 64, 3)",
            column=column,
            excerpt=text,
        )
        raise SpecError(problems=(problem,)) from None
    except (RecursionError, MemoryError, ValueError):
        raise SpecError(
            "this is nested too deeply or holds too large a number", allowed="numbers, words and lists of them"
        ) from None


def _type_name(text: str, node: ast.expr) -> str:
    """`Conv2d`, `nn.Conv2d`, `torch.nn.Conv2d`: the last word."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise _wrong(text, node, "this is not the name of a layer type")


def _value(text: str, node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() as number) if abs(number) > LARGEST:
            raise _wrong(text, node, f"{written(number)} is too large", allowed="at most 2**63 - 1")
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return node.value
        case ast.Name(id=word):
            return {"true": True, "false": False}.get(word.lower(), word)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return [_value(text, element) for element in elements]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise _wrong(
        text, node, "only numbers, words, True, False and lists of them are allowed here: a layer is data, not code"
    )


def _column(node: ast.expr) -> int:
    return node.col_offset + 1


def _wrong(text: str, node: ast.expr, message: str, allowed: str = "") -> SpecError:
    return SpecError(problems=(Problem(message, allowed=allowed, column=_column(node), excerpt=text.strip()),))


def _placed(error: SpecError, text: str, node: ast.expr) -> SpecError:
    return SpecError(
        problems=tuple(
            msgspec.structs.replace(p, path=(), column=_column(node), excerpt=text.strip()) for p in error.problems
        )
    )
