"""The receptive field on its way through a network: what a layer makes of its inputs' fields, axis by axis.

A field holds one Reach for every spatial axis of the network's input. It follows the cells wherever the layers put
them: into other axes (Permute), under one with others (Flatten), out of sight (a pool over everything, Linear).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

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
    return _own(shape[first : first + rank], first)


def _own(space: Shape, first: int) -> Field:
    return tuple([Reach(length=size, place=place) for place, size in enumerate(space, first)])


@lru_cache(4096)  # the layers of a big spec have few different windows, on few different sizes
def first_seen(links: tuple[Link, ...], space: Shape, first: int) -> Field | None:
    """The field of the output of what slides over an input's spatial axes, from axis `first` on."""
    return _slid(links, first, _own(space, first))


def seen(layer: Layer, x: Shape, first: int, fields: list[Field | None], out: Shape) -> Field | None:
    """The field of a layer's output of shape `out`, given those of its inputs; None where nobody can tell.

    first: the place of the first spatial axis, of a layer that works along such.
    """
    if layer.spatial and len(fields) == 1 and fields[0] is not None:
        return _slid(layer.links(x), first, fields[0])
    found = []
    for which, field in enumerate(fields):
        taken = None if field is None else ways(layer, x, first, which, field)
        if field is None or taken is None or (new := passed(field, taken)) is None:
            return None
        found.append(new)
    return found[0] if len(found) == 1 else united(found, out)


@lru_cache(4096)
def _slid(links: tuple[Link, ...], first: int, field: Field) -> Field | None:
    found = [_slides(links, first, reach) for reach in field]
    return None if None in found else passed(field, cast("list[Way]", found))


def ways(layer: Layer, x: Shape, first: int, which: int, field: Field) -> list[Way] | None:
    """How each axis of input number `which` is read; None where that cannot be told by axes."""
    if not layer.known or not (layer.spatial or isinstance(layer, Companion)):  # what a region holds, its box decides
        return None
    if field is NOTHING:
        return []
    if isinstance(layer, Companion) and not layer.spatial:
        found = [_way(layer, which, reach) for reach in field]
    else:
        links = layer.links(x)
        found = [_slides(links, first, reach) for reach in field]
    return None if None in found else cast("list[Way]", found)


def _way(layer: Companion, which: int, reach: Reach) -> Way | None:
    """Of a layer that takes whole shapes. Wherever it puts cells that all see the same, everything is what they see."""
    place = reach.place
    if place is None:
        return Way(SAME, None)
    way, cells = layer.way(which, place), reach.merged or layer.inputs[which][place]
    if way and way.link.everything:
        return Way(All(cells), None)
    if way and (way.link is SAME or not reach.merged):
        return way._replace(merged=reach.merged or way.merged)
    return None if reach.step else Way(All(cells), None)


def _slides(links: tuple[Link, ...], first: int, reach: Reach) -> Way | None:
    """Of a layer that works along spatial axes, from axis `first` on."""
    place = reach.place
    if place is None:
        return Way(SAME, None)
    if not links or place == 0 < first - 1:  # batch norm of features; or what lies along the batch
        return Way(SAME, place, reach.merged)
    if not first <= place < first + len(links) or (reach.merged and links[place - first] is not SAME):
        return None
    return Way(links[place - first], place, reach.merged)


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
