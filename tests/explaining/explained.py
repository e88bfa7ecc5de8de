"""What the tests of `explain` share: specs, sections, and arithmetic worked out once more."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Any

from drawn import Case

from convcli.explaining.record import LayerExplanation
from convcli.explaining.subject import Section
from convcli.plan import Network
from convcli.spec.build import network as read

SIGNS: dict[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
FUNCTIONS: dict[str, Callable[..., int | Fraction]] = {"floor": floor, "ceil": ceil, "max": max, "min": min}


def worked_out(text: str) -> Fraction:
    """Whole numbers and quotients exactly; nothing but numbers, four signs and four functions."""

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int() | float() as number):
                return Fraction(str(number))
            case ast.UnaryOp(op=ast.USub()):
                return -value(node.operand)
            case ast.BinOp(left=left, op=sign, right=right):
                return SIGNS[type(sign)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return Fraction(FUNCTIONS[name](*map(value, arguments)))
        raise AssertionError(f"{ast.unparse(node)} in {text}")

    return value(ast.parse(text, mode="eval").body)


def network(spec: dict[str, Any]) -> Network:
    return read(spec, "net.yaml")


def net_of(case: Case) -> Network:
    return network({"input": list(case.input), "layers": [case.fields]})


def sectioned(told: LayerExplanation, title: str) -> Section | None:
    return next((section for section in told.sections if section.title == title), None)
