"""Records as flat `key: value` pairs, `receptive_field.size: 7x7`: what csv's columns and JUnit's numbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from convcli.units import shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.records import LayerRecord

Order = tuple[int, ...]


def flat(record: msgspec.Struct, prefix: str = "", order: Order = ()) -> Iterator[tuple[Order, str, Any]]:
    """(place among the record's fields, key, value) of all that is set; inner records by dotted keys, without parts."""
    for place, name in enumerate(record.__struct_fields__):
        value = getattr(record, name)
        if value is UNSET or name == "parts":
            continue
        if isinstance(value, msgspec.Struct):
            yield from flat(value, f"{prefix}{name}.", (*order, place))
        else:
            yield (*order, place), prefix + name, value


def layer_and_parts(layer: LayerRecord, above: str = "") -> Iterator[tuple[str, LayerRecord]]:
    """(name, record) of a layer and its parts: "sep", then "sep/depthwise"."""
    name = f"{above}{layer.name}"
    yield name, layer
    for part in layer.parts or ():
        yield from layer_and_parts(part, f"{name}/")


def written(value: Any) -> str:
    """A value as one cell: 7x7 for a shape, weight=64x3x7x7;bias=64 for tensors, a;b for words, every digit."""
    if value is None:
        return ""
    if isinstance(value, (tuple, list)):
        return ";".join(value) if all(isinstance(item, str) for item in value) else shape(value)
    if isinstance(value, dict):
        return ";".join(f"{name}={written(item)}" for name, item in value.items())
    return str(value)
