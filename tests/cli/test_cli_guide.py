"""docs/guide.md is run: every console block prints what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cli_runs import ROOT, run, run_alone

PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
VERIFY = "convcli verify "
# What differs between machines: how far floats come apart, and seconds.
MEASURED = re.compile(r"\d\S* +\d+\.\d\d$|(?<=in )\d+\.\d(?= s$)", re.MULTILINE)


def told() -> list[tuple[str, str]]:
    """(command line, the output that follows it) of every console block."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(line, output) for line, _, output in (part.partition("\n") for part in parts)]


def argv(line: str) -> list[str]:
    """The command's arguments, * put out as a shell does."""
    name, *words = shlex.split(line)
    assert name == "convcli"
    return [one for word in words for one in (sorted(map(placed, ROOT.glob(word))) if "*" in word else [word])]


def placed(path: Path) -> str:
    """A path as seen from the repository."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("line", "output"), [pytest.param(*case, id=case[0][8:70]) for case in told() if not case[0].startswith(VERIFY)]
)
def test_a_command_prints_what_the_guide_says(line: str, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ran = run(*argv(line))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.strip("\n") == output.strip("\n")


def squeezed(text: str) -> str:
    """The text without what is measured, and without the room that it takes."""
    return re.sub(r" +", " ", MEASURED.sub("...", text))


@pytest.mark.torch
def test_the_verifications_come_to_what_the_guide_says() -> None:
    """Each in a block of its own in the guide, here all in one run: torch starts once."""
    said = {line.removeprefix(VERIFY): output for line, output in told() if line.startswith(VERIFY)}
    files = list(said)
    ran = run_alone("verify", *files)
    assert ran.code == 0, ran.out
    tables = dict(re.findall(r"^(sample_configs/\S+)\n(.+?)\n\n", ran.out, re.MULTILINE | re.DOTALL))
    assert list(tables) == files
    for file in files:
        table, _, last = said[file].strip().partition("\n\n")
        assert squeezed(table) == squeezed(tables[file])
        assert squeezed(last) == f"{len(table.splitlines()) - 1} passed in ... s"


def test_every_kind_of_chapter_has_its_command_and_its_picture() -> None:
    chapters = re.findall(r"^## \d\. (.*?)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert len(chapters) == 9
    for title, chapter in chapters:
        for command in ("shape", "params", "explain", "draw", "verify"):
            assert f"convcli {command} " in chapter or (command == "params" and "\nparams = " in chapter), title
        assert re.search(r"\]\(guide/\S+\.svg\)", chapter), title


def test_the_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", PAGE):
        assert not path or (Path(ROOT, "docs") / path).exists(), path
        assert not anchor or anchor in anchors, anchor
