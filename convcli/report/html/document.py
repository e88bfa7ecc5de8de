"""The frame of every report: head with the policy, header, sections, foot."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from convcli.report.html.element import Markup, element, joined, lines

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FOLDS = 200  # layers of a page that have a fold of their own
MOST_LINKS = 40  # to sections: of a thousand networks nobody reads a list


class Section(msgspec.Struct, frozen=True):
    """A part of the page with a title of its own. key: its id."""

    key: str
    title: str
    inside: tuple[Markup, ...]


class Page(msgspec.Struct, frozen=True):
    """What a report says: title, command line, a sentence, the numbers that matter, sections, what is told at the foot.

    mark: passed, failed or incomplete, where that is part of it.
    """

    title: str
    command: str
    said: str
    sections: tuple[Section, ...]
    figures: Markup | None = None
    foot: tuple[str, ...] = ()
    mark: str = ""


def document(page: Page, version: str, style: str = "") -> str:
    """The page as a file. style: rules that it needs beside the usual ones."""
    style, script = asset("style.css") + _widths() + style, asset("script.js")
    head = lines(
        (
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="generator", content=f"convcli {version}".strip()),
            element("link", rel="icon", href="data:,"),  # or a server would be asked for one
            element("title", f"{': '.join(filter(None, [page.title, page.mark or page.command]))} - convcli"),
            element("style", Markup(style)),
        )
    )
    body = lines(
        (
            element("a", "Skip to the numbers", class_="skip", href="#main"),
            _header(page),
            element("main", lines(("", *map(section, page.sections), "")), id="main", tabindex="-1"),
            _footer(page, version),
            element("script", Markup(script)),
        )
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def section(part: Section) -> Markup:
    """A section that its title names."""
    title = element("h2", part.title, id=part.key)
    return element("section", lines((title, *part.inside)), aria_labelledby=part.key)


def figures(numbers: Iterable[tuple[str, str, str]]) -> Markup:
    """(what, the number, the number to its last digit): the numbers that matter, at the top."""
    cells = (
        element("div", element("dt", what), element("dd", number, element("small", exact) if exact else None))
        for what, number, exact in numbers
    )
    return element("dl", lines(("", *cells, "")), class_="figures")


def badge(status: str, kind: str) -> Markup:
    """A status in a frame, with a sign beside the word: colour is never all that tells it. kind: good, bad or idle."""
    return element("span", status, class_=f"badge {kind}")


@cache
def asset(name: str) -> str:
    """A file of this package."""
    return Path(__file__).with_name(name).read_text("utf-8")


def _header(page: Page) -> Markup:
    kinds = {"passed": "good", "failed": "bad"}
    mark = joined((" ", badge(page.mark, kinds.get(page.mark, "idle")))) if page.mark else None
    contents = [element("li", element("a", part.title, href=f"#{part.key}")) for part in page.sections[:MOST_LINKS]]
    left = len(page.sections) - len(contents)
    contents += [element("li", f"and {left:,} more")] if left else []
    return element(
        "header",
        lines(
            (
                element("p", f"convcli {page.command}".rstrip(), class_="command"),
                element("h1", page.title, mark),
                element("p", page.said, class_="said"),
                page.figures,
                element("nav", element("ul", *contents), aria_label="Sections") if len(contents) > 1 else None,
            )
        ),
    )


def _footer(page: Page, version: str) -> Markup:
    made = f"convcli {version}".strip()
    return element("footer", lines(element("p", line) for line in (*page.foot, made) if line))


@cache
def _widths() -> str:
    """Bars of 1 to 100 per cent, as classes: a style of each cell's own is what the policy forbids."""
    return "".join(f".b{share}{{--b:{share / 100:g}}}" for share in range(1, 101)) + "\n"


def _policy(style: str, script: str) -> str:
    hashes = (b64encode(sha256(source.encode()).digest()).decode() for source in (style, script))
    styles, scripts = (f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
