"""JSON: the record itself. Numbers that are not finite become null; integers of any size stay whole."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.records import Report

if TYPE_CHECKING:
    from convcli.report import Record

MANY_LAYERS = 2000
_NUMBERS = re.compile(rb"\[\n\s+(-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*)\n\s+\]")  # no string holds a bare newline
_BREAK = re.compile(rb",\n\s+")


def render(record: Record) -> str:
    """Indented by 2 with shapes on one line; from 2,000 layers on, one layer a line (a third of the size)."""
    parts = record.reports if isinstance(record, Report) else (record,)
    if sum(len(getattr(part, "layers", ())) for part in parts) > MANY_LAYERS:
        return encoded(_layer_a_line(record)).decode() + "\n"
    pretty = msgspec.json.format(encoded(record), indent=2)
    return _NUMBERS.sub(lambda numbers: b"[" + _BREAK.sub(b", ", numbers[1]) + b"]", pretty).decode() + "\n"


def encoded(value: Any) -> bytes:
    """`value` as compact JSON. msgspec refuses integers beyond 64 bits and lone surrogates: those take the long way."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        import json  # hardly ever needed

        plain = _representable(msgspec.to_builtins(value))
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _layer_a_line(record: Any) -> Any:
    """The record with its layers encoded already, each after a newline."""
    if isinstance(record, Report):
        networks = tuple(msgspec.structs.replace(network, layers=_lines(network.layers)) for network in record.reports)
        return msgspec.structs.replace(record, reports=networks)
    return msgspec.structs.replace(record, layers=_lines(record.layers))


def _lines(layers: tuple[Any, ...]) -> msgspec.Raw:
    try:
        lines = msgspec.json.Encoder().encode_lines(layers).rstrip()
    except (OverflowError, UnicodeEncodeError):
        lines = b"\n".join(map(encoded, layers))
    return msgspec.Raw(b"[\n" + lines.replace(b"\n", b",\n") + b"]")  # no string holds a bare newline


def _representable(value: Any) -> Any:
    r"""The same with null for every number that is not finite, and \ud800 spelt out for a lone surrogate."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_representable(key): _representable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_representable(item) for item in value]
    return value
