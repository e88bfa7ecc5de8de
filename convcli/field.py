"""The receptive field on its way through a network: what a layer makes of its inputs' fields, axis by axis.

A field holds one Reach for every spatial axis of the network's input. It follows the cells wherever the layers put
them: into other axes (Permute), under one with others (Flatten), out of sight (a pool over everything, Linear).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from convcli.layers import Field, Layer, Shape
from convcli.layers.companion import Companion, Way
from convcli.reach import SAME, All, Reach

if TYPE_CHECKING:
    from convcli.reach import Link

NOTHING: Field = (Reach((None,), 0),)  # the field of what no input reaches: a learned tensor


def first_field(shape: Shape, rank: int, *, channels_last: bool = False) -> Field:
    """Every cell of the input sees itself; its last `rank` axes are spatial, or those before the last one."""
    first = len(shape) - rank - channels_last
    return tuple([Reach(length=shape[place], place=place) for place in range(first, first + rank)])


def seen(layer: Layer, x: Shape, first: int, fields: list[Field | None], out: Shape) -> Field | None:
    """The field of a layer's output of shape `out`, given those of its inputs; None where nobody can tell.

    first: the place of the first spatial axis, of a layer that works along such.
    """
    found = []
    for which, field in enumerate(fields):
        taken = None if field is None else ways(layer, x, first, which, field)
        if field is None or taken is None or (new := passed(field, taken)) is None:
            return None
        found.append(new)
    return found[0] if len(found) == 1 else united(found, out)


def ways(layer: Layer, x: Shape, first: int, which: int, field: Field) -> list[Way] | None:
    """How each axis of input number `which` is read; None where that cannot be told by axes."""
    if not layer.known:
        return None
    if field is NOTHING:
        return []
    links = layer.links(x) if layer.spatial else ()
    found = []
    for reach in field:
        way = _way(layer, links, first, which, reach)
        if way is None or (reach.merged and not (way.link is SAME or way.link.everything)):
            return None
        found.append(way)
    return found


def _way(layer: Layer, links: tuple[Link, ...], first: int, which: int, reach: Reach) -> Way | None:
    place = reach.place
    if place is None:
        return Way(SAME, None)
    if first <= place < first + len(links):
        return Way(links[place - first], place, reach.merged)
    if isinstance(layer, Companion) and not layer.spatial:
        way = layer.way(which, place)
        if not way or not reach.merged:
            return way
        return Way(All(reach.merged), None) if way.link.everything else way._replace(merged=reach.merged)
    if not links and isinstance(layer, Companion):
        return Way(SAME, place)  # batch norm of features
    return Way(SAME, place, reach.merged) if place == 0 < first - 1 else None  # the batch; else the channels


def passed(field: Field, taken: list[Way]) -> Field | None:
    """The field of what reads this one; None where too many cells differ."""
    if field is NOTHING:
        return field
    found = []
    for reach, way in zip(field, taken, strict=True):
        link = way.link
        if link is not SAME:
            new = reach.through(link, way.place)
            if new is None:
                return None
            found.append(new)
        elif (way.place, way.merged) == (reach.place, reach.merged):
            found.append(reach)
        else:
            found.append(msgspec.structs.replace(reach, place=way.place, merged=way.merged))
    return tuple(found)


def united(fields: Sequence[Field], shape: Shape) -> Field | None:
    """The field that holds all of them, for an output of this shape; None where nobody can tell."""
    seen = [field for field in fields if field is not NOTHING]
    if not seen:
        return NOTHING
    found = list(seen[0])
    for field in seen[1:]:
        if len(field) != len(found):
            return None
        for axis, (one, other) in enumerate(zip(found, field, strict=True)):
            place = one.place if one.place is not None else other.place
            both = one.union(other, 1 if place is None else shape[place])
            if both is None:
                return None
            found[axis] = both
    return tuple(found)
