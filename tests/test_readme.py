"""The README is run: every console block prints what it says, the Python block holds, the shell lines exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from convcli.cli.app import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    README,
    *(
        (ROOT / "docs" / page).read_text(encoding="utf-8")
        for page in ("explain.md", "solve.md", "networks.md", "roi-pooling.md")
    ),
]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FAIL = {"convcli check sample_configs/resnet-stem.yaml"}  # on purpose
TIMES = re.compile(r"\d+\.\d+(?= s$)|(?<= )\d+\.\d\d$", re.MULTILINE)  # seconds


def blocks(language: str, page: str = README) -> list[str]:
    return [text for found, text in BLOCK.findall(page) if found == language]


def commands() -> list[tuple[str, str]]:
    """(command line, the output that follows it) of every console block, those of the docs too."""
    found = []
    for block in (block for page in PAGES for block in blocks("console", page)):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def needs_torch(command: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.torch] if command.startswith(("convcli verify", "convcli fuzz", "convcli import")) else []


@pytest.mark.parametrize(
    ("command", "output"), [pytest.param(*case, marks=needs_torch(case[0]), id=case[0][:60]) for case in commands()]
)
def test_the_console_blocks_print_what_they_say(command: str, output: str) -> None:
    name, *arguments = shlex.split(command)
    assert name == "convcli"
    run = subprocess.run(
        [sys.executable, "-m", "convcli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = run.stdout + run.stderr
    assert run.returncode == (2 if "broken" in command else 1 if command in FAIL else 0), said
    without_environment = re.sub(r"^seed .*\n", "", said, flags=re.MULTILINE)
    assert squeezed(without_environment) == squeezed(output)


def squeezed(text: str) -> str:
    """The text without its times, and without the room that they take."""
    return re.sub(r" +", " ", TIMES.sub("T", text)).strip()


def test_the_python_block_holds() -> None:
    (block,) = blocks("python")
    names: dict[str, object] = {}
    for line in block.splitlines():
        code, _, comment = line.partition("#")
        if comment.strip() and "import" not in code and "=" not in code.split("(")[0]:
            assert str(eval(code, names)) == comment.strip(), line  # noqa: S307 - our own README
        else:
            exec(code, names)  # noqa: S102 - our own README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_section_and_an_example(command: str) -> None:
    section = README.split(f"### {command}\n", 1)[1].split("\n#", 1)[0]
    assert f"convcli {command} " in section


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
