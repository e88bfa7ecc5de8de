"""A layer between convolutions back in PyTorch's spelling: what `build` reads it from."""

from __future__ import annotations

from typing import Any

import msgspec

from convcli.layers import Layer
from convcli.spec.fields import AnyFields
from convcli.spec.forms import form


def spelled(type_: str, layer: Layer) -> str:
    """MaxPool2d(kernel_size=3, stride=2, padding=1). The tensors of an Unknown have no spelling."""
    known = form(type_)
    said = {name: value for name, value in _said(layer).items() if name in _own_fields(known.fields)}
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(known.fields)}
    order = (*known.order, *sorted(set(said) - set(known.order)))
    told = {name: said.get(name) for name in order if said.get(name) not in {None, defaults[name]}}
    return f"{type_}({', '.join(f'{name}={_written(value)}' for name, value in told.items())})"


def _own_fields(fields: type[AnyFields]) -> set[str]:
    return set(fields.__struct_fields__) - set(AnyFields.__struct_fields__)


def _said(layer: Layer) -> dict[str, Any]:
    """What a settled layer knows, in the words of its fields."""
    own = {name: getattr(layer, name) for name in layer.__struct_fields__ if name not in {"axes", "inputs"}}
    own["elementwise_affine"] = own.get("affine")
    own |= dict(own.get("options", ()))
    if layer.axes:
        window = {"kernel_size": "kernel", "stride": "stride", "padding": "before", "dilation": "dilation"}
        own |= {name: _plain(tuple(getattr(axis, word) for axis in layer.axes)) for name, word in window.items()}
    return own


def _plain(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _written(value: Any) -> str:
    """As Python writes it; tuples of one number as lists."""
    return repr(list(value)) if isinstance(value, tuple) else repr(value)
