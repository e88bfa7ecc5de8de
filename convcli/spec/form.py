"""One way to write a layer type, and how its name is recognised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from convcli.layers.base import Layer
from convcli.spec.fields import AnyFields

FieldsType = type[AnyFields]


class Form(msgspec.Struct, frozen=True):
    """One way to write a layer. `type` is its proper name, in which `*` stands for a rank that the input tells.

    rank: the number of spatial axes that the type names, 0 for one that works on any tensor. order: the positions in
    which PyTorch's constructor takes the fields. preset: what the name alone says already.
    """

    type: str
    rank: int | None
    fields: FieldsType
    layer: Callable[[Any, int], Layer]
    order: tuple[str, ...]
    preset: dict[str, Any] = {}


def key(type_: str) -> str:
    """A type's name without regard to case, `-`, `_` and blanks."""
    return type_.lower().replace("-", "").replace("_", "").replace(" ", "")
