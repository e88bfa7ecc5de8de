"""A file written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from convcli.errors import SpecError


def write(path: str | Path, content: str | bytes) -> None:
    """Make `content` that of the file `path`, in one step; a link's target is written, a pipe or device in place.

    Nothing is left behind on failure. Raises SpecError with the reason.
    """
    data = (
        content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    )  # a file name that is not UTF-8 may stand in a report
    try:
        _write(Path(path), data)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"cannot write {path}: {reason}", field="--output") from error


def _write(path: Path, data: bytes) -> None:
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        path.write_bytes(data)  # /dev/stdout, a pipe: not ours to replace; a directory refuses
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".convcli-{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))  # as overwriting would have left it
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int | None:
    """The type and permissions of what is there already, None when nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
