"""The reader of outside text: YAML 1.2, JSON and JSON lines in, plain Python data or a SpecError with its place out.

YAML is read by yaml-rs, JSON by msgspec; nothing in a text is ever executed or imported.
Sources: the YAML 1.2.2 specification (core schema; `<<` as in YAML 1.1), RFC 8259, jsonlines.org.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.errors import Path, SpecError
from convcli.spec.guards import BOXES, DEEPEST, DOCUMENT_MARK, MERGE, checked_text, dicts, form_of, is_json, levels
from convcli.spec.layer_lines import SLOW_BYTES, layer_lines, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

__all__ = ["SLOW_BYTES", "decode", "decode_lines", "layer_lines", "lines_of", "located", "place"]

EXPANDED = 1_000_000  # nodes that aliases may stand for, or as many as the file has characters
KEY_ENDS = ('":', " :", "\t:", "\n:", "\r:")  # every key of a JSON text ends in one of these
PLAIN = {*BOXES, str, int, float, bool, type(None)}
TAG = re.compile(r"(?:^|[\s\[{,])![^\s,\[\]{}\"']*", re.MULTILINE)


def decode(data: bytes, source: str, form: str = "") -> object:
    """The document as dict (with str keys), list, str, int, float, bool and None.

    `form` is "yaml", "json" or "" (by the ending of `source`; YAML, which includes JSON, when that says nothing).
    Raises SpecError with line, column and excerpt for whatever is wrong with the bytes.
    """
    text = checked_text(data, source)
    if not text.strip():
        raise faults().empty(source)
    return _json(text, source) if is_json(data, form or form_of(source)) else _yaml(text, source)


def decode_lines(stream: Iterable[bytes], source: str) -> Iterator[tuple[int, object]]:
    """(line number, document) for each line of JSON lines, one at a time; blank lines are skipped."""
    document = msgspec.json.Decoder().decode
    for number, line in enumerate(stream, 1):
        try:
            value = document(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if not line or line.isspace():
                continue
            value = _checked_line(line, number, source)
        else:
            # as many colons as keys: none stands twice; what is deeper or holds more colons needs the closer look
            colons = line.count(b":")
            if (
                type(value) is not dict
                or colons != len(value) != colons - _inner_keys(value)
                or line.count(b"[") > DEEPEST
            ):
                value = _checked_line(line, number, source)
        yield number, value


def _inner_keys(value: dict[str, Any]) -> int:
    """The number of keys in the objects right inside a layer's object."""
    return sum([len(inner) for inner in value.values() if type(inner) is dict])


def _checked_line(line: bytes, number: int, source: str) -> object:
    try:
        return _json(checked_text(line, source), source)
    except SpecError as error:
        moved = (msgspec.structs.replace(problem, line=number) for problem in error.problems)
        raise SpecError(problems=tuple(moved)) from None


def _json(text: str, source: str) -> object:
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise faults().too_deep(text, source, json=True) from None
    except msgspec.MsgspecError as error:
        raise faults().json_error(text, source, str(error)) from None
    found = levels(value)
    if len(found) > DEEPEST:
        raise faults().too_deep(text, source, json=True)
    keys = sum(map(len, dicts(found)))
    # as many colons as keys, or as many `":`: then no key stands twice; texts that hold colons need the closer look
    if text.count(":") != keys and sum(map(text.count, KEY_ENDS)) != keys and _json_keys(text) != keys:
        raise faults().repeated(text, source, json=True)
    return value


def _json_keys(text: str) -> int:
    """How many keys stand in a valid JSON text, repeated ones included."""
    import json

    sizes: list[int] = []
    json.loads(text, object_pairs_hook=lambda pairs: sizes.append(len(pairs)))
    return sum(sizes)


def _yaml(text: str, source: str) -> object:
    import yaml_rs

    limits = yaml_rs.AliasLimits(max_total_replayed_events=max(EXPANDED, len(text)))
    try:
        value = yaml_rs.loads(text, parse_datetime=False, alias_limits=limits)
        # several documents come as one list; with one more behind it, a single document makes a list of two
        marked = type(value) is list and ("---" in text or "..." in text) and DOCUMENT_MARK.search(text)
        several = marked and len(yaml_rs.loads(f"{text}\n--- 0\n", parse_datetime=False, alias_limits=limits)) > 2
    except TypeError:  # a mapping as a key, or in a set
        raise faults().strange_key(text, source, {()}) from None
    except yaml_rs.YAMLDecodeError as error:
        raise faults().yaml_error(text, source, str(error)) from None
    if several:
        raise faults().second_document(text, source)
    if value is None:
        raise faults().empty(source)
    return _plain(value, text, source)


def _plain(value: object, text: str, source: str) -> object:
    """The value, its merge keys merged, once it is known to be plain data."""
    found = levels(value)
    if len(found) > DEEPEST:
        raise faults().too_deep(text, source, json=False)
    mappings = dicts(found)
    keys: set[object] = set().union(*mappings)
    if strange := {key for key in keys if type(key) is not str}:
        raise faults().strange_key(text, source, strange)
    if "!" in text and TAG.search(text):
        tagged = faults().first(text, lambda node: faults().foreign_tag(node) != "")
        if tagged or not {type(x) for box in ([value], *chain.from_iterable(found)) for x in _values(box)} <= PLAIN:
            raise faults().tagged(text, source, tagged)
    if "&" in text and "*" in text and (cycle := faults().cycle_of(text)):  # yaml-rs reads the inner alias as null
        raise faults().cyclic(text, source, cycle)
    if MERGE in keys:
        _merge(mappings, text, source)
    return value


def _values(box: Any) -> Iterable[object]:
    return box.values() if type(box) is dict else box


def _merge(mappings: list[dict[str, Any]], text: str, source: str) -> None:
    """YAML's `<<`: a mapping takes the keys it lacks from the mapping, or the first of several, that has them."""
    for mapping in reversed(mappings):  # the innermost first, so that what is merged is itself complete
        if MERGE in mapping:
            merged = mapping.pop(MERGE)
            for one in merged if type(merged) is list else [merged]:
                if type(one) is not dict:
                    raise faults().merge_error(text, source)
                for key, value in one.items():
                    mapping.setdefault(key, value)


def located(error: SpecError, data: bytes, source: str, form: str = "") -> SpecError:
    """The same problems with source, line, column and excerpt; the text is read once more for all of them."""
    from convcli.spec import places

    return places.located(error, data, source, form)


def place(data: bytes, path: Path, form: str = "", *, key: bool = False) -> tuple[int, int]:
    """(line, column), from 1, of the value (or the key) at `path`, or of what holds it; (0, 0) for neither."""
    from convcli.spec import places

    return places.place(data, path, form, key=key)


def faults() -> ModuleType:
    """The errors, loaded when there is one."""
    from convcli.spec import faults as module

    return module
