"""What became of each case, the bad ones first, then the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.report.html.document import Page, Section, badge, figures
from convcli.report.html.element import Markup, element, lines
from convcli.report.html.tables import kind_of, whole
from convcli.report.table import Signed
from convcli.report.text import cell_text
from convcli.report.verdicts import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.report.html.album import Album
    from convcli.report.sheet import Case, Sheet
    from convcli.report.table import Table

MOST_CASES = 500
SECTION = 3  # the lowest level of a heading that a section of the page begins with


def page(sheet: Sheet, album: Album) -> Page:
    """Sections: what failed, what was not checked, the tables, the pictures of the layers that were its cases."""
    return Page(
        title=sheet.title,
        command="",
        said=sheet.last_line,
        figures=_figures(sheet),
        sections=tuple(_sections(sheet, album)),
        foot=(sheet.about,),
        mark=sheet.mark if sheet.verdict else "",
    )


def _figures(sheet: Sheet) -> Markup | None:
    """The last row of the only table, where that is its total: what the columns come to."""
    if len(sheet.tables) != 1 or not sheet.tables[0].rows or sheet.tables[0].rows[-1].kind != "total":
        return None
    (drawn,) = sheet.tables
    cells = zip(drawn.columns[1:], drawn.rows[-1].cells[1:], strict=True)
    told = [(column.title, cell) for column, cell in cells if cell is not None and not isinstance(cell, Signed)]
    return figures((title, cell_text(cell, separators=True), "") for title, cell in told) if told else None


def _sections(sheet: Sheet, album: Album) -> Iterator[Section]:
    bad = [case for case in sheet.told if case.status.bad]
    idle = [case for case in sheet.told if case.status.idle]
    if bad:
        yield Section("failed", f"Failed: {len(bad):,}", tuple(_cases(bad)))
    if idle:
        yield Section("idle", f"Not checked: {len(idle):,}", tuple(_cases(idle)))
    for place, (first, *others) in enumerate(_together(sheet.tables), 1):
        grids = [*whole(first, sheet.title)]
        for drawn in others:
            grids += [element("h4" if drawn.level > SECTION + 1 else "h3", drawn.heading)] if drawn.heading else []
            grids += whole(drawn, sheet.title)
        yield Section(f"t{place}", first.heading or "Results", tuple(grids))
    folds = tuple(_pictures(sheet, album))
    if folds:
        yield Section("pictures", "Pictures", folds)


def _pictures(sheet: Sheet, album: Album) -> Iterator[Markup]:
    for number, case in enumerate(sheet.cases[:MOST_CASES], 1):
        picture = album.picture(case.group, case.name, f"p{number}")
        if picture:
            title = element("summary", element("b", case.name))
            yield element("details", lines((title, element("div", picture, id=f"p{number}"))))


def _together(tables: tuple[Table, ...]) -> list[list[Table]]:
    """A table without a heading, or with one of a lower level, belongs to the one before it."""
    found: list[list[Table]] = []
    for drawn in tables:
        if (drawn.heading and drawn.level <= SECTION) or not found:
            found.append([])
        found[-1].append(drawn)
    return found


def _cases(cases: list[Case]) -> Iterator[Markup]:
    for case in cases[:MOST_CASES]:
        yield finding(words(case.status), kind_of(case.status), case.name, case.place or case.group, case.detail)
    if len(cases) > MOST_CASES:
        yield element("p", f"and {len(cases) - MOST_CASES:,} more", class_="note")


def finding(status: str, kind: str, name: str, place: str, detail: tuple[str, ...], repro: str = "") -> Markup:
    """What is to be said of one case: status, name, where it stands, the lines, what repeats it."""
    told = lines(line.rstrip() for line in detail)
    return element(
        "article",
        lines(
            (
                element("h3", badge(status, kind), " ", name, element("small", place) if place else None),
                element("pre", told) if told else None,
                element("pre", element("code", repro), class_="repro") if repro else None,
            )
        ),
        class_=kind,
    )
