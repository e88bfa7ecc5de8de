"""The line each layer of a document begins at, for reports: without a second reading where that is possible."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convcli.spec.guards import is_json, readable

if TYPE_CHECKING:
    from convcli.errors import Path

SLOW_BYTES = 2_000_000  # beyond this a report does without line numbers rather than take a second for them
SKIPPED = rb"(?:[ \t]*(?:#[^\n]*)?\n)*"  # blank lines and comments
YAML_HEAD = re.compile(rb"^layers:[ \t]*(?:#[^\n]*)?\r?\n" + SKIPPED, re.MULTILINE)
BARE_HEAD = re.compile(rb"(?:\xef\xbb\xbf)?" + SKIPPED + rb"(?:---[ \t]*\r?\n" + SKIPPED + rb")?(?=-[ \r\n])")
JSON_HEAD = re.compile(rb'(?:^[ \t]*"layers"[ \t]*:|\A)[ \t]*\[[ \t]*\r?\n', re.MULTILINE)
BLANK = re.compile(rb"[ \t]*")


def layer_lines(data: bytes, count: int, form: str = "") -> list[int]:
    """The line each of the `count` layers begins at, zeros where that would take long to find out.

    The layers are the list under the key `layers`, or the whole document when that is a list.
    """
    if b"\n" not in data.strip() and b"\r" not in data.strip():
        return [1] * count
    lines = _json_lines(data) if data.lstrip()[:1] in {b"{", b"["} else _yaml_lines(data)
    if len(lines) == count:
        return lines
    if len(data) > SLOW_BYTES:
        return [0] * count
    lines = _exact_lines(readable(data), json=is_json(data, form))
    return lines if len(lines) == count else [0] * count


def lines_of(data: bytes, paths: set[Path], form: str = "") -> dict[Path, int]:
    """The line of each of some values, wherever they stand; those that cannot be found are left out."""
    from convcli.spec.places import found_places

    nodes = found_places(readable(data), paths, json=is_json(data, form))
    return {path: node.event.line for path, node in nodes.items() if node.path[-1:] == path[-1:]}


def _yaml_lines(data: bytes) -> list[int]:
    head = BARE_HEAD.match(data) or YAML_HEAD.search(data)
    return _item_lines(data, head.end(), rb"-[ \r\n]", rb"[^\s#-]") if head else []


def _json_lines(data: bytes) -> list[int]:
    head = JSON_HEAD.search(data)
    return (
        _item_lines(data, head.end(), rb'[{"]', rb"[ \t]{0,%d}\]" % max(_indent(data, head.end()) - 1, 0))
        if head
        else []
    )


def _indent(data: bytes, start: int) -> int:
    blank = BLANK.match(data, start)
    return len(blank.group()) if blank else 0


def _item_lines(data: bytes, start: int, item: bytes, end: bytes) -> list[int]:
    """The lines from `start` on with the first line's indent and an item after it, up to the one that ends the list.

    What is inside an item stands further right, so nothing else begins this way; the caller compares the number.
    """
    stop = re.compile(rb"\n" + end).search(data, start)
    items = re.compile(rb"\n" + data[start : start + _indent(data, start)] + item)
    lines, line, counted = [], 1, 0
    for match in items.finditer(data, start - 1 if start else 0, stop.start() if stop else len(data)):
        line += data.count(b"\n", counted, match.start() + 1)
        counted = match.start() + 1
        lines.append(line)
    return lines


def _exact_lines(text: str, *, json: bool) -> list[int]:
    """The lines of the nodes layers[0], layers[1], ..., an aliased list being the one at its anchor."""
    begins: dict[Path, list[int]] = {}  # the lines of each list's items
    anchors: dict[str, Path] = {}
    layers: Path = ("layers",)
    from convcli.spec.places import first_document

    for node in first_document(text, json=json):
        if node.path == layers and node.event.kind == "alias":
            layers = anchors.get(node.event.anchor, layers)
        elif node.event.anchor and node.event.kind == "[":
            anchors[node.event.anchor] = node.path
        if node.path and isinstance(node.path[-1], int):
            begins.setdefault(node.path[:-1], []).append(node.event.line)
    return begins.get(layers) or begins.get((), [])
