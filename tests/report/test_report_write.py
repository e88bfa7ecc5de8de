"""A report's file appears whole, or not at all."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from convcli.errors import SpecError
from convcli.report.write import write

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and permissions are POSIX's")


def test_the_text_is_written_byte_for_byte(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "one\ntwö\n")
    assert (tmp_path / "a.txt").read_bytes() == "one\ntwö\n".encode()
    write(str(tmp_path / "a.txt"), "new\n")
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208 - hidden files too
    assert (tmp_path / "a.txt").read_text() == "new\n"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", full)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SpecError, match=r"cannot write .*a\.txt: No space left on device"):
        write(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("name", ["", "no/such/folder.txt", "nul\0l.txt"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="cannot write"):
        write(f"{tmp_path}/{name}", "x")  # the first is the directory itself
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_links_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "far" / "target.txt")
    for text in ("new file", "new text"):
        write(link, text)
        assert link.is_symlink()
        assert (tmp_path / "far" / "target.txt").read_text() == text
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SpecError, match="cannot write"):
        write(tmp_path / "loop", "x")


@posix
def test_permissions_are_a_normal_files(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    (tmp_path / "a.txt").chmod(0o604)
    write(tmp_path / "a.txt", "y")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o604


@posix
def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, "through\n")
        assert os.read(reader, 100) == b"through\n"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
