"""HTML elements from text that means itself: whatever is not Markup already is escaped, so no name is ever a tag."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from convcli.units import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

VOID = frozenset({"meta", "link", "img", "br"})


class Markup(str):
    """HTML, as opposed to text."""

    __slots__ = ()


Inside = str | None  # text, Markup, or nothing


def element(name: str, /, *inside: Inside, **attributes: str | int | None) -> Markup:
    """<name attribute="value">inside</name>; class_ is class, aria_label is aria-label; None and "" are left out."""
    said = "".join([_attribute(key, value) for key, value in attributes.items() if value is not None and value != ""])
    if name in VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(inside)}</{name}>")


def joined(parts: Iterable[Inside], separator: str = "") -> Markup:
    """The parts one after the other, each text escaped."""
    return Markup(separator.join([text(part) for part in parts if part is not None]))


def lines(parts: Iterable[Inside]) -> Markup:
    """The parts, a line of the file each: differences between two reports stay readable."""
    return joined(parts, "\n")


def text(part: str) -> Markup:
    """Text as HTML that shows it, control characters spelt out; Markup as it is."""
    return part if isinstance(part, Markup) else Markup(escape(printable(part)))


def _attribute(key: str, value: str | int) -> str:
    return f' {key.rstrip("_").replace("_", "-")}="{escape(printable(str(value)))}"'
