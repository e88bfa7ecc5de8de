"""Files as they were: `net.yaml@HEAD~1` is the file net.yaml of that git revision. git is called as a program."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from convcli.errors import RevisionMissing

SPEC = re.compile(r"(.+?\.(?:ya?ml|jsonl?|txt|onnx))@(.+)", re.IGNORECASE | re.DOTALL)
SECONDS = 60


def split(argument: str) -> tuple[str, str] | None:
    """(path, revision) of PATH@REVISION; None for an argument that is a file as it stands, or names no revision."""
    if "@" not in argument or os.path.lexists(argument):
        return None
    match = SPEC.fullmatch(argument)
    path, revision = match.groups() if match else argument.split("@", 1)
    return (path, revision) if path and revision else None


def content(path: str, revision: str) -> bytes:
    """The bytes of a file at a revision. Raises RevisionMissing, in words."""
    if revision.startswith("-"):
        raise RevisionMissing(f"{path}@{revision}: a revision does not begin with a dash")
    folder, name = _folder(path)
    blob = _git(folder, "cat-file", "blob", f"{revision}:./{name}")
    if blob.returncode == 0:
        return blob.stdout
    if _git(folder, "rev-parse", "--is-inside-work-tree").returncode:
        raise RevisionMissing(f"{path}@{revision}: {folder} is in no git repository")
    if _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode:
        raise RevisionMissing(
            f"{path}@{revision}: this repository has no revision {revision}"
            " (a shallow clone lacks older ones: git fetch)"
        )
    raise RevisionMissing(f"{path}@{revision}: that revision has no file {path}")


def _folder(path: str) -> tuple[Path, str]:
    """The nearest folder above a path that is there still, and the way from it with slashes."""
    whole = Path(path)
    folder = next((parent for parent in whole.parents if parent.is_dir()), Path())
    return folder, Path(os.path.relpath(whole, folder)).as_posix()


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - no shell; the revision is one word that is no option
            ["git", "-C", os.fspath(folder), *words],  # noqa: S607 - the user's own git
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise RevisionMissing("git is not installed, and PATH@REVISION needs it") from None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RevisionMissing(f"git could not be asked: {error}") from None
