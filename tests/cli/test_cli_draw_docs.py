"""The pictures of docs/draw.md and docs/guide.md are what the pages' commands draw today."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cli_runs import ROOT, run

FOLDERS = {"draw": "pictures", "guide": "guide"}  # of each page's pictures
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in FOLDERS}


def commands(page: str) -> list[tuple[str, str]]:
    """(command, the file it writes) of the pictures of a page."""
    return re.findall(rf"^convcli (draw .*) -o (docs/{FOLDERS[page]}/\S+)$", PAGES[page], re.MULTILINE)


COMMANDS = [command for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("command", "path"), COMMANDS, ids=[path.removeprefix("docs/") for _, path in COMMANDS])
def test_a_picture_of_the_docs_is_what_its_command_draws(
    command: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    ran = run(*shlex.split(command), "--format", "svg")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.encode() == (ROOT / path).read_bytes(), f"convcli {command} -o {path} draws it anew"


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_of_the_page_has_its_command(page: str) -> None:
    shown = re.findall(rf"\]\(({FOLDERS[page]}/\S+)\)", PAGES[page])
    assert [f"docs/{path}" for path in shown] == [path for _, path in commands(page)]
    there = {path.name for path in (ROOT / "docs" / FOLDERS[page]).iterdir()}
    assert there == {Path(path).name for path in shown}
