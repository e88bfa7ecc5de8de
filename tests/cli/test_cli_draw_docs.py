"""The pictures of docs/draw.md are what its commands draw today."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cli_runs import ROOT, run

PAGE = (ROOT / "docs" / "draw.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^convcli (draw .*) -o (docs/pictures/\S+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("command", "path"), COMMANDS, ids=[Path(path).stem for _, path in COMMANDS])
def test_a_picture_of_the_docs_is_what_its_command_draws(command: str, path: str) -> None:
    ran = run(*shlex.split(command), "--format", "svg")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (ROOT / path).read_text(encoding="utf-8"), f"convcli {command} -o {path} draws it anew"


def test_every_picture_of_the_page_has_its_command() -> None:
    shown = re.findall(r"\]\((pictures/\S+)\)", PAGE)
    assert [f"docs/{path}" for path in shown] == [path for _, path in COMMANDS]
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == {Path(path).name for path in shown}
