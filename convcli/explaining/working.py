"""A formula with its numbers put in: text in, text out. What it comes to is the layer's own number, never ours."""

from __future__ import annotations

import ast
import operator
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Number = int | float
_NAME = re.compile(r"\b[a-z]\w*")
_BRACKET = re.compile(r"(?<![a-z])\(([^()]* [-+*/] [^()]*)\)")  # of a sum or product, not of a function
_OPERATORS: dict[type, Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
LETTERS = {1: "L", 2: "HW", 3: "DHW"}  # PyTorch's names of the spatial axes


class Working(msgspec.Struct, frozen=True):
    """of = formula = each of `numbers` = result: the formula in names, with numbers put in, without brackets."""

    of: str
    formula: str
    numbers: tuple[str, ...]
    result: Number

    @property
    def told(self) -> str:
        """The result as one reads it."""
        return written(self.result)


def working(of: str, formula: str, result: Number, **values: Number) -> Working:
    """`formula` with `values` put in for its names; `result` is what the layer says that it comes to."""
    numbers = put_in(formula, values)
    stages = dict.fromkeys((numbers, without_brackets(numbers)))
    return Working(of, formula, tuple(text for text in stages if text != written(result)), result)


def written(number: Number) -> str:
    """Every digit of a whole number, six of any other."""
    return str(number) if isinstance(number, int) else f"{number:.6g}"


def put_in(formula: str, values: dict[str, Number]) -> str:
    """The formula with numbers for names, negative ones in brackets; the names of functions stay."""

    def number(name: re.Match[str]) -> str:
        if name[0] not in values:
            return name[0]
        value = values[name[0]]
        text = repr(int(value) if value == int(value) else value)
        return f"({text})" if text.startswith("-") else text

    return _NAME.sub(number, formula)


def without_brackets(numbers: str) -> str:
    """The innermost brackets worked out, where they come to a whole number or a short one."""
    return _BRACKET.sub(lambda bracket: _worked_out(bracket[1]) or bracket[0], numbers)


def _worked_out(text: str) -> str:
    """Sums, products and quotients as one number; nothing where it is not short."""
    value = _value(ast.parse(text, mode="eval").body)
    shown = repr(value)
    if isinstance(value, float) and len(shown) > 8:
        return ""
    return f"({shown})" if value < 0 else shown


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Div):
            return left / right if left % right else left // right
        return _OPERATORS[type(node.op)](left, right)
    raise TypeError(f"{ast.unparse(node)} is no sum, product or quotient of numbers")


def times(name: str, letters: Sequence[str]) -> str:
    """kernel_H * kernel_W"""
    return " * ".join(f"{name}_{letter}" for letter in letters)


def product(*factors: str) -> str:
    """The factors that there are: a layer without spatial axes has no kernel_H."""
    return " * ".join(filter(None, factors)) or "1"


def each(name: str, letters: Sequence[str], numbers: Sequence[int]) -> dict[str, Number]:
    """{"kernel_H": 3, "kernel_W": 5}"""
    return {f"{name}_{letter}": number for letter, number in zip(letters, numbers, strict=True)}


def alike(letters: Sequence[str], facts: Sequence[object]) -> list[tuple[str, int]]:
    """("H, W", 0): the axes of which the same holds, named together, with the place of the first."""
    groups: dict[object, list[int]] = {}
    for place, fact in enumerate(facts):
        groups.setdefault(fact, []).append(place)
    return [(", ".join(letters[place] for place in places), places[0]) for places in groups.values()]
