"""Two networks side by side: what was added, removed, changed, renamed, moved, and by how much each number differs."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.gate.matching import is_given, moved, pairs
from convcli.gate.numbers import KEYS, LayerNumbers, NetworkNumbers, Numbers
from convcli.layers import Shape
from convcli.records import Convention


class Delta(msgspec.Struct, frozen=True):
    """A number before and after; what is not there counts as 0. percent: of `before`, to two digits."""

    before: int | UnsetType
    after: int | UnsetType
    difference: int
    percent: float | UnsetType


class Deltas(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that both sides know."""

    params: Delta | UnsetType = UNSET
    macs: Delta | UnsetType = UNSET
    flops: Delta | UnsetType = UNSET
    activation_bytes: Delta | UnsetType = UNSET
    weight_bytes: Delta | UnsetType = UNSET


class Known(msgspec.Struct, frozen=True):
    """A layer on one side."""

    name: str
    type: str
    output: Shape | UnsetType = UNSET
    line: int | UnsetType = UNSET


class LayerChange(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: what became of it, then the same numbers as `Deltas`.

    renamed: from one given name to another. moved: it changed places with its neighbours.
    """

    status: Literal["same", "changed", "added", "removed"]
    renamed: bool
    moved: bool
    before: Known | UnsetType = UNSET
    after: Known | UnsetType = UNSET
    params: Delta | UnsetType = UNSET
    macs: Delta | UnsetType = UNSET
    flops: Delta | UnsetType = UNSET
    activation_bytes: Delta | UnsetType = UNSET
    weight_bytes: Delta | UnsetType = UNSET

    @property
    def differs(self) -> bool:
        """Whether there is anything to tell."""
        return self.status != "same" or self.renamed or self.moved


class End(msgspec.Struct, frozen=True):
    """A network on one side. complete: false where its totals are lower bounds."""

    source: str
    name: str
    input: Shape | None
    complete: bool


class NetworkChange(msgspec.Struct, frozen=True, kw_only=True):
    """Two networks. layers: those that differ, or all of them, in the order of `after`. unchanged: how many do not."""

    before: End
    after: End
    layers: tuple[LayerChange, ...]
    unchanged: int
    totals: Deltas

    @property
    def differs(self) -> bool:
        """Whether the two are not the same network."""
        totals = [delta for key in KEYS if (delta := getattr(self.totals, key)) is not UNSET]
        inputs = self.before.input != self.after.input
        return inputs or any(layer.differs for layer in self.layers) or any(delta.difference for delta in totals)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `diff`."""

    schema: int = 1
    convcli: str = __version__
    command: str = "diff"
    convention: Convention = Convention()
    dtype: str = "float32"
    networks: tuple[NetworkChange, ...]

    @property
    def differs(self) -> bool:
        """Whether there is any difference."""
        return any(network.differs for network in self.networks)


def change(before: NetworkNumbers, after: NetworkNumbers, *, everything: bool = False) -> NetworkChange:
    """What became of `before`. everything: the layers that are the same too."""
    layers = _layers(before.layers, after.layers)
    differing = tuple(layer for layer in layers if layer.differs)
    return NetworkChange(
        before=_end(before),
        after=_end(after),
        layers=tuple(layers) if everything else differing,
        unchanged=len(layers) - len(differing),
        totals=Deltas(**_deltas(before.totals, after.totals)),
    )


def delta(before: int | UnsetType, after: int | UnsetType) -> Delta:
    """The difference; what is not there counts as 0."""
    start = 0 if before is UNSET else before
    difference = (0 if after is UNSET else after) - start
    return Delta(before, after, difference, UNSET if before is UNSET else percent(start, difference))


def percent(start: int, difference: int) -> float | UnsetType:
    """100 * difference / start to two digits; UNSET for a start of 0, and beyond what a float holds."""
    if not start:
        return UNSET
    hundredths = (abs(difference) * 20_000 + start) // (2 * start)
    if hundredths > 10**300:
        return UNSET
    return hundredths / 100 if difference > 0 else -hundredths / 100


def _end(network: NetworkNumbers) -> End:
    return End(network.source, network.name, network.input, network.complete)


def _layers(before: tuple[LayerNumbers, ...], after: tuple[LayerNumbers, ...]) -> list[LayerChange]:
    """Every layer of either side, in the order of `after`; what was removed stands after what it stood after."""
    found = pairs(before, after)
    leaving = moved(found)
    placed = [((j, 0, 0), _matched(before[i], after[j], moved=(i, j) in leaving)) for i, j in found]
    matched, taken = dict(found), {j for _, j in found}
    placed += [((j, 0, 0), _alone(None, layer)) for j, layer in enumerate(after) if j not in taken]
    last = -1
    for i, layer in enumerate(before):
        last = matched.get(i, last)
        if i not in matched:
            placed.append(((last, 1, i), _alone(layer, None)))
    return [layer for _, layer in sorted(placed, key=lambda item: item[0])]


def _matched(before: LayerNumbers, after: LayerNumbers, *, moved: bool) -> LayerChange:
    renamed = before.name != after.name and (is_given(before) or is_given(after))
    facts = ((getattr(before, name), getattr(after, name)) for name in ("type", "output", *KEYS))
    same = all(start == end for start, end in facts if start is not UNSET and end is not UNSET)
    return LayerChange(
        status="same" if same else "changed",
        renamed=renamed,
        moved=moved,
        before=_known(before),
        after=_known(after),
        **_deltas(before, after),
    )


def _alone(before: LayerNumbers | None, after: LayerNumbers | None) -> LayerChange:
    return LayerChange(
        status="removed" if before else "added",
        renamed=False,
        moved=False,
        before=_known(before) if before else UNSET,
        after=_known(after) if after else UNSET,
        **_deltas(before, after),
    )


def _known(layer: LayerNumbers) -> Known:
    return Known(layer.name, layer.type, layer.output, layer.line)


def _deltas(before: Numbers | None, after: Numbers | None) -> dict[str, Delta | UnsetType]:
    """The differences of what either side knows; for a layer on both sides, of what both know."""
    found: dict[str, Delta | UnsetType] = {}
    for key in KEYS:
        start, end = (UNSET if side is None else getattr(side, key) for side in (before, after))
        known = (start is not UNSET or not before) and (end is not UNSET or not after)
        found[key] = delta(start, end) if known else UNSET
    return found
