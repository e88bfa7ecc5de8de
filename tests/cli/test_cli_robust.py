"""Whatever comes in: never a traceback, never an internal error, an exit code of 0 or 2, and in bounded time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cli_runs import COMMANDS, INPUT, REPORTING, ROOT, SAMPLES, STEM, outside, run
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from laws import examples, holds

SECONDS = 2.0  # for one example, on a machine that does other things too
FILES = [
    path
    for path in sorted(SAMPLES.rglob("*"))
    if path.suffix in {".yaml", ".json", ".jsonl"} and path.stat().st_size < 20_000
]
TEXTS = [path.read_bytes() for path in FILES]
BROKEN = [path.read_bytes() for path in sorted((ROOT / "tests" / "broken").glob("*.yaml"))]
# What turns a valid spec into one that was almost valid.
PIECES = [
    b"",
    b"\n",
    b"\t",
    b" ",
    b":",
    b"-",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"#",
    b"'",
    b'"',
    b"&a ",
    b"*a",
    b"!!int ",
    b"<<: *a",
    b"|",
    b">",
    b"%",
    b"---\n",
    b"...\n",
    b"?",
    b"null",
    b"true",
    b"~",
    b".nan",
    b"-1",
    b"0",
    b"1e400",
    b"0x7fffffffffffffffffff",
    b"9" * 30,
    b"\xff",
    b"\x00",
    b"\xc3\x28",
    "\U0001f600".encode(),
    b"\xef\xbb\xbf",
    b"\r",
    b"type",
    b"same",
    b"Conv2d(",
    b")",
    b"layers:",
    b"input:",
]


class Given(NamedTuple):
    """A command line and its standard input."""

    argv: tuple[str, ...]
    stdin: bytes = b""


def check(given: Given) -> None:
    """The law of this file."""
    started = time.process_time()
    ran = run(*given.argv, stdin=given.stdin)
    assert time.process_time() - started < SECONDS
    missing = ran.code == 3 and "is not installed" in ran.err  # onnx or torch, for what looks like theirs
    assert ran.code in {0, 2} or missing, ran.err
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    assert ran.err or ran.code == 0, "an error without a word"
    assert len(ran.err) < 100_000


@st.composite
def mutated(draw: DrawFn, texts: list[bytes]) -> bytes:
    """A text with a few of its bytes and lines moved, dropped, repeated or replaced."""
    data = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["replace", "replace", "insert", "swap", "repeat", "cut"]))
        piece = draw(st.sampled_from(PIECES))
        if kind == "replace":
            data = data[:start] + piece + data[end:]
        elif kind == "insert":
            data = data[:start] + piece + data[start:]
        elif kind == "repeat":
            data = data[:end] + data[start:end] * draw(st.integers(1, 5)) + data[end:]
        elif kind == "cut":
            data = data[:start]
        else:
            lines = data.splitlines(keepends=True)
            if len(lines) > 1:
                one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
                lines[one], lines[other] = lines[other], lines[one]
                data = b"".join(lines)
    return data


FORMATS = st.sampled_from(
    [(), ("--format", "json"), ("--format", "github"), ("--format", "html"), ("--quiet",), ("--verbose",), INPUT]
)
COMMAND = st.sampled_from(REPORTING)


@st.composite
def typed(draw: DrawFn) -> tuple[str, ...]:
    """A list of words, some of them ours."""
    words = st.one_of(
        st.sampled_from(
            [
                *COMMANDS,
                "--help",
                "--version",
                "-i",
                "--input",
                "1,3,8,8",
                "--type",
                "Conv2d",
                "--kernel-size",
                "3",
                "--out-channels",
                "4",
                "--stride",
                "--padding",
                "same",
                "--no-bias",
                "--format",
                "json",
                "csv",
                "--color",
                "always",
                "--output",
                "--convention",
                "strict",
                "--dtype",
                "--backward",
                "--quiet",
                "-v",
                "--debugg",
                "-",
                "--",
                "=",
                STEM,
                "Conv2d(3, 4, 3)",
                "ic3ih8oc4kh3",
                "--install-completions",
                "--input=1,3,8,8",
                "-i1,3,8,8",
                "-qv",
            ]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=12),
        st.integers().map(str),
    )
    argv = tuple(draw(st.lists(words, max_size=8)))
    # verify and fuzz run backends, solve may find nothing: they have tests of their own; a file that is written
    # anywhere is no test's business
    unwanted = {
        "verify",
        "fuzz",
        "solve",
        "--resume",
        "-o",
        "--output",
        "--install-completion",
        "--show-completion",
        "--debug",
    }
    return tuple(word for word in argv if word not in unwanted and not word.startswith(("-o", "--out=", "--outp")))


@st.composite
def flags(draw: DrawFn) -> tuple[str, ...]:
    """A layer by flags, with any values."""
    value = st.one_of(
        st.sampled_from(
            [
                "3",
                "1,2",
                "0",
                "-1",
                "same",
                "valid",
                "same_upper",
                "[[0,1],[1,2]]",
                "1x2x3",
                "True",
                "None",
                "()",
                "[[[1]]]",
                "3.0",
                "1e3",
                "x",
                "",
                " ",
                "(1,",
                "lambda: 0",
                "9" * 25,
                "0x10",
                "1_0",
            ]
        ),
        st.text(max_size=8),
        st.integers(-5, 2**70).map(str),
    )
    names = [
        "--in-channels",
        "--out-channels",
        "--kernel-size",
        "--stride",
        "--padding",
        "--dilation",
        "--groups",
        "--padding-mode",
        "--output-padding",
        "--depth-multiplier",
        "--offset-groups",
    ]
    type_ = draw(
        st.sampled_from(
            [
                "Conv2d",
                "conv",
                "depthwise",
                "ConvTranspose1d",
                "SeparableConv3d",
                "DeformConv2d",
                "DCNv2",
                "pointwise",
                "x",
            ]
        )
    )
    shape = draw(st.one_of(st.sampled_from(["1,3,8,8", "1x3x8x8", "3,8", "1,3,4,4,4", "0,3,8,8"]), value))
    argv = ["--type", type_, "-i", shape, "--out-channels", "4", "--kernel-size", "3"]
    for name in draw(st.lists(st.sampled_from(names), max_size=4)):
        argv += [f"{name}={draw(value)}"]
    argv += draw(st.lists(st.sampled_from(["--no-bias", "--modulated", "--pointwise-bias"]), max_size=1))
    return tuple(argv)


@st.composite
def calls(draw: DrawFn) -> tuple[str, ...]:
    """A layer in PyTorch's spelling with anything between its brackets."""
    inner = st.one_of(
        st.sampled_from(
            [
                "3",
                "4",
                "(3, 3)",
                "stride=2",
                "padding='same'",
                "padding=[[1,2],[0,1]]",
                "groups=0",
                "bias=None",
                "name='a'",
                "input=[1,3,8,8]",
                "expect={}",
                "**x",
                "*y",
                "dilation=-1",
                "kernel_size=3",
                "out_channels=4",
                "x",
                "1+1",
                "f''",
                "type='Conv2d'",
            ]
        ),
        st.text(max_size=6),
    )
    type_ = draw(
        st.sampled_from(
            ["Conv2d", "nn.Conv1d", "ConvTranspose3d", "SeparableConv2d", "DeformConv2dPack", "Conv", "depthwise"]
        )
    )
    return (
        f"{type_}({', '.join(draw(st.lists(inner, max_size=6)))})",
        "-i",
        draw(st.sampled_from(["1,3,8,8", "3,8,8", "1,3,8", "2,3,8,8,8"])),
    )


def given_stdin(texts: SearchStrategy[bytes]) -> SearchStrategy[Given]:
    """Any command, reading them."""
    return st.builds(lambda command, more, data: Given((command, "-", *more), data), COMMAND, FORMATS, texts)


def given_argv(words: SearchStrategy[tuple[str, ...]]) -> SearchStrategy[Given]:
    """Any command with those arguments."""
    return st.builds(lambda command, argv: Given((command, *argv)), COMMAND, words)


SOURCES: dict[str, Callable[[], SearchStrategy[Given]]] = {
    "mutated-samples": lambda: given_stdin(mutated(TEXTS)),
    "mutated-broken": lambda: given_stdin(mutated(BROKEN)),
    "random-bytes": lambda: given_stdin(st.binary(max_size=300)),
    "random-text": lambda: given_stdin(
        st.text("{}[]:,-#&*!|>'\"%@`?\n\t ab12.()xConv2dtypelayersinput", max_size=120).map(str.encode)
    ),
    "flags": lambda: given_argv(flags()),
    "calls": lambda: given_argv(calls()),
    "words": lambda: st.builds(Given, typed()),
}


@pytest.mark.parametrize("source", SOURCES)
@examples(300, 10_000)
def test_nothing_that_comes_in_breaks_it(source: str, count: int) -> None:
    holds(check, SOURCES[source](), count)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_sample_cut_anywhere_is_a_spec_or_an_error(path: Path) -> None:
    """As an interrupted download leaves it."""
    data = path.read_bytes()
    for place in range(1, len(data), max(1, len(data) // 7)):
        check(Given(("shape", "-"), data[:place]))


FOUND = {
    "json-lines-not-utf8": Given(("shape", "-"), b'{"\xff": 1\n{'),
    "hexadecimal-of-thousands": Given(("shape", "Conv2d(3, 4, [0x" + "f" * 4000 + "])", *INPUT)),
    "hexadecimal-flag": Given(("shape", "Conv2d(3, 4, 3)", "-i", "1,3,8,0x" + "f" * 4000)),
    "hexadecimal-padding": Given(("shape", "--type=conv", *INPUT, "--kernel-size=3", "--padding=0x" + "f" * 4000)),
}


@pytest.mark.parametrize("given", FOUND.values(), ids=FOUND)
def test_what_once_broke_it(given: Given) -> None:
    check(given)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))  # whatever else the machine does
from convcli.__main__ import main
main()
"""
BOMBS = {
    "printed-repeats": b"M(\n"
    + b"".join(b"(0-9999): 10000 x B(\n" for _ in range(4))
    + b"(0): Conv2d(3, 3, 1)\n"
    + b")\n" * 5,
    "printed-depth": b"(0): B(\n" * 200_000,
    "printed-lines": b"Conv2d(3, 3, 1)\n" * 3_000 + b")" * 100_000,
    "aliases": b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 121)),
    "brackets": b"layers: " + b"[" * 1_000_000,
    "braces-json": b'{"a":' * 1_000_000,
    "keys": b"\n".join(b"k%d: 1" % n for n in range(200_000)),
    "digits": b"input: [1, 3, " + b"9" * 3_000_000 + b"]\nlayers: []\n",
    "one-line": b"layers: [" + b"'Conv2d(3, 3, 1)', " * 20_000 + b"7]",
    "wrong-layers": b"layers:\n" + b"  - {type: Conv2d, kernel: 3}\n" * 5_000,
    "wrong-lines": b'{"type": "Conv2d", "kernel": 3}\n' * 5_000,
    "hex": b"layers: ['Conv2d(3, 4, 0x" + b"f" * 9_000 + b")']\n",
    "padding": b"layers: ['Conv2d(3, 4, 3, padding=(" + b"1, " * 3_000 + b"))']\n",
    "kernel": b"layers: [{type: ConvTranspose2d, out_channels: 4, kernel_size: 9000000000, stride: 9000000001}]",
    "groups": b"layers: [{type: Conv2d, input: [1, %d, 8, 8], out_channels: %d, kernel_size: 3, groups: %d}]"
    % (2**63 - 1, 2**63 - 1, 2**63 - 2),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_goes_off_without_harm(bomb: str) -> None:
    """Small texts that stand for much: ten seconds and two gigabytes must do, and a verdict must come."""
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, "shape", "-", "-i", "1,3,8,8"],
        input=BOMBS[bomb],
        capture_output=True,
        timeout=120,
        env=outside({"PYTHONPATH": str(ROOT)}),
        check=False,
    )
    assert ran.returncode in {0, 2}, ran.stderr[-500:]
    assert b"Traceback" not in ran.stderr
    assert b"internal error" not in ran.stderr
