"""Layers in PyTorch's spelling, from their fields: what `convcli shape` and PyTorch take when it is pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convcli.axis import Axis
from convcli.spec.forms import form

USUAL = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "output_padding": 0,
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
}


def spelling(fields: Mapping[str, Any]) -> str:
    """Conv2d(3, 64, 7, stride=2, padding=3): the first three by position as long as none is missing."""
    words, positional = [], True
    first = form(fields["type"]).order[:3]
    for name in first:
        positional = positional and name in fields
        if name in fields:
            words.append(_written(fields[name]) if positional else f"{name}={_written(fields[name])}")
    rest = ((name, value) for name, value in fields.items() if name not in {"type", *first})
    words += [f"{name}={_written(value)}" for name, value in rest if not _is_usual(name, value)]
    return f"{fields['type']}({', '.join(words)})"


def window_fields(axes: Sequence[Axis], *, transposed: bool) -> dict[str, Any]:
    """kernel_size, stride, padding, ... of axes whose automatic padding still is a word."""
    fields = {
        "kernel_size": [axis.kernel for axis in axes],
        "stride": [axis.stride for axis in axes],
        "padding": [axis.before for axis in axes],
        "dilation": [axis.dilation for axis in axes],
        "output_padding": [axis.output_padding for axis in axes],
    }
    found: dict[str, Any] = {name: plain(values) for name, values in fields.items()}
    if axes[0].auto:
        found["padding"] = axes[0].auto
    elif any(axis.before != axis.after for axis in axes):
        same = not transposed and all(axis.is_same for axis in axes)
        found["padding"] = "same" if same else [(axis.before, axis.after) for axis in axes]
    return found


def plain(values: Sequence[Any]) -> Any:
    """One number where all axes have the same."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _is_usual(name: str, value: Any) -> bool:
    usual = USUAL.get(name)
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return usual is not None and all(number == usual for number in numbers)


def _written(value: Any) -> str:
    """Lists as the tuples that PyTorch takes."""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    return repr(value)
