"""The JSON Schema of a spec file, for editors: generated from the same fields that validate it."""

from __future__ import annotations

from typing import Any

import msgspec

from convcli.spec.fields import AnyFields, Block, Document, Shared
from convcli.spec.forms import every_form

SPELLING = r"^\s*([A-Za-z_]\w*\.)*[A-Za-z_]\w*\s*\(.*\)\s*$"


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the YAML and JSON forms: a mapping with `layers`, or a bare list of layers."""
    structs = _structs()
    described = [Document, Block, Shared, *structs]
    (document, *_), components = msgspec.json.schema_components(described, ref_template="#/$defs/{name}")
    defs = {name: _without_titles(definition) for name, definition in components.items()}
    defs["Layer"] = _layer(structs)
    layers = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Layer"}}
    for holder in ("Document", "Block"):
        defs[holder]["properties"]["layers"] |= layers
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcli spec",
        "description": "Convolution layers for convcli: shapes, parameters, MACs and FLOPs, and their verification.",
        "anyOf": [document, layers],
        "$defs": defs,
    }


def _structs() -> list[type[AnyFields]]:
    return list(dict.fromkeys(form.fields for form in every_form().values()))


def _layer(structs: list[type[AnyFields]]) -> dict[str, Any]:
    """A text as PyTorch spells a layer, or a mapping whose type decides which fields it has."""
    cases = [
        {"if": {"properties": {"type": {"pattern": _pattern(struct)}}}, "then": {"$ref": f"#/$defs/{struct.__name__}"}}
        for struct in structs
    ]
    proper = list(dict.fromkeys(form.type for form in every_form().values() if form.rank is not None))
    known = {"anyOf": [{"enum": proper}, *({"pattern": _pattern(struct)} for struct in structs)]}
    mapping = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string"} | known},
        "allOf": cases,
    }
    others = [{"$ref": f"#/$defs/{name}"} for name in ("Block", "Shared")]
    return {"anyOf": [{"type": "string", "pattern": SPELLING}, mapping, *others]}


def _pattern(struct: type[AnyFields]) -> str:
    """Every name of the struct's types, without regard to case, `-`, `_` and blanks."""
    keys = [key for key, form in every_form().items() if form.fields is struct]
    return "^[-_ ]*(" + "|".join("".join(map(_letter, key)) for key in keys) + ")$"


def _letter(letter: str) -> str:
    return (f"[{letter}{letter.upper()}]" if letter.isalpha() else letter) + "[-_ ]*"


def _without_titles(definition: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in definition.items() if name != "title"}
