"""Where the answer goes: files whole or not at all, pipes that close, terminals and their colours."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import INPUT, REPORTING, ROOT, SAMPLES, STEM, outside, run, run_alone

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
BOXES = set("─│┌┐└┘├┤┬┴┼━┃╭╮╰╯╇╈═║")


# files


def test_several_files_at_once(tmp_path: Path) -> None:
    names = ["report.json", "report.md", "report.csv", "report.xml", "report.txt"]
    ran = run("summary", STEM, *INPUT, *(word for name in names for word in ("--output", str(tmp_path / name))))
    assert (ran.code, ran.err) == (0, "")
    assert json.loads((tmp_path / "report.json").read_text())["command"] == "summary"
    assert "|" in (tmp_path / "report.md").read_text()
    assert "," in (tmp_path / "report.csv").read_text()
    assert (tmp_path / "report.xml").read_text().startswith("<?xml")
    assert "9408" in (tmp_path / "report.txt").read_text().replace(",", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_the_same_numbers_in_the_file_and_on_standard_output(tmp_path: Path) -> None:
    there = tmp_path / "r.json"
    ran = run("summary", STEM, *INPUT, "--format", "json", "-o", str(there))
    assert json.loads(ran.out) == json.loads(there.read_text())


@pytest.mark.parametrize(
    "argv",
    [
        ("shape", STEM, "-i", "1,4,8,8"),
        ("shape", "no-such.yaml"),
        ("shape", STEM, *INPUT, "--format", "pdf"),
        ("shape", STEM, *INPUT, "--output", "report.pdf"),
        ("flops", STEM, *INPUT, "--dtype", "float3"),
    ],
)
def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path, argv: tuple[str, ...]) -> None:
    old = tmp_path / "old.json"
    old.write_text("old")
    assert run(*argv, "--output", str(old)).code == 2
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text("old")
    old.chmod(0o640)
    assert run("shape", STEM, *INPUT, "-o", str(old)).code == 0
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert old.read_text() != "old"


@pytest.mark.parametrize(
    "target",
    ["missing/report.json", "file.txt/report.json", "folder.json", "nul\0.json", "x" * 300 + ".json"],
    ids=range(5),
)
def test_a_target_that_cannot_be_written(tmp_path: Path, target: str) -> None:
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "folder.json").mkdir()
    before = sorted(tmp_path.rglob("*"))
    ran = run("shape", STEM, *INPUT, "--output", str(tmp_path / target))
    assert ran.code == 2
    assert "write" in ran.err
    assert "internal" not in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "convcli", "shape", STEM, *INPUT],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=outside({}),
            check=False,
        )
    assert ran.returncode in {2, 3}
    assert b"Traceback" not in ran.stderr
    assert b"No space left" in ran.stderr


# pipes


@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown"])
def test_a_closed_pipe_is_no_error(form: str) -> None:
    """`convcli ... | head -1`, with more to say than a pipe holds."""
    many = [str(path) for path in sorted(SAMPLES.rglob("*.yaml"))] * 20
    command = [sys.executable, "-m", "convcli", "summary", *many, "--format", form]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=outside({"PYTHONPATH": str(ROOT)}), cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["schema"], ["shape", "--help"], ["shape", STEM, *INPUT]], ids=range(5)
)
def test_a_pipe_that_was_never_open_is_no_error(argv: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "convcli", *argv],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=outside({"PYTHONPATH": str(ROOT)}),
            check=False,
        )
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="POSIX shells")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_closed_streams_are_no_traceback(closed: str) -> None:
    line = f'"{sys.executable}" -m convcli shape "Conv2d(3, 4, 3)" -i 1,3,8,8 {closed}'
    ran = subprocess.run(["sh", "-c", line], capture_output=True, env=outside({"PYTHONPATH": str(ROOT)}), check=False)
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr
    assert ran.returncode in {0, 2, 3}


# terminals


@pytest.mark.parametrize("command", REPORTING)
def test_off_a_terminal_there_are_no_colours_and_no_boxes(command: str) -> None:
    for env in ({}, {"COLUMNS": "20"}, {"TERM": "dumb"}, {"GITHUB_ACTIONS": "true"}, {"NO_COLOR": "1"}):
        ran = run(command, str(SAMPLES / "networks" / "resnet50.yaml"), env=env)
        assert ran.code == 0
        assert not ESCAPE.search(ran.out)
        assert not BOXES & set(ran.out)
        assert "layer4.2.conv3" in ran.out  # never cut to a width


def test_colours_on_demand() -> None:
    plain = run("summary", STEM, *INPUT)
    for argv, env in (
        ((), {"FORCE_COLOR": "1"}),
        (("--color", "always"), {}),
        (("--color", "always"), {"NO_COLOR": "1"}),
    ):
        coloured = run("summary", STEM, *INPUT, *argv, env=env)
        assert ESCAPE.search(coloured.out), (argv, env)
    for argv, env in (
        ((), {"NO_COLOR": "1"}),
        (("--color", "never"), {"FORCE_COLOR": "1"}),
        (("--color", "never"), {}),
    ):
        assert run("summary", STEM, *INPUT, *argv, env=env).out == plain.out


def test_colours_stay_out_of_files_and_of_other_formats(tmp_path: Path) -> None:
    there = tmp_path / "r.txt"
    run("summary", STEM, *INPUT, "--color", "always", "-o", str(there))
    assert "\x1b" not in there.read_text()
    for form in ("json", "csv", "markdown", "junit", "github", "html"):
        assert "\x1b" not in run("summary", STEM, *INPUT, "--color", "always", "--format", form).out


@pytest.mark.parametrize(
    "argv",
    [("summary",), ("shape",), ("explain",), ("bench", "--against", "none", "--seconds", "0.01")],
    ids=lambda a: a[0],
)
def test_html_has_the_layers_pictures(tmp_path: Path, argv: tuple[str, ...]) -> None:
    there = tmp_path / "r.html"
    layer = "Conv2d(3, 8, 3, stride=2)"
    assert run(*argv, layer, "-i", "1,3,9,9", "--output", str(there), "--quiet").code == 0
    assert there.read_text().count("<svg ") == 1
    assert "conv2d_1 (Conv2d)" in there.read_text()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=["plain", "NO_COLOR"])
def test_on_a_terminal(env: dict[str, str]) -> None:
    """A table no wider than the terminal; bold and dim, and under NO_COLOR no colour among them."""
    import pty

    main, other = pty.openpty()
    there = outside({"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100", **env})
    with subprocess.Popen(
        [sys.executable, "-m", "convcli", "summary", STEM, *INPUT], stdout=other, stderr=subprocess.PIPE, env=there
    ) as process:
        os.close(other)
        out = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # Linux says so that the other end is closed
                break
            if not piece:
                break
            out += piece
        assert process.stderr is not None
        err = process.stderr.read()
    os.close(main)
    assert (process.returncode, err) == (0, b"")
    text = out.decode()
    assert ESCAPE.search(text)
    assert not (env and re.search(r"\x1b\[(?:[0-9;]*;)?[349][0-7]", text))
    table = [ESCAPE.sub("", line) for line in text.splitlines() if "conv2d_1" in line or BOXES & set(line)]
    assert table
    assert max(map(len, table)) <= 100


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_console_that_knows_few_characters(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        'input: [1, 3, 9, 9]\nlayers:\n  - {name: "é漢字😀", type: Conv2d, out_channels: 2, kernel_size: 3}\n',
        encoding="utf-8",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "convcli", "summary", str(path)],
        capture_output=True,
        env=outside({"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}),
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    if encoding == "utf-8":
        assert "é漢字😀" in ran.stdout.decode()


def test_quiet_is_quiet() -> None:
    assert len(run("summary", STEM, *INPUT, "--quiet").out) <= len(run("summary", STEM, *INPUT).out)
    assert run("summary", STEM, "-i", "1,4,9,9", "--quiet").err != ""


def test_a_process_of_its_own_says_the_same() -> None:
    argv = ("summary", STEM, *INPUT)
    assert run_alone(*argv) == run(*argv)
