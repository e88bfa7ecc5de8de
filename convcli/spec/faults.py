"""What is wrong with a text, and where: the errors of `spec/text.py`, apart because a good text needs none of this."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.errors import Path, SpecError
from convcli.spec.guards import DEEPEST, DOCUMENT_MARK, MERGE
from convcli.spec.places import (
    NO_TEXT,
    NOWHERE,
    Node,
    Place,
    error_at,
    events,
    first_document,
    index_of,
    opening,
    place_at,
    stopped,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = "layers: [{type: Conv2d, out_channels: 64, kernel_size: 3}]"
WHERE = re.compile(r"line (\d+), column (\d+)")
BYTE = re.compile(r" \(byte (\d+)\)$")
MULTILINE = re.compile(r"quoted|illegal placement|expected ',' or")  # an open quote or bracket ends up as these
CORE_TAGS = {"", "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
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


def json_error(text: str, source: str, said: str) -> SpecError:
    """The JSON parser's complaint, at its place."""
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


def yaml_error(text: str, source: str, said: str) -> SpecError:
    """The parser's complaint with what it means; three kinds come without a place, which is then looked up."""
    if "duplicate mapping key" in said:
        return repeated(text, source, json=False)
    if "alias" in said:
        index = text.find("*")
        message = f"the aliases stand for too much ({said})"
        return error_at(text, source, place_at(text, index), message, repair="fewer aliases of aliases")
    if "tag" in said and not WHERE.search(said):
        return tagged(text, source, first(text, lambda node: foreign_tag(node) != ""))
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


def foreign_tag(node: Node) -> str:
    """The tag of a value or of its key that is none of YAML's core schema; "" for none."""
    tags = (node.event.tag, node.key.tag)
    return next((tag for tag in tags if tag not in CORE_TAGS), "")


def first(text: str, matches: Callable[[Node], bool], *, json: bool = False) -> Node | None:
    """The first node of the first document that matches."""
    return next(filter(matches, first_document(text, json=json)), None)


def at(text: str, source: str, node: Node | None, message: str, *, repair: str = "", key: bool = False) -> SpecError:
    """The error at a node, or where PyYAML loses its way to it."""
    if node is None:
        return error_at(text, source, stopped(text), message, repair=repair)
    event = node.key if key else node.event
    return error_at(text, source, (event.line, event.column), message, repair=repair, path=node.path)


def empty(source: str) -> SpecError:
    """Nothing, or null."""
    return error_at("", source, (1, 1), "the file is empty", repair=EXAMPLE)


def too_deep(text: str, source: str, *, json: bool) -> SpecError:
    """More levels than a spec can need."""
    node = first(text, lambda node: len(node.path) == DEEPEST, json=json)
    return at(text, source, node and node._replace(path=()), f"nested too deeply; allowed: {DEEPEST} levels")


def repeated(text: str, source: str, *, json: bool) -> SpecError:
    """The first key that stands twice in one mapping."""
    seen: dict[int, tuple[Path, dict[Path, Place]]] = {}  # by level: the mapping being read, and its keys

    def repeats(node: Node) -> bool:
        parent, keys = seen.get(len(node.path), ((), {}))
        if not keys or parent != node.path[:-1]:
            seen[len(node.path)] = (node.path[:-1], {node.path: (node.key.line, node.key.column)})
            return False
        return keys.setdefault(node.path, (node.key.line, node.key.column)) != (node.key.line, node.key.column)

    node = first(text, repeats, json=json)
    if node is None:
        return at(text, source, node, "a key stands twice in one mapping")
    line, column = seen[len(node.path)][1][node.path]
    message = f"the key {node.path[-1]!r} stands twice in one mapping, first at {line}:{column}"
    return at(text, source, node, message, repair="one of the two", key=True)


def strange_key(text: str, source: str, strange: set[object]) -> SpecError:
    """A key that is no text."""
    import yaml_rs

    def is_strange(node: Node) -> bool:
        key = node.key
        if key is node.event or (key.kind == "scalar" and not key.plain):
            return False
        return key.value == NO_TEXT or yaml_rs.loads(key.value, parse_datetime=False) in strange

    node = first(text, is_strange)
    word = node.key.value if node and node.key.kind == "scalar" else ""
    repair = f'"{word}" in quotes, if it is a name' if word else ""
    return at(text, source, node, f"a key must be a text, this one is {_kind(strange)}", repair=repair, key=True)


def _kind(strange: set[object]) -> str:
    names = {int: "a number", float: "a number", bool: "true or false", type(None): "empty"}
    return names.get(type(next(iter(strange))), "a list or a mapping")


def tagged(text: str, source: str, node: Node | None) -> SpecError:
    """A tag that would make something of a value."""
    tag = foreign_tag(node).replace("tag:yaml.org,2002:", "!!") if node else "here"
    message = f"the tag {tag} means nothing to a spec: it is plain data and can make nothing run"
    return at(text, source, node, message, repair="the value without the tag")


def cycle_of(text: str) -> Node | None:
    """The first alias that stands inside its own anchor's node."""
    anchors: dict[str, Path] = {}

    def returns(node: Node) -> bool:
        name = node.event.anchor
        if node.event.kind != "alias":
            anchors[name] = node.path
            return False
        return name in anchors and node.path[: len(anchors[name])] == anchors[name]

    return first(text, returns)


def second_document(text: str, source: str) -> SpecError:
    """More than one document."""
    message, repair = "a second document begins here; a file holds one", "a file of its own"
    starts = [node for node in walk(events(text, json=False)) if node.event.kind == "document"]
    if len(starts) > 1:
        return at(text, source, starts[1], message, repair=repair)
    mark = DOCUMENT_MARK.search(text)  # PyYAML refuses a document without `---` after `...`
    return error_at(text, source, place_at(text, mark.start(1)) if mark else NOWHERE, message, repair=repair)


def merge_error(text: str, source: str) -> SpecError:
    """A `<<` with something that cannot be merged."""
    node = first(text, lambda node: MERGE in node.path and node.event.kind == "scalar")
    return at(text, source, node, "`<<` merges a mapping, or a list of mappings, and nothing else")


def cyclic(text: str, source: str, cycle: Node) -> SpecError:
    """An alias inside its own anchor, which the parser reads as null."""
    return at(text, source, cycle, f"the alias *{cycle.event.anchor} stands inside what it is an alias of")
