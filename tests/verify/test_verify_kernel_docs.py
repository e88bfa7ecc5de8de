"""docs/own-kernels.md is run: its files are written, its commands print what it says, its Python block holds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOC = (ROOT / "docs" / "own-kernels.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"(?:# |/\* )(\w+\.(?:py|c))\b")
NUMBERS = re.compile(r"\d+\.\d+(?= s$)|(?<= )\d+\.\d\d$|(?<= )0\.\d+(?= +\d|$)", re.MULTILINE)  # seconds, and ratios
NEEDS = {"cc": shutil.which("cc") is None, "conv_c": shutil.which("cc") is None, "numba": find_spec("numba") is None}


def commands() -> list[tuple[str, str]]:
    """(command, its output), in the order of the text."""
    found = []
    for language, block in BLOCK.findall(DOC):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the text, and the C kernel compiled."""
    where = tmp_path_factory.mktemp("kernels")
    for _, block in BLOCK.findall(DOC):
        name = FILE.match(block)
        if name:
            (where / name[1]).write_text(block)
    compiling = next(command for command, _ in commands() if command.startswith("cc "))
    if not NEEDS["cc"]:
        subprocess.run(shlex.split(compiling), cwd=where, check=True)
    return where


def ran(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def squeezed(text: str) -> str:
    """Without what the machine decides: times, how near to its bound an error comes, whether torch has a vote."""
    text = re.sub(r", (\w+) and torch agree", r" and \1 agree", text)
    text = re.sub(r"^ *torch agrees with .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r" +", " ", NUMBERS.sub("T", re.sub(r"^seed .*\n", "", text, flags=re.MULTILINE))).strip()


@pytest.mark.parametrize(
    ("command", "output"),
    [pytest.param(*case, id=case[0].rpartition(" ")[2]) for case in commands() if case[0].startswith("convcli")],
)
def test_the_console_blocks_print_what_they_say(folder: Path, command: str, output: str) -> None:
    for tool, missing in NEEDS.items():
        if tool in command and missing:
            pytest.skip(f"there is no {tool}")
    run = ran(["-m", "convcli", *shlex.split(command)[1:]], folder)
    said = run.stdout + run.stderr
    assert squeezed(said) == squeezed(output)
    code = 2 if output.startswith("convcli: ") else 1 if "FAILED" in output else 3 if "UNSUPPORTED" in output else 0
    assert run.returncode == code, said


def test_the_python_block_holds(folder: Path) -> None:
    (block,) = [text for language, text in BLOCK.findall(DOC) if language == "python" and "import convcli" in text]
    asked = [line.partition("#") for line in block.splitlines() if "#" in line]
    assert len(asked) == 2
    script = block + "".join(f"assert str({code.strip()}) == {comment.strip()!r}\n" for code, _, comment in asked)
    run = ran(["-c", script], folder)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["conv_numpy", "conv_c", "conv_numba", "conv_triton", "conv_broken"])
def test_the_files_are_python(folder: Path, name: str) -> None:
    text = (folder / f"{name}.py").read_text()
    compile(text, name, "exec")
    assert "def conv(x, weight, bias, stride, padding):" in text


def test_the_backward_is_right_but_for_its_line(folder: Path) -> None:
    """The text says that one line is wrong: with that one repaired, nothing is."""
    text = (folder / "conv_grad.py").read_text()
    (folder / "repaired.py").write_text(text.replace("dy[0].sum((1, 2))", "dy.sum((0, 2, 3))"))
    layer = ["Conv2d(3, 8, 3, stride=2, padding=1)", "-i", "2,3,16,24", "--dtype", "float32"]
    run = ran(["-m", "convcli", "verify", *layer, "--kernel-grad", "repaired.py:backward"], folder)
    assert run.returncode == 0, run.stdout
