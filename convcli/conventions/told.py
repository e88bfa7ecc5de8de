"""A tool's numbers for a network that is planned: for each layer and in all."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from convcli.conventions.site import Site, sites
from convcli.conventions.tool import Reason, Stops, Tool
from convcli.errors import SpecError
from convcli.plan import Plan, Step

if TYPE_CHECKING:
    from convcli.layers import Shape


class Told(msgspec.Struct, frozen=True):
    """What a tool says of one primitive: its MACs, exactly, its parameters, and why they are not ours."""

    site: Site
    macs: Fraction
    params: int
    reasons: tuple[Reason, ...]


class ToldStep(msgspec.Struct, frozen=True):
    """What a tool says of a layer, which is its primitives together."""

    step: Step
    parts: tuple[Told, ...]

    @property
    def exact(self) -> Fraction:
        """The MACs; not whole where a sum was divided."""
        return sum((part.macs for part in self.parts), Fraction())

    @property
    def macs(self) -> int:
        """The MACs, rounded down."""
        return int(self.exact)

    @property
    def params(self) -> int:
        """The parameters."""
        return sum(part.params for part in self.parts)


def told(planned: Plan, tool: Tool) -> tuple[ToldStep, ...]:
    """Every layer, in order. Raises SpecError where the tool ends in an error."""
    found = []
    divisor = 1
    for index, (step, primitives) in enumerate(sites(planned)):
        start = planned.network.entries[index].input or (planned.network.input if not index else None)
        if start is not None and primitives:
            divisor = _divisor(tool, start, step)
        try:
            parts = tuple(_told(site, tool, divisor) for site in primitives)
        except Stops as stop:
            error = SpecError(f"{tool.title} ends in an error at {step.name}: {stop}")
            raise planned.network.located(error.at(*step.path)) from None
        found.append(ToldStep(step, parts))
    return tuple(found)


def _divisor(tool: Tool, start: Shape, step: Step) -> int:
    """How many images, by the tool's idea of them, an input of shape `start` to the layer `step` holds."""
    if not tool.mean_over or not start:
        return 1
    if not step.layer.spatial:
        return max(1, start[0])
    if tool.mean_over == "images" or step.batch:
        return max(1, step.images)
    return step.x[0]


def _told(site: Site, tool: Tool, divisor: int) -> Told:
    reasons = tool.reasons(site)
    macs = Fraction(site.counts.macs) + sum(Fraction(reason.macs) for reason in reasons)
    if divisor > 1:
        whole = Fraction(tool.undivided(site) if tool.undivided else 0) + sum(
            Fraction(reason.macs) for reason in reasons if reason.whole
        )
        mean = Reason((macs - whole) / divisor - (macs - whole), f"prints the mean of {divisor} images")
        reasons, macs = (*reasons, *([mean] if mean.macs else [])), macs + mean.macs
    params = site.params + sum(reason.params for reason in reasons)
    return Told(site, macs, params, reasons)
