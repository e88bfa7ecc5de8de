"""`explain --why-differs`: the number that another calculator prints for a network, and why it is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.conventions import HOMES, named
from convcli.conventions.told import Told, told
from convcli.conventions.tool import Tool
from convcli.errors import SpecError
from convcli.plan import Network, Plan, plan


class Cause(msgspec.Struct, frozen=True):
    """One reason, what is this layer's own about it, and what it comes to: MACs and parameters more than ours."""

    why: str
    detail: str
    macs: int | float
    params: int = 0


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A layer, or a part of one, of which the tool says another number than we do."""

    name: str
    module: str
    line: int | UnsetType = UNSET
    macs: int
    told_macs: int | float
    params: int
    told_params: int | UnsetType = UNSET
    causes: tuple[Cause, ...]


class Total(msgspec.Struct, frozen=True):
    """One reason over all layers that it concerns."""

    why: str
    layers: int
    macs: int | float
    params: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A network by one tool. macs, params: ours; told_macs, told_params: its. stops: why it has no number at all."""

    tool: str
    version: str
    call: str
    rules_from: str
    source: str
    name: str
    macs: int
    told_macs: int | None
    params: int
    told_params: int | UnsetType = UNSET
    totals: tuple[Total, ...] = ()
    layers: tuple[Difference, ...] = ()
    complete: bool = True
    stops: str | UnsetType = UNSET

    @property
    def title(self) -> str:
        """thop 0.1.1"""
        return f"{self.tool} {self.version}"


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `explain --why-differs`."""

    schema: int = 1
    convcli: str = __version__
    command: str = "explain"
    question: str = "why-differs"
    comparisons: tuple[Comparison, ...]


def why_differs(*networks: Network, tools: Sequence[str] = ()) -> Differences:
    """For every network and tool (all of them, if none is named): its number, ours, and each difference's reason.

    Raises SpecError with all that is wrong in the networks, and for a tool that is not known.
    """
    return differences([plan(network) for network in networks], tools)


def differences(plans: Sequence[Plan], tools: Sequence[str] = ()) -> Differences:
    """`why_differs` of networks that are planned."""
    known = [named(name) for name in dict.fromkeys(tools or HOMES)]
    return Differences(comparisons=tuple(_comparison(planned, one) for planned in plans for one in known))


def _comparison(planned: Plan, known: Tool) -> Comparison:
    ours = [step.layer.counts(step.x, step.images).macs for step in planned.steps]
    own = [0 if step.shares else _params(step.layer.tensors(step.x)) for step in planned.steps]
    about = Comparison(
        tool=known.name,
        version=known.version,
        call=known.call,
        rules_from=known.source,
        source=planned.network.source,
        name=planned.network.name,
        macs=sum(ours),
        told_macs=None,
        params=sum(own),
        complete=all(step.layer.known for step in planned.steps),
    )
    try:
        steps = told(planned, known)
    except SpecError as error:
        return msgspec.structs.replace(about, stops=error.problems[0].message)
    parts = [part for step in steps for part in step.parts]
    params = sum(part.params for part in parts)
    return msgspec.structs.replace(
        about,
        told_macs=int(sum((part.macs for part in parts), Fraction())),
        told_params=params if known.params else UNSET,
        totals=_totals(parts),
        layers=tuple(_difference(part, known) for part in parts if part.reasons),
    )


def _params(tensors: dict[str, tuple[int, ...]]) -> int:
    from math import prod

    return sum(map(prod, tensors.values()))


def _difference(part: Told, known: Tool) -> Difference:
    site = part.site
    return Difference(
        name=site.name,
        module=site.module,
        line=UNSET if site.step.line is None else site.step.line,
        macs=site.counts.macs,
        told_macs=number(part.macs),
        params=site.params,
        told_params=part.params if known.params else UNSET,
        causes=tuple(Cause(reason.why, reason.detail, number(reason.macs), reason.params) for reason in part.reasons),
    )


def _totals(parts: list[Told]) -> tuple[Total, ...]:
    """Every reason once, the one that comes to most first."""
    sums: dict[str, list[Fraction]] = {}
    for part in parts:
        for reason in part.reasons:
            entry = sums.setdefault(reason.why, [Fraction(), Fraction(), Fraction()])
            for place, amount in enumerate((1, reason.macs, reason.params)):
                entry[place] += amount
    found = [Total(why, int(count), number(macs), int(params)) for why, (count, macs, params) in sums.items()]
    return tuple(sorted(found, key=lambda total: (-abs(total.macs), -abs(total.params), total.why)))


def number(amount: int | Fraction) -> int | float:
    """A whole number as an int, a mean that is none as a float."""
    exact = Fraction(amount)
    return int(exact) if exact.denominator == 1 else float(exact)
