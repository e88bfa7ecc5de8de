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
from convcli.spec.guards import BOXES, checked_text, dicts, levels
from convcli.spec.layer_lines import layer_lines
from convcli.spec.places import (
    DEEPEST,
    MERGE,
    NO_TEXT,
    NOWHERE,
    Node,
    Place,
    error_at,
    events,
    excerpt,
    first_document,
    form_of,
    index_of,
    is_json,
    located,
    opening,
    place,
    place_at,
    stopped,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["decode", "decode_lines", "excerpt", "layer_lines", "located", "place"]

EXAMPLE = "layers: [{type: Conv2d, out_channels: 64, kernel_size: 3}]"
EXPANDED = 1_000_000  # nodes that aliases may stand for, or as many as the file has characters
KEY_ENDS = ('":', " :", "\t:", "\n:", "\r:")  # every key of a JSON text ends in one of these
DOCUMENT_MARK = re.compile(r"[\n\r](---|\.\.\.)(?=\s|$)")
WHERE = re.compile(r"line (\d+), column (\d+)")
BYTE = re.compile(r" \(byte (\d+)\)$")
MULTILINE = re.compile(r"quoted|illegal placement|expected ',' or")  # an open quote or bracket ends up as these
PLAIN = {*BOXES, str, int, float, bool, type(None)}
CORE_TAGS = {"", "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
TAG = re.compile(r"(?:^|[\s\[{,])![^\s,\[\]{}\"']*", re.MULTILINE)
QUOTE_IT = "quotes around a text that holds ': ', ' #' or begins with one of @ ` % & * ! | > [ ] { } ,"

# what the YAML parser says (a part of it), what it means, what to try
MEANINGS = (
    ("tabs disallowed", "a tab cannot indent in YAML", "spaces instead of the tab"),
    ("found a tab", "a tab cannot indent in YAML", "spaces instead of the tab"),
    ("valid YAML whitespace", "a tab or nothing where YAML wants a space", "a space"),
    ("unclosed bracket", "the bracket opened here is never closed", ""),
    ("unclosed quote", "the quote opened here is never closed", ""),
    ("misplaced bracket", "nothing opened the bracket that closes here", ""),
    (
        "mapping values are not allowed",
        "a key cannot stand here: it is indented differently, or a second one on a line",
        QUOTE_IT,
    ),
    ("block sequence entries are not allowed", "a list item cannot begin here", "the item on a line of its own"),
    (
        "<document start>",
        "this line is neither part of what stands above it nor in line with it",
        "the indentation of the lines above",
    ),
    (
        "did not find expected key",
        "a key is missing here, or stands in the wrong column",
        "the indentation of the keys above",
    ),
    ("simple key expect", "a line that is no `key: value`", "`key: value`, or `- ` before an item of a list"),
    ("unknown anchor", "no anchor of this name stands above", ""),
    ("multiline quoted", "the quoted text above is still open here", "a closing quote above"),
    ("recursion limit", "nested too deeply", f"at most {DEEPEST} levels"),
    ("unexpected character", "a value cannot begin with this character", QUOTE_IT),
    ("parsing a flow", "a comma or a closing bracket is missing or one too many", ""),
    ("found invalid", "an escape that YAML does not know", "single quotes, which know no escapes"),
)


def decode(data: bytes, source: str, form: str = "") -> object:
    """The document as dict (with str keys), list, str, int, float, bool and None.

    `form` is "yaml", "json" or "" (by the ending of `source`; YAML, which includes JSON, when that says nothing).
    Raises SpecError with line, column and excerpt for whatever is wrong with the bytes.
    """
    text = checked_text(data, source)
    if not text.strip():
        raise _empty(source)
    return _json(text, source) if is_json(data, form or form_of(source)) else _yaml(text, source)


def decode_lines(stream: Iterable[bytes], source: str) -> Iterator[tuple[int, object]]:
    """(line number, document) for each line of JSON lines, one at a time; blank lines are skipped."""
    document = msgspec.json.Decoder().decode
    for number, line in enumerate(stream, 1):
        if not line or line.isspace():
            continue
        try:
            value = document(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = _checked_line(line, number, source)
        else:
            # as many colons as keys: none stands twice; what is deeper or holds more colons needs the closer look
            if line.count(b":") != _shallow_keys(value) or line.count(b"[") > DEEPEST:
                value = _checked_line(line, number, source)
        yield number, value


def _shallow_keys(value: object) -> int:
    """The number of keys in a layer's object and in the objects right inside it."""
    if type(value) is not dict:
        return -1
    return len(value) + sum([len(inner) for inner in value.values() if type(inner) is dict])


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
        raise _too_deep(text, source, json=True) from None
    except msgspec.MsgspecError as error:
        raise _json_error(text, source, str(error)) from None
    found = levels(value)
    if len(found) > DEEPEST:
        raise _too_deep(text, source, json=True)
    keys = sum(map(len, dicts(found)))
    # as many colons as keys, or as many `":`: then no key stands twice; texts that hold colons need the closer look
    if text.count(":") != keys and sum(map(text.count, KEY_ENDS)) != keys and _json_keys(text) != keys:
        raise _repeated(text, source, json=True)
    return value


def _json_keys(text: str) -> int:
    """How many keys stand in a valid JSON text, repeated ones included."""
    import json

    sizes: list[int] = []
    json.loads(text, object_pairs_hook=lambda pairs: sizes.append(len(pairs)))
    return sum(sizes)


def _json_error(text: str, source: str, said: str) -> SpecError:
    byte = BYTE.search(said)
    if byte:
        index = len(text.encode()[: int(byte.group(1))].decode(errors="ignore")) - ("trailing characters" in said)
        return error_at(text, source, place_at(text, min(index, len(text))), f"not JSON: {BYTE.sub('', said)}")
    if "truncated" in said:
        return error_at(text, source, _last_open(text), f"not JSON: what begins here never ends ({said})")
    return error_at(text, source, (1, 1), f"not JSON: {said}")


def _last_open(text: str) -> Place:
    """The innermost bracket that is still open where the text ends; the end itself when none is."""
    found = [(1, 1)]
    for event in events(text, json=True):
        if event.kind in "{[":
            found.append((event.line, event.column))
        elif event.kind in "}]" and len(found) > 1:
            found.pop()
    return found[-1]


def _yaml(text: str, source: str) -> object:
    import yaml_rs

    limits = yaml_rs.AliasLimits(max_total_replayed_events=max(EXPANDED, len(text)))
    try:
        value = yaml_rs.loads(text, parse_datetime=False, alias_limits=limits)
        # several documents come as one list; with one more behind it, a single document makes a list of two
        marked = type(value) is list and ("---" in text or "..." in text) and DOCUMENT_MARK.search(text)
        several = marked and len(yaml_rs.loads(f"{text}\n--- 0\n", parse_datetime=False, alias_limits=limits)) > 2
    except TypeError:  # a mapping as a key, or in a set
        raise _strange_key(text, source, {()}) from None
    except yaml_rs.YAMLDecodeError as error:
        raise _yaml_error(text, source, str(error)) from None
    if several:
        raise _second_document(text, source)
    if value is None:
        raise _empty(source)
    return _plain(value, text, source)


def _plain(value: object, text: str, source: str) -> object:
    """The value, its merge keys merged, once it is known to be plain data."""
    found = levels(value)
    if len(found) > DEEPEST:
        raise _too_deep(text, source, json=False)
    mappings = dicts(found)
    keys: set[object] = set().union(*mappings)
    if strange := {key for key in keys if type(key) is not str}:
        raise _strange_key(text, source, strange)
    if "!" in text and TAG.search(text):
        tagged = _first(text, lambda node: _foreign_tag(node) != "")
        if tagged or not {type(x) for box in ([value], *chain.from_iterable(found)) for x in _values(box)} <= PLAIN:
            raise _tagged(text, source, tagged)
    if "&" in text and "*" in text and (cycle := _cycle(text)):  # yaml-rs reads the inner alias as null
        raise _at(text, source, cycle, f"the alias *{cycle.event.anchor} stands inside what it is an alias of")
    if MERGE in keys:
        _merge(mappings, text, source)
    return value


def _values(box: Any) -> Iterable[object]:
    return box.values() if type(box) is dict else box


def _foreign_tag(node: Node) -> str:
    tags = (node.event.tag, node.key.tag)
    return next((tag for tag in tags if tag not in CORE_TAGS), "")


def _merge(mappings: list[dict[str, Any]], text: str, source: str) -> None:
    """YAML's `<<`: a mapping takes the keys it lacks from the mapping, or the first of several, that has them."""
    for mapping in reversed(mappings):  # the innermost first, so that what is merged is itself complete
        if MERGE in mapping:
            merged = mapping.pop(MERGE)
            for one in merged if type(merged) is list else [merged]:
                if type(one) is not dict:
                    node = _first(text, lambda node: MERGE in node.path and node.event.kind == "scalar")
                    raise _at(text, source, node, "`<<` merges a mapping, or a list of mappings, and nothing else")
                for key, value in one.items():
                    mapping.setdefault(key, value)


def _yaml_error(text: str, source: str, said: str) -> SpecError:
    """The parser's complaint with what it means; three kinds come without a place, which is then looked up."""
    if "duplicate mapping key" in said:
        return _repeated(text, source, json=False)
    if "alias" in said:
        index = text.find("*")
        message = f"the aliases stand for too much ({said})"
        return error_at(text, source, place_at(text, index), message, repair="fewer aliases of aliases")
    if "tag" in said and not WHERE.search(said):
        return _tagged(text, source, _first(text, lambda node: _foreign_tag(node) != ""))
    where = WHERE.search(said)
    place_said = (int(where.group(1)), int(where.group(2))) if where else NOWHERE
    last = said.splitlines()[-1]
    start = index_of(text, (place_said[0], 1))  # of the line complained about
    if MULTILINE.search(last) and (opened := opening(text[:start])) != NOWHERE:
        what = "quote" if "quoted" in last else "bracket"
        message = f"the {what} opened here is not closed where line {place_said[0]} begins ({last})"
        return error_at(text, source, opened, message)
    if "simple key expect" in last:  # said at the line after
        place_said = place_at(text, len(text[:start].rstrip()) - 1)
    if "found a tab" in last:  # said of the text that the tab comes after
        place_said = place_at(text, text.find("\t", index_of(text, place_said)))
    for part, meaning, repair in MEANINGS:
        if part in last:
            return error_at(text, source, place_said, f"{meaning} ({last})", repair=repair)
    return error_at(text, source, place_said, f"not YAML: {last}")


def _first(text: str, matches: Callable[[Node], bool], *, json: bool = False) -> Node | None:
    return next(filter(matches, first_document(text, json=json)), None)


def _at(text: str, source: str, node: Node | None, message: str, *, repair: str = "", key: bool = False) -> SpecError:
    """The error at a node, or where PyYAML loses its way to it."""
    if node is None:
        return error_at(text, source, stopped(text), message, repair=repair)
    event = node.key if key else node.event
    return error_at(text, source, (event.line, event.column), message, repair=repair, path=node.path)


def _empty(source: str) -> SpecError:
    return error_at("", source, (1, 1), "the file is empty", repair=EXAMPLE)


def _too_deep(text: str, source: str, *, json: bool) -> SpecError:
    node = _first(text, lambda node: len(node.path) == DEEPEST, json=json)
    return _at(text, source, node and node._replace(path=()), f"nested too deeply; allowed: {DEEPEST} levels")


def _repeated(text: str, source: str, *, json: bool) -> SpecError:
    """The first key that stands twice in one mapping."""
    seen: dict[int, tuple[Path, dict[Path, Place]]] = {}  # by level: the mapping being read, and its keys

    def repeats(node: Node) -> bool:
        parent, keys = seen.get(len(node.path), ((), {}))
        if not keys or parent != node.path[:-1]:
            seen[len(node.path)] = (node.path[:-1], {node.path: (node.key.line, node.key.column)})
            return False
        return keys.setdefault(node.path, (node.key.line, node.key.column)) != (node.key.line, node.key.column)

    node = _first(text, repeats, json=json)
    if node is None:
        return _at(text, source, node, "a key stands twice in one mapping")
    line, column = seen[len(node.path)][1][node.path]
    message = f"the key {node.path[-1]!r} stands twice in one mapping, first at {line}:{column}"
    return _at(text, source, node, message, repair="one of the two", key=True)


def _strange_key(text: str, source: str, strange: set[object]) -> SpecError:
    import yaml_rs

    def is_strange(node: Node) -> bool:
        key = node.key
        if key is node.event or (key.kind == "scalar" and not key.plain):
            return False
        return key.value == NO_TEXT or yaml_rs.loads(key.value, parse_datetime=False) in strange

    node = _first(text, is_strange)
    word = node.key.value if node and node.key.kind == "scalar" else ""
    repair = f'"{word}" in quotes, if it is a name' if word else ""
    return _at(text, source, node, f"a key must be a text, this one is {_kind(strange)}", repair=repair, key=True)


def _kind(strange: set[object]) -> str:
    names = {int: "a number", float: "a number", bool: "true or false", type(None): "empty"}
    return names.get(type(next(iter(strange))), "a list or a mapping")


def _tagged(text: str, source: str, node: Node | None) -> SpecError:
    tag = _foreign_tag(node).replace("tag:yaml.org,2002:", "!!") if node else "here"
    message = f"the tag {tag} means nothing to a spec: it is plain data and can make nothing run"
    return _at(text, source, node, message, repair="the value without the tag")


def _cycle(text: str) -> Node | None:
    """The first alias that stands inside its own anchor's node."""
    anchors: dict[str, Path] = {}

    def returns(node: Node) -> bool:
        name = node.event.anchor
        if node.event.kind != "alias":
            anchors[name] = node.path
            return False
        return name in anchors and node.path[: len(anchors[name])] == anchors[name]

    return _first(text, returns)


def _second_document(text: str, source: str) -> SpecError:
    message, repair = "a second document begins here; a file holds one", "a file of its own"
    starts = [node for node in walk(events(text, json=False)) if node.event.kind == "document"]
    if len(starts) > 1:
        return _at(text, source, starts[1], message, repair=repair)
    mark = DOCUMENT_MARK.search(text)  # PyYAML refuses a document without `---` after `...`
    return error_at(text, source, place_at(text, mark.start(1)) if mark else NOWHERE, message, repair=repair)
