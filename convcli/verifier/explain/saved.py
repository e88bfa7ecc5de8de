"""A failure on disk: its arrays, what was expected and found, and all that it takes to run the same data again."""

from __future__ import annotations

import re
import zipfile
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli._version import __version__
from convcli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.backends import Array

FORMAT = "convcli-failure-1"
PARTS = ("array", "expected", "found")


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What the arrays belong to. layer: its spelling; input: of x. exact: the sides must be equal bit for bit.

    against, or kernel with its role and the arrays that it takes: the other side, as the command line names it.
    """

    format: str
    layer: str
    input: tuple[int, ...]
    name: str
    check: str
    dtype: str
    exact: bool
    seed: int
    against: str = ""
    kernel: str = ""
    role: str = ""
    arrays: str = ""
    detail: str = ""
    versions: dict[str, Any] = {}


class Saved(msgspec.Struct, frozen=True):
    """One failure: its data, our results and the other side's (none when it did not answer)."""

    meta: Meta
    arrays: dict[str, Any]
    expected: dict[str, Any]
    found: dict[str, Any]


def file_name(layer: str, check: str, dtype: str, method: str, number: int = 0) -> str:
    """conv1-forward-exact-float32.npz, and conv1-forward-exact-float32-2.npz for the check's next data."""
    words = [layer, check, method, dtype, str(number + 1) if number else ""]
    return "-".join(re.sub(r"[^0-9A-Za-z_.]+", "_", word).strip("_.")[:80] for word in words if word) + ".npz"


def written(path: Path, saved: Saved) -> None:
    """Write it, whole or not at all; read back with allow_pickle=False."""
    groups = zip(PARTS, (saved.arrays, saved.expected, saved.found), strict=True)
    named = {f"{part}.{name}": array for part, arrays in groups for name, array in arrays.items()}
    meta = np.frombuffer(msgspec.json.encode(saved.meta), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez_compressed(file, **{"meta.json": meta, **named})
    partial.replace(path)


def read(path: str | PathLike[str]) -> Saved:
    """The failure of a file. Raises SpecError for one that is not there, torn, or of another kind."""
    if Path(path).is_file() and not zipfile.is_zipfile(path):
        raise foreign(path, "it is no .npz file, or not all of one")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        meta = msgspec.json.decode(found.pop("meta.json").tobytes(), type=Meta)
    except KeyError:
        raise foreign(path, "it was not written by --save-failures") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, msgspec.MsgspecError) as error:
        raise foreign(path, " ".join(str(error).split())[:200] or type(error).__name__) from None
    if meta.format != FORMAT:
        raise foreign(path, f"it has the format {meta.format!r}, this convcli {__version__} reads {FORMAT!r}")
    parts: Mapping[str, dict[str, Array]] = {part: {} for part in PARTS}
    for name, array in found.items():
        part, _, own = name.partition(".")
        if part not in parts or not own:
            raise foreign(path, f"it holds {name!r}, which --save-failures does not write")
        parts[part][own] = array
    return Saved(meta, parts["array"], parts["expected"], parts["found"])


def foreign(path: str | PathLike[str], why: str) -> SpecError:
    """What is wrong with such a file."""
    return SpecError(f"{path}: {why}", field="--replay", allowed="an .npz file that --save-failures wrote")
