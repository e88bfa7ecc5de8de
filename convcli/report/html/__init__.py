"""One HTML file that needs no other: the same tables with bars, sorted by a click, what failed first.

Read on a phone, on paper, in the dark, by a screen reader and without JavaScript. Nothing is loaded from anywhere, and
the page's own Content-Security-Policy forbids it; the only style and the only script are those whose hashes it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.records import Report
from convcli.report.html import outcome, report, sheet
from convcli.report.html.album import Album, style
from convcli.report.html.document import document
from convcli.report.sheet import Sheet, drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.plan import Plan
    from convcli.report import Record


def render(record: Record, plans: Sequence[Plan] = ()) -> str:
    """The record as one HTML document. plans: of the record's networks, for the pictures of their layers."""
    drawing, album = drawn(record), Album(plans)
    if isinstance(drawing, Report):
        page = report.page(drawing, album)
    else:
        page = sheet.page(drawing, album) if isinstance(drawing, Sheet) else outcome.page(drawing, album)
    return document(page, version=getattr(record, "convcli", ""), style=style() if album.used else "")
