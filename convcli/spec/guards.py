"""What must hold of a text before a parser sees it, and of the data before anyone else does.

The YAML parser (yaml-rs) recurses without a limit through nested block collections, reads numbers of millions of digits
in quadratic time and stops at a NUL; each of these doors is closed here, at a small part of its time.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import msgspec

from convcli.errors import SpecError

DEEPEST = 64  # levels of nesting: a spec has five
MERGE = "<<"
DOCUMENT_MARK = re.compile(r"[\n\r](---|\.\.\.)(?=\s|$)")
BLANKS = 256  # columns of a line's indentation, dashes included: block collections cannot nest deeper than twice that
DIGITS = 2000  # Python itself refuses to print integers of more than 4300 digits
STEP = 100  # seven samples in a row, at 250, are digits or letters from a to f by chance in most big files
ORDINARY = bytes({*range(256)} - {*range(32)} | {*b"\t\n\r"})
INDENTED = re.compile(rb"\n[ \t?:-]{%d}" % BLANKS)
SAMPLED = re.compile(rb"[0-9A-Fa-f_]{%d}" % (DIGITS // STEP - 1))
NUMBER = re.compile(rb"(?<![0-9A-Fa-f_])[0-9A-Fa-f_]{%d,}" % DIGITS)
BOM = b"\xef\xbb\xbf"
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
BOXES = {dict, list}


def checked_text(data: bytes, source: str) -> str:
    """The text of the bytes, without a byte order mark. Raises SpecError for what is none or would hurt."""
    text = decoded(data, source)
    if control := data.translate(None, ORDINARY):
        index = text.index(chr(control[0]))
        message = f"a control character, {control[0]:#04x}: this is not a text file"
        raise _refused(text, source, index, message, repair="save it as UTF-8 text")
    lines = b"\n" + data.removeprefix(BOM)
    if b"\r" in lines:
        lines = lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if deep := INDENTED.search(lines):
        line = lines.count(b"\n", 0, deep.end())
        raise _refused(text, source, (line, BLANKS), f"nested or indented too deeply: {BLANKS} columns and more")
    if SAMPLED.search(data[::STEP]) and (number := NUMBER.search(data)):  # a run this long shows in every 100th byte
        index = len(readable(data[: number.start()]))
        raise _refused(text, source, index, f"a number of {len(number.group())} digits; allowed: {DIGITS - 1}")
    return text


def decoded(data: bytes, source: str) -> str:
    """UTF-8 bytes as text, without a byte order mark."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            raise _refused("", source, (1, 1), f"this file is {name}, not UTF-8", repair="save it as UTF-8")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        text = readable(data)
        index = len(readable(data[: error.start]))
        message = f"not UTF-8: byte {data[error.start]:#04x} at byte offset {error.start} is no character"
        raise _refused(text, source, index, message, repair="save it as UTF-8") from None


def _refused(text: str, source: str, where: int | tuple[int, int], message: str, *, repair: str = "") -> SpecError:
    """The error at an index of the text, or at a place."""
    from convcli.spec.places import error_at, place_at

    return error_at(text, source, place_at(text, where) if isinstance(where, int) else where, message, repair=repair)


def levels(value: object) -> list[list[Any]]:
    """The dicts and lists of a document, level by level from the outside; one level more than allowed at the most."""
    found: list[list[Any]] = []
    level: list[Any] = [value] if type(value) in BOXES else []
    while level and len(found) <= DEEPEST:
        found.append(level)
        level = [x for box in level for x in (box.values() if type(box) is dict else box) if type(x) in BOXES]
    return found


def dicts(found: list[list[Any]]) -> list[dict[Any, Any]]:
    """The dicts among all levels, the innermost last."""
    return [box for box in chain.from_iterable(found) if type(box) is dict]


def readable(data: bytes) -> str:
    """The text of any bytes, without the byte order mark: positions must not fail where decoding did."""
    return data.decode("utf-8-sig", errors="replace")


def is_json(data: bytes, form: str) -> bool:
    """Whether the document is to be read as JSON: it is called so, or it is not called YAML and is valid JSON."""
    if form or data.lstrip()[:1] not in {b"{", b"["}:
        return form == "json"
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def form_of(source: str) -> str:
    """The form that the ending of a file's name tells; "" when it tells none."""
    return "json" if source.lower().endswith(".json") else ""
