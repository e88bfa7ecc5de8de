"""A report as a file: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from convcli.files import replaced


def write(path: str | Path, content: str | bytes) -> None:
    """Make `content` that of the file `path`, in one step; a link's target is written, a pipe or device in place.

    Nothing is left behind on failure. Raises SpecError with the reason.
    """
    with replaced(path) as file:
        # a file name that is not UTF-8 may stand in a report
        file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
