"""What the commands say and how they end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli_runs import COMMANDS, INPUT, REPORTING, ROOT, SAMPLES, STEM, outside, run, run_alone

from convcli import __version__
from convcli.spec.schema import schema

NET = """\
name: small
input: [1, 3, 32, 32]
layers:
  - {name: first, type: Conv2d, out_channels: 8, kernel_size: 3}
  - Conv2d(8, 4, 3, stride=2)
"""
FLAGS = (
    "--type",
    "Conv2d",
    *INPUT,
    "--out-channels",
    "64",
    "--kernel-size",
    "7",
    "--stride",
    "2",
    "--padding",
    "3",
    "--no-bias",
)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small spec file."""
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    return path


def report(*argv: str, stdin: bytes = b"") -> dict[str, Any]:
    """The JSON report of a command that ends well."""
    ran = run(*argv, "--format", "json", stdin=stdin)
    assert (ran.code, ran.err) == (0, "")
    decoded: dict[str, Any] = json.loads(ran.out)
    return decoded


def layers(*argv: str, stdin: bytes = b"") -> list[dict[str, Any]]:
    """All layers of all reports."""
    return [layer for one in report(*argv, stdin=stdin)["reports"] for layer in one["layers"]]


# --version, --help, completion


def test_version() -> None:
    assert run_alone("--version") == (0, f"convcli {__version__}\n", "")
    assert run("--version").out == f"convcli {__version__}\n"


def test_help_lists_the_commands() -> None:
    ran = run("--help")
    assert (ran.code, ran.err) == (0, "")
    assert all(re.search(rf"^\s+{command}\s+\S", ran.out, re.MULTILINE) for command in COMMANDS)
    assert run("-h").out == ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    ran = run(command, "--help", env={"GITHUB_ACTIONS": "true"})
    assert (ran.code, ran.err) == (0, "")
    assert f"Example: convcli {command}" in " ".join(ran.out.split())
    assert "\x1b" not in ran.out


def examples() -> list[str]:
    """Every example of a command's help."""
    found = []
    for command in COMMANDS:
        text = " ".join(run(command, "--help").out.split())
        match = re.search(rf"Example: (convcli {command}.*?) (?:Arguments|Options|Layer by flags)", text)
        assert match, f"the help of {command} has no example that can be read"
        found.append(match[1])
    return found


def test_the_examples_work(tmp_path: Path) -> None:
    import shlex

    for example in examples():
        _, *argv = shlex.split(example)
        if argv[0] in {"verify", "fuzz", "bench", "import", "merge"}:
            continue  # they have tests of their own
        argv = [str(ROOT / word) if word.startswith("sample_configs/") else word for word in argv]
        ran = run_alone(*argv, cwd=tmp_path)
        assert ran.code == 0, (example, ran.err)


def test_no_command_is_help_and_a_mistake() -> None:
    ran = run()
    assert ran.code == 2
    assert "shape" in ran.out + ran.err


# exit code 2: the command line or a spec is wrong


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["shapes"], "shape"),
        (["sumary"], "summary"),
        (["shape", "--kernel-sise", "3"], "--kernel-size"),
        (["shape"], "there is no layer"),
        (["shape", "Conv2D2(3, 4, 3)", *INPUT], "try: Conv2d"),
        (["shape", "Conv2d(3, 4, 3, strid=2)", *INPUT], "try: stride"),
        (["shape", STEM], "no input reaches"),
        (["shape", STEM, "-i", "1,4,224,224"], "4 channels"),
        (["shape", STEM, "-i", "224"], "input"),
        (["shape", STEM, "-i", "1,3,-1,4"], "input"),
        (["shape", "--type", "Conv2d", *INPUT], "is missing"),
        (["shape", *FLAGS, "--groups", "5"], "groups"),
        (["shape", *FLAGS, "--output-padding", "1"], "--output-padding"),
        (["shape", *FLAGS, "--input-layout", "NHWC"], "channels_last"),
        (["shape", STEM, *INPUT, "--format", "yaml"], "json"),
        (["shape", STEM, *INPUT, "--color", "sometimes"], "always"),
        (["shape", STEM, *INPUT, "--output", "report.pdf"], ".json"),
        (["flops", STEM, *INPUT, "--convention", "loose"], "strict"),
        (["flops", STEM, *INPUT, "--dtype", "float128"], "float32"),
        (["shape", "net.yamll"], "no such file"),
        (["shape", "ic3ih8kh3"], "no oc"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_what_is_allowed(argv: list[str], said: str) -> None:
    ran = run(*argv)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


def test_all_problems_of_all_files_are_said(tmp_path: Path, net: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("input: [1, 3, 8, 8]\nlayers:\n  - {type: Conv2d, out_channels: 0, kernel_size: 3, strid: 1}\n")
    second.write_text("layers: 7\n")
    ran = run("shape", str(first), str(net), str(second), "Conv2d(3, 0, 3)")
    assert ran.code == 2
    assert ran.err.count(f"{first}:3:") == 2
    assert f"{second}:1:" in ran.err
    assert "4 problems" in ran.err
    assert "out_channels=0" in ran.err


def test_a_missing_file_names_the_one_that_is_there(net: Path) -> None:
    ran = run("shape", str(net.with_name("nett.yaml")))
    assert ran.code == 2
    assert f"try: {net}" in ran.err


def test_a_directory_is_no_spec(tmp_path: Path) -> None:
    ran = run("shape", str(tmp_path))
    assert ran.code == 2
    assert "directory" in ran.err


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\xff" * 100,
        b"\x7fELF\x02\x01\x01",
        b"\x89PNG\r\n\x1a\n\x00",
        b"\xff\xfe{\x00",
        b"PK\x03\x04\x14\x00",
        b"\x80\x02}q\x00.",
    ],
)
@pytest.mark.parametrize("ending", [".yaml", ".json", ".jsonl", ".pt", ""])
def test_a_binary_file_is_no_spec(tmp_path: Path, data: bytes, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(data)
    ran = run("shape", str(path))
    assert ran.code == 2
    assert str(path) in ran.err
    assert "internal error" not in ran.err


@pytest.mark.parametrize(
    "piece", [b"a", b"{", b"[", b"- ", b"a: ", b"(", b"\n", b"x: [", b"9", b"&a *a ", b"Conv2d(", b"'", b"# "]
)
def test_ten_megabytes_of_garbage_are_refused_in_seconds(tmp_path: Path, piece: bytes) -> None:
    path = tmp_path / "garbage.yaml"
    path.write_bytes(piece * (10_000_000 // len(piece)))
    started = time.perf_counter()
    ran = run("shape", str(path))
    assert time.perf_counter() - started < 5
    assert ran.code == 2
    assert len(ran.err) < 5000


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="POSIX")
def test_ctrl_c_ends_with_130() -> None:
    """While it waits for standard input."""
    with subprocess.Popen(
        [sys.executable, "-m", "convcli", "shape", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=outside({"PYTHONPATH": str(ROOT)}),
    ) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_debug_shows_the_traceback_of_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then; without it an internal error is two lines and code 3."""
    from convcli.cli import calculator

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(calculator, "results_of", broken)
    ran = run("shape", STEM, *INPUT)
    assert ran.code == 3
    assert ran.err.splitlines()[0] == "convcli: internal error: ZeroDivisionError: made up"
    with pytest.raises(ZeroDivisionError, match="made up"):
        run("shape", STEM, *INPUT, "--debug")


# Where specs come from


def test_the_same_layer_by_every_way_in(tmp_path: Path) -> None:
    spec = {
        "type": "Conv2d",
        "out_channels": 64,
        "kernel_size": 7,
        "stride": 2,
        "padding": 3,
        "bias": False,
        "input": [1, 3, 224, 224],
    }
    (tmp_path / "net.json").write_text(json.dumps({"layers": [spec]}))
    (tmp_path / "net.yaml").write_text(json.dumps([spec]))
    (tmp_path / "net.jsonl").write_text(json.dumps(spec) + "\n")
    ways = [
        layers("summary", STEM, *INPUT),
        layers("summary", STEM, "-i", "1x3x224x224"),
        layers("summary", *FLAGS),
        *[layers("summary", str(tmp_path / name)) for name in ("net.json", "net.yaml", "net.jsonl")],
        layers("summary", "-", *INPUT, stdin=f"  (0): {STEM}\n".encode()),
        layers("summary", "-", stdin=json.dumps({"layers": [spec]}).encode()),
    ]
    numbers = [
        {key: layer[key] for key in ("type", "input", "output", "params", "macs", "macs_nonpad")} for (layer,) in ways
    ]
    assert all(each == numbers[0] for each in numbers)
    assert numbers[0]["output"] == [1, 64, 112, 112]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (NET, 2),
        ('{"input": [1, 3, 9, 9], "layers": [{"type": "Conv2d", "out_channels": 8, "kernel_size": 3}]}', 1),
        (
            (
                '{"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "input": [1, 3, 9, 9]}\n'
                '{"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "name": "b"}\n'
            ),
            2,
        ),
        (
            (
                "Sequential(\n"
                "  (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))\n"
                "  (1): Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1))\n"
                ")\n"
            ),
            2,
        ),
    ],
    ids=["yaml", "json", "jsonl", "printed"],
)
def test_standard_input(text: str, count: int) -> None:
    argv = ("-",) if "input" in text else ("-", "-i", "1,3,9,9")
    assert len(layers("shape", *argv, stdin=text.encode())) == count


def test_empty_standard_input_is_wrong() -> None:
    ran = run("shape", "-")
    assert ran.code == 2
    assert "empty" in ran.err


def test_files_and_spelled_layers_together(net: Path) -> None:
    found = report("shape", str(net), "Conv2d(3, 4, 3)", str(net), "Conv2d(4, 4, 3)", "-i", "1,3,16,16")
    assert [len(one["layers"]) for one in found["reports"]] == [2, 2, 2]
    assert all(one["input"] == [1, 3, 16, 16] for one in found["reports"])


def test_a_descriptor_brings_its_input() -> None:
    (layer,) = layers("shape", "mb1_ic3oc64_ih224oh112kh7sh2ph3")
    assert layer["output"] == [1, 64, 112, 112]


def test_channels_last_by_flag() -> None:
    (layer,) = layers("shape", "Conv1d(256, 128, 3)", "-i", "32,15,256", "--input-layout", "channels_last")
    assert layer["output"] == [32, 13, 128]


def test_numbers_of_the_contract() -> None:
    (layer,) = layers("summary", STEM, *INPUT)
    assert (layer["params"], layer["macs"], layer["macs_nonpad"], layer["flops"]) == (
        9408,
        118013952,
        116214528,
        236027904,
    )
    (up,) = layers(
        "flops", "ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)", "-i", "1,16,10,10", "--backward"
    )
    assert (up["macs"], up["macs_kept"], up["macs_zero_insert"]) == (115200, 107648, 460800)
    assert up["backward"]["macs"] == 230400


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.yaml")), ids=lambda path: str(path.stem))
def test_every_sample_is_summarised(path: Path) -> None:
    ran = run("summary", str(path))
    assert (ran.code, ran.err) == (0, "")


def test_schema_is_the_schema(tmp_path: Path) -> None:
    assert json.loads(run("schema").out) == schema()
    there = tmp_path / "schema.json"
    assert run("schema", "--output", str(there)) == (0, "", "")
    assert json.loads(there.read_text()) == schema()


@pytest.mark.parametrize("command", REPORTING)
@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown", "junit", "github", "html"])
def test_every_format_of_every_command(command: str, form: str) -> None:
    ran = run(command, STEM, *INPUT, "--format", form)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "" or ran.out.endswith("\n")
    assert "\x1b" not in ran.out
