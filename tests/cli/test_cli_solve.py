"""`solve` as it is typed and piped: questions told apart, exit codes, formats, widths."""

from __future__ import annotations

import json

import pytest
from cli_runs import run
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from laws import examples, holds

CHANNELS = (
    "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 1, 224, 224] to have 3 channels,"
    " but got 1 channels instead"
)
SHOWN = {
    "sizes": ("224", "112"),
    "chain": ("7", "28", "--layers", "2"),
    "none": ("224", "100", "--kernel", "3"),
    "layer": ("Conv2d(6, 8, 3, groups=4)", "-i", "1,6,32,32"),
    "message": (CHANNELS,),
}


@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown", "junit", "github", "html"])
@pytest.mark.parametrize("question", SHOWN)
def test_every_format_of_every_answer(question: str, form: str) -> None:
    ran = run("solve", *SHOWN[question], "--format", form)
    assert (ran.code, ran.err) == (1 if question == "none" else 0, "")
    assert ran.out.endswith("\n")
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("columns", ["40", "50", "80", "200"])
@pytest.mark.parametrize("question", SHOWN)
def test_terminals_of_any_width(question: str, columns: str) -> None:
    ran = run("solve", *SHOWN[question], "--color", "always", env={"COLUMNS": columns, "TERM": "xterm"})
    assert (ran.code, ran.err) == (1 if question == "none" else 0, "")
    assert "\x1b" in ran.out


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["224", "112"], 0, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        (["224->112"], 0, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        (["224 112"], 0, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        (["224x224", "112x56", "--kernel", "7"], 0, "Conv2d(1, 1, 7, stride=(2, 4), padding=3)"),
        (["224,224", "112,112"], 0, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        (["1x3x224x224", "1x64x112x112"], 0, "Conv2d(3, 64, 3, stride=2, padding=1)"),
        (["16", "8", "--rank", "3"], 0, "Conv3d(1, 1, 3, stride=2, padding=1)"),
        (["224", "112", "--kernel", "4-6", "--padding", "0,1,same"], 0, "Conv2d(1, 1, 4, stride=2, padding=1)"),
        (["112", "224", "--output-padding", "1"], 0, "output_padding=1"),
        (["224", "112", "--transposed"], 1, "0 ways"),
        (["224", "100", "--kernel", "3"], 1, "nearest: 110x110"),
        (["Conv2d(3, 8, 3)", "-i", "1,3,9,9"], 0, "is legal: 1x8x7x7"),
        (["Conv2d(3, 8, 7)", "-i", "1x3x5x5"], 0, "padding=1"),
        (CHANNELS.split(), 0, "x.expand(-1, 3, -1, -1)"),
    ],
)
def test_questions_are_told_apart(argv: list[str], code: int, said: str) -> None:
    ran = run("solve", *argv)
    assert (ran.code, ran.err) == (code, "")
    assert said in ran.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "QUESTION"),
        (["224"], "one size alone"),
        (["1", "2", "3"], "too many"),
        (["224", "112", "--kernel", "a"], "--kernel"),
        (["224", "112", "--kernel", "7-3"], "no range"),
        (["224", "112", "--kernel", "1-100000"], "too many"),
        (["224", "112", "--padding", "full"], "same_upper"),
        (["224", "112", "--limit", "0"], "limit=0"),
        (["9" * 5000, "1"], "no number"),
        (["hello", "world"], "no shape error that is known is in 'hello world'"),
        (["Foo(3)"], "'Foo' is not known"),
        (["-"], "nothing"),
        (["224", "112", "--format", "yaml"], "json"),
    ],
)
def test_what_cannot_be_answered_ends_with_2(argv: list[str], said: str) -> None:
    ran = run("solve", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    "text", [f"Traceback (most recent call last):\n  ...\n{CHANNELS}\n", "Conv2d(3, 8, 3, groups=2)\n"]
)
def test_standard_input(text: str) -> None:
    ran = run("solve", "-", "--format", "json", stdin=text.encode())
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["question"] == ("message" if "Trace" in text else "layer")


def test_json_says_everything() -> None:
    found = json.loads(run("solve", "224", "112", "--limit", "1", "--format", "json").out)
    assert (found["schema"], found["command"], found["question"]) == (1, "solve", "sizes")
    assert found["ways"][0]["layers"][0] == {
        "layer": "Conv2d(1, 1, 3, stride=2, padding=1)",
        "input": [224, 224],
        "output": [112, 112],
        "kernel_size": [3, 3],
        "stride": [2, 2],
        "padding": [[1, 1], [1, 1]],
        "dilation": [1, 1],
        "output_padding": [0, 0],
    }


@st.composite
def typed(draw: DrawFn) -> list[str]:
    """Words, some of them ours."""
    words = st.one_of(
        st.sampled_from(
            ["224", "112x56", "1,3,9,9", "Conv2d(3, 4, 3)", "Conv2d(", CHANNELS, "-", "--", "-i", "1,3,5,5"]
        ),
        st.sampled_from(["--kernel", "3,5", "1-9", "same", "--stride", "--padding", "--dilation", "--layers", "3"]),
        st.sampled_from(["--transposed", "--exact-for-any", "--rank", "--limit", "--quiet", "--format", "json", "csv"]),
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=12),
        st.integers(-3, 10**20).map(str),
    )
    argv = draw(st.lists(words, max_size=7))
    return [word for word in argv if not word.startswith(("-o", "--out=", "--outp", "--install", "--show", "--debug"))]


@examples(60, 2000)
def test_whatever_is_typed_ends_well(count: int) -> None:
    def law(argv: list[str]) -> None:
        ran = run("solve", *argv, stdin=b"hello")
        assert ran.code in {0, 1, 2}, ran.err
        assert "internal error" not in ran.err
        assert ran.err or ran.out or "--quiet" in argv

    holds(law, typed(), count)
