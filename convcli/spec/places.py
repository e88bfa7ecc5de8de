"""Where a value stands: path in a document -> (line, column), and the line of text an error shows.

Used when something is wrong (and for the line numbers of a JSON report), so it may read the text a second time. YAML's
positions are those of PyYAML's event stream, JSON's those of a small tokenizer; neither builds a value, follows an
alias or recurses, so no text can make them large or deep. Lines and columns begin at 1 and count characters, as an
editor does.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from convcli.errors import Path, Problem, SpecError
from convcli.spec.guards import DEEPEST, MERGE, form_of, is_json, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place = tuple[int, int]
NOWHERE: Place = (0, 0)
SHOWN = 120  # characters of a line that an error shows
ROUNDS = 16  # an alias sends the search to its anchor, which may lead to another alias: so many times
NO_TEXT = "?"  # stands for a key that is no scalar, as in {[1, 2]: 3}
LINE_END = re.compile(r"\r\n|\r|\n")
UNPRINTABLE = re.compile(r"[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
KINDS = {
    "MappingStartEvent": "{",
    "MappingEndEvent": "}",
    "SequenceStartEvent": "[",
    "SequenceEndEvent": "]",
    "ScalarEvent": "scalar",
    "AliasEvent": "alias",
    "DocumentStartEvent": "document",
}
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}:,]|[^\s\[\]{}:,"]+|"', re.DOTALL)


class Event(NamedTuple):
    """One step through a document: `kind` is one of { } [ ] scalar alias document; `value` a scalar's text."""

    kind: str
    line: int
    column: int
    value: str = ""
    anchor: str = ""
    tag: str = ""
    plain: bool = False


class Node(NamedTuple):
    """A value, or the start of a new document, with the place of its key (its own place when it has none)."""

    path: Path
    event: Event
    key: Event


def excerpt(text_line: str, column: int) -> tuple[str, int]:
    """The line as an error shows it (some 120 characters around the column) and the column in what is shown."""
    start = max(0, min(column - SHOWN // 2, len(text_line) - SHOWN)) if len(text_line) > SHOWN else 0
    shown = text_line[start : start + SHOWN]
    before, after = "…" if start else "", "…" if start + SHOWN < len(text_line) else ""
    shown = "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return f"{before}{shown}{after}".rstrip(), max(column - start + len(before), 0)


def index_of(text: str, place: Place) -> int:
    """Where in the text a place is; its length beyond the last line."""
    line, column = place
    start = 0
    for _ in range(line - 1):
        end = LINE_END.search(text, start)
        if end is None:
            return len(text)
        start = end.end()
    return min(start + max(column - 1, 0), len(text))


def line_of(text: str, line: int) -> str:
    """The text of a line, without its end; empty when there is no such line."""
    start = index_of(text, (line, 1))
    end = LINE_END.search(text, start)
    return text[start : end.start() if end else len(text)]


def place_at(text: str, index: int) -> Place:
    """The line and column of the character at `index`."""
    line, start = 1, 0
    for end in LINE_END.finditer(text, 0, index):
        line, start = line + 1, end.end()
    return line, index - start + 1


def error_at(text: str, source: str, place: Place, message: str, *, repair: str = "", path: Path = ()) -> SpecError:
    """The error with its place and the line it speaks of."""
    line, column = place
    shown, caret = excerpt(line_of(text, line), column) if line else ("", 0)
    problem = Problem(message, path, "", repair, source, line, column, shown, caret=caret)
    return SpecError(problems=(problem,))


def events(text: str, *, json: bool) -> Iterator[Event]:
    """The steps through a document, as far as it can be read."""
    return _json_events(text) if json else _yaml_events(text)


def _json_events(text: str) -> Iterator[Event]:
    line, start, done = 1, 0, 0
    for token in TOKEN.finditer(text):
        for end in LINE_END.finditer(text, done, token.start()):
            line, start = line + 1, end.end()
        done, word = token.start(), token.group()
        if word in "{}[]":
            yield Event(word, line, done - start + 1)
        elif word not in ":,":
            yield Event("scalar", line, done - start + 1, _unquoted(word))


def _unquoted(word: str) -> str:
    """The text a JSON token stands for; the token itself when it is broken."""
    if "\\" in word:
        try:
            return str(msgspec.json.decode(word))
        except (msgspec.MsgspecError, UnicodeError):
            return word
    return word.strip('"')


def _pyyaml_events(text: str) -> Iterator[Any]:
    import yaml

    # PyYAML refuses some characters and takes others for line ends; each is replaced by one that is neither
    tame = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return iter(yaml.parse(tame, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _unreadable() -> tuple[type[Exception], ...]:
    import yaml

    return yaml.YAMLError, RecursionError, ValueError


def _yaml_events(text: str) -> Iterator[Event]:
    try:
        yield from _pyyaml_steps(text)
    except _unreadable():
        return  # the caller keeps the places found before the text became unreadable


def _pyyaml_steps(text: str) -> Iterator[Event]:
    for event in _pyyaml_events(text):
        kind = KINDS.get(type(event).__name__)
        if kind:
            mark, value = event.start_mark, getattr(event, "value", "")
            anchor, tag = getattr(event, "anchor", None) or "", getattr(event, "tag", None) or ""
            plain = kind == "scalar" and not getattr(event, "style", None)
            yield Event(kind, mark.line + 1, mark.column + 1, value, anchor, tag, plain)


def opening(text: str) -> Place:
    """Where the bracket or quote stands that is open at the end of the text; (0, 0) when none is."""
    complaint = _complaint(text)
    inside = re.search("flow|quoted", getattr(complaint, "context", None) or "")
    return _marked(complaint, "context_mark") if inside else NOWHERE


def stopped(text: str) -> Place:
    """Where PyYAML, which knows less of YAML 1.2, can follow the text no further; its beginning if that is nowhere."""
    place_found = _marked(_complaint(text), "problem_mark")
    return place_found if place_found != NOWHERE else (1, 1)


def _complaint(text: str) -> Exception | None:
    try:
        deque(walk(_pyyaml_steps(text)), maxlen=0)
    except _unreadable() as error:
        return error
    return None


def _marked(complaint: Exception | None, name: str) -> Place:
    mark = getattr(complaint, name, None)
    return (mark.line + 1, mark.column + 1) if mark else NOWHERE


def walk(steps: Iterator[Event]) -> Iterator[Node]:
    """Every value with its path, in order, up to the first one too deep; a key that is no scalar is called "?"."""
    stack: list[tuple[Path, Event]] = []  # the path of each open container, and what opened it
    counts: list[int] = []  # how many values each of them has so far
    key: Event | None = None  # the key whose value comes next
    for event in steps:
        if event.kind in "}]":
            if stack:
                stack.pop()
                counts.pop()
        elif event.kind == "document":
            yield Node((), event, event)
        elif stack and stack[-1][1].kind == "{" and key is None:
            key = event if event.kind == "scalar" else event._replace(value=NO_TEXT)
            if event.kind in "{[" and not _closed(steps):
                return
        else:
            path: Path = (*stack[-1][0], key.value if key else counts[-1]) if stack else ()
            yield Node(path, event, key or event)
            if len(path) > DEEPEST:
                return
            if stack:
                counts[-1] += 1
            key = None
            if event.kind in "{[":
                stack.append((path, event))
                counts.append(0)


def _closed(steps: Iterator[Event]) -> bool:
    """Whether the container that has just begun ends; its events are used up."""
    level = 1
    for event in steps:
        level += (event.kind in "{[") - (event.kind in "}]")
        if level == 0 or level > DEEPEST:
            return level == 0
    return False


def first_document(text: str, *, json: bool) -> Iterator[Node]:
    """The nodes of the first document."""
    for number, node in enumerate(walk(events(text, json=json))):
        if node.event.kind != "document":
            yield node
        elif number:
            return


def found_places(text: str, paths: Iterable[Path], *, json: bool) -> dict[Path, Node]:
    """The node at each path, or at its nearest ancestor that stands in the text; an alias is followed to its anchor."""
    todo = {path: path for path in paths}  # what is asked -> where it is looked for
    found: dict[Path, Node] = {}
    for _ in range(ROUNDS):
        nodes, anchors = _nodes(text, set(todo.values()), json=json)
        again = {}
        for asked, path in todo.items():
            reached = next((path[:size] for size in range(len(path), -1, -1) if path[:size] in nodes), None)
            if reached is None:
                continue
            found[asked] = nodes[reached]
            further = _further(path, reached, nodes, anchors)
            if further:
                again[asked] = further
        if not again:
            break
        todo = again
    return found


def _further(path: Path, reached: Path, nodes: dict[Path, Node], anchors: dict[str, Path]) -> Path:
    """Where the rest of the path goes on when it was not reached: at an anchor, in a merged mapping; () if nowhere."""
    rest, event = path[len(reached) :], nodes[reached].event
    if not rest:
        return ()
    if event.kind == "alias":
        return (*anchors[event.anchor], *rest) if event.anchor in anchors else ()
    if (*reached, MERGE) in nodes and rest[0] != MERGE:
        return (*reached, MERGE, *rest)
    if event.kind == "[" and not reached and rest[0] == "layers":
        return rest[1:]  # the document is the list of layers itself
    return ()


def _nodes(text: str, paths: set[Path], *, json: bool) -> tuple[dict[Path, Node], dict[str, Path]]:
    """The nodes that stand at the paths, on the way to them or are merged there, and the path of each anchor so far."""
    wanted = {part for path in paths for size in range(len(path) + 1) for part in (path[:size], (*path[:size], MERGE))}
    nodes: dict[Path, Node] = {}
    anchors: dict[str, Path] = {}
    missing = set(paths)
    for node in first_document(text, json=json):
        if node.event.anchor and node.event.kind != "alias":
            anchors[node.event.anchor] = node.path
        if node.path in wanted:
            nodes.setdefault(node.path, node)
            missing.discard(node.path)
            if not missing:
                break
    return nodes, anchors


def place(data: bytes, path: Path, form: str = "", *, key: bool = False) -> Place:
    """(line, column) of the value at `path`, or of its key; else of its nearest ancestor, else (0, 0)."""
    node = found_places(readable(data), [path], json=is_json(data, form)).get(path)
    if node is None:
        return NOWHERE
    event = node.key if key else node.event
    return event.line, event.column


def located(error: SpecError, data: bytes, source: str, form: str = "") -> SpecError:
    """The same problems with source, line, column and excerpt; the text is read once for all of them."""
    text = readable(data)
    unplaced = [problem.path for problem in error.problems if not problem.line]
    nodes = found_places(text, unplaced, json=is_json(data, form or form_of(source))) if unplaced else {}
    lines = LINE_END.split(text)
    return SpecError(problems=tuple(_placed(p, nodes.get(p.path), lines, source) for p in error.problems))


def _placed(problem: Problem, node: Node | None, lines: list[str], source: str) -> Problem:
    if problem.line or node is None:
        return msgspec.structs.replace(problem, source=problem.source or source)
    event = node.key if problem.at_key else node.event
    line, column = event.line, event.column
    shown, caret = excerpt(lines[line - 1] if line <= len(lines) else "", column)
    return msgspec.structs.replace(problem, source=source, line=line, column=column, excerpt=shown, caret=caret)
