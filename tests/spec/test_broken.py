"""Broken specs: every file says in its first line what the error must say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from convcli import SpecError, load, summarize

BROKEN = Path(__file__).parent.parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
MARK = "# error: "


def problems(path: Path) -> SpecError:
    """What is wrong with a file, whether its reader or its plan finds it."""
    with pytest.raises(SpecError) as caught:
        summarize(load(path))
    return caught.value


def test_there_are_broken_files() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_the_error_says_what_is_wrong_and_where(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert first.startswith(MARK)
    started = time.process_time()
    error = problems(path)
    assert time.process_time() - started < 2
    for said in first.removeprefix(MARK).split("; "):
        assert said in str(error)
    for problem in error.problems:
        assert problem.source == str(path)
        assert problem.line > 0
        assert problem.column > 0
        assert problem.message
        assert str(problem).startswith(f"{path}:{problem.line}:{problem.column}: ")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_the_caret_stands_under_the_line_that_is_shown(path: Path) -> None:
    lines = path.read_text().splitlines()
    for problem in problems(path).problems:
        if not problem.excerpt:
            continue
        shown, caret = str(problem).splitlines()[-2:]
        assert caret.strip() == "^"
        assert len(caret) <= len(shown) + 1
        if not problem.excerpt.startswith("…"):
            assert problem.excerpt.replace("\t", " ").strip() in lines[problem.line - 1].replace("\t", " ")


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    """One of each fault that reading alone can see, in one file: as many problems, in the order of the file."""
    wrong = tmp_path / "net.yaml"
    wrong.write_text(
        "input: [1, 3, 8, 8]\n"
        "layers:\n"
        "  - {name: a, type: Conv2D2, out_channels: 4, kernel_size: 3}\n"
        "  - {name: b, type: Conv2d, out_channels: 0, kernel_size: 3, stride: 0}\n"
        "  - Conv2d(3, 4\n"
        "  - 7\n"
        "  - {name: c, type: Conv2d, out_channels: 4, kernel_size: 3, padding: smae}\n"
    )
    error = problems(wrong)
    assert [problem.line for problem in error.problems] == [3, 4, 4, 5, 6, 7]
    assert len(set(error.problems)) == 6
