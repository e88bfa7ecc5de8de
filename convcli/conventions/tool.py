"""What a calculator is, to us: the reasons for which its number for a layer is not ours.

A rule returns nothing but differences. The tool's number is ours and all of them added up, so that a number and its
explanation cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import TYPE_CHECKING, Literal

import msgspec

from convcli.conventions.site import Site

if TYPE_CHECKING:
    from fractions import Fraction

    Amount = int | Fraction
else:
    Amount = object


class Reason(msgspec.Struct, frozen=True):
    """The tool counts `macs` and `params` more than we do (less, where negative), because of `why`.

    detail: what is this layer's own about it, x4 at stride 2.
    whole: not divided by the number of images by a tool that prints the mean of one.
    """

    macs: Amount
    why: str
    detail: str = ""
    params: int = 0
    whole: bool = False


class Stops(Exception):  # noqa: N818 - what the tool does, not what we do
    """The tool ends in an error at this layer, and says no number at all."""


Rule = Callable[[Site], Iterable[Reason]]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A calculator at a version. source: where its rules are stated, or how they were found.

    rules: by module; `otherwise` for every other. flops: what its MACs become when they are called FLOPs.
    params: False where it counts none. mean_over: what its sum is divided by: "" nothing, "images" the batch, "length"
    the first axis of the model's input, batch or not. undivided: of a layer's own products, those that are not.
    """

    name: str
    package: str
    version: str
    call: str
    source: str
    rules: Mapping[str, Rule]
    otherwise: Rule
    flops: int = 2
    params: bool = True
    mean_over: Literal["", "images", "length"] = ""
    undivided: Callable[[Site], int] | None = None

    @property
    def title(self) -> str:
        """thop 0.1.1"""
        return f"{self.name} {self.version}"

    def reasons(self, site: Site) -> tuple[Reason, ...]:
        """Why its number is not ours: the reasons that come to something. Raises Stops."""
        found = self.rules.get(site.module, self.otherwise)(site)
        return tuple(reason for reason in found if reason.macs or reason.params)


def alike(modules: str, rule: Rule) -> dict[str, Rule]:
    """One rule for several modules; "Conv*d" stands for Conv1d, Conv2d and Conv3d."""
    names = [name.replace("*", str(rank)) for name in modules.split() for rank in ((1, 2, 3) if "*" in name else (0,))]
    return dict.fromkeys(names, rule)


def nothing(site: Site) -> tuple[Reason, ...]:
    """No difference."""
    del site
    return ()


def skipped(why: str, *, params: bool = False) -> Rule:
    """The products of this layer are not counted; nor are the parameters, when `params`."""
    return lambda site: (Reason(-site.counts.macs, why, params=-site.params if params else 0),)


def bias(site: Site) -> Reason:
    """One per output element of a layer with bias."""
    return Reason(site.counts.bias_adds, "adds one per output for the bias")


def per_input(times: int, why: str, *, whole: bool = False) -> Rule:
    """So many operations per element of the input, where we count no MACs."""
    return lambda site: (Reason(times * prod(site.x), why, whole=whole),)


def per_output(times: int, why: str) -> Rule:
    """So many operations per element of the output, where we count no MACs."""
    return lambda site: (Reason(times * prod(site.y), why),)


def factor(told: int, ours: int) -> str:
    """x4, as a word for the end of a reason."""
    return f"x{told / ours:.3g}" if ours else "from nothing"


def zero_insertion(site: Site) -> Reason:
    """A transposed layer counted as the convolution on the zero-inserted input."""
    told, ours = site.counts.macs_zero_insert or 0, site.counts.macs
    strides = "x".join(str(axis.stride) for axis in site.layer.axes)
    words = "counts a transposed convolution as prod(out)*kernel*C/groups: the output's size where the input's belongs"
    return Reason(told - ours, words, f"{factor(told, ours)} at stride {strides}")
