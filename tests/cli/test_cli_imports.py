"""What a command costs before it says a word: the modules that it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli_runs import INPUT, ROOT, SAMPLES, STEM, outside

# Typer loads difflib and msgspec decimal, whatever we do.
HEAVY = {
    "numpy",
    "torch",
    "torchvision",
    "rich",
    "pydantic",
    "yaml",
    "pebble",
    "junitparser",
    "concurrent.futures",
    "multiprocessing",
    "asyncio",
    "fractions",
    "http",
    "urllib.request",
    "email",
    "hypothesis",
    "statistics",
    "tempfile",
    "xml",
    "PIL",
}
OWN = {"convcli.kernels", "convcli.verifier.run", "convcli.backends", "convcli.report.junit", "convcli.report.terminal"}
PROBE = """
import sys
sys.argv = ["convcli", *sys.argv[1:]]
from convcli.__main__ import main
try:
    main()
except SystemExit as end:
    code = end.code or 0
else:
    code = 0
sys.stderr.write("\\n".join(sys.modules))
sys.exit(code)
"""
YAML = str(SAMPLES / "networks" / "resnet50.yaml")


def loaded(*argv: str) -> set[str]:
    """The modules that a command has loaded when it is done, off a terminal."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *argv],
        capture_output=True,
        text=True,
        env=outside({"PYTHONPATH": str(ROOT)}),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stderr.split("\n"))


@pytest.mark.parametrize(
    "argv",
    [
        ("--version",),
        ("--help",),
        ("shape", "--help"),
        ("schema",),
        ("shape", STEM, *INPUT),
        ("params", STEM, *INPUT),
        ("flops", STEM, *INPUT, "--backward"),
        ("summary", STEM, *INPUT),
        ("summary", STEM, *INPUT, "--format", "json"),
        ("summary", "--type", "Conv2d", *INPUT, "--out-channels", "8", "--kernel-size", "3"),
        ("receptive-field", STEM, *INPUT),
        ("receptive-field", str(SAMPLES / "worked" / "gridding.yaml"), "--format", "json"),
        ("summary", YAML),
        ("summary", YAML, "--format", "csv"),
        ("check", YAML),
        ("check", YAML, "--format", "markdown"),
        ("diff", YAML, YAML),
        ("diff", STEM, STEM, *INPUT, "--format", "json"),
        ("summary", YAML, "--format", "markdown"),
        ("summary", YAML, "--format", "html"),
        ("summary", str(SAMPLES / "kinds" / "layers.jsonl"), "--format", "github"),
        ("explain", STEM, *INPUT),
        ("explain", YAML, "--layer", "conv1", "--format", "json"),
        ("draw", STEM, *INPUT),
        ("draw", STEM, *INPUT, "--format", "svg", "--animate"),
        ("draw", "DeformConv2d(4, 4, 3)", "-i", "1,4,9,9"),
        ("draw", YAML, "--picture", "field"),
        ("draw", YAML, "--picture", "costs", "--format", "svg"),
        ("solve", "224", "112"),
        ("solve", "224", "112", "--layers", "2", "--format", "json"),
        ("solve", "Conv2d(6, 8, 3, groups=4)", "-i", "1,6,32,32"),
        ("solve", "mat1 and mat2 shapes cannot be multiplied (4x25088 and 512x10)"),
    ],
    ids=lambda argv: " ".join(word.rpartition("/")[2] for word in argv),
)
def test_the_calculator_loads_nothing_heavy(argv: tuple[str, ...]) -> None:
    modules = loaded(*argv)
    assert not HEAVY & modules
    assert not OWN & modules


def test_yaml_is_read_only_where_there_is_yaml() -> None:
    assert "yaml_rs" in loaded("shape", YAML)
    assert "yaml_rs" not in loaded("shape", STEM, *INPUT)
    assert "yaml_rs" not in loaded("shape", str(SAMPLES / "kinds" / "conv2d.json"))


def test_importing_convcli_loads_next_to_nothing() -> None:
    code = "import convcli, sys; convcli.parse; convcli.load; print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=outside({"PYTHONPATH": str(ROOT)}), check=True
    )
    assert not HEAVY & set(ran.stdout.split())
    assert "typer" not in ran.stdout.split()


def test_a_layer_by_flags_loads_no_reader_of_files() -> None:
    readers = {
        f"convcli.{name}" for name in ("spec.load", "spec.text", "spec.printed", "spec.benchdnn", "report.write")
    }
    assert not readers & loaded("summary", "--type", "Conv2d", *INPUT, "--out-channels", "8", "--kernel-size", "3")


def test_what_a_start_made_is_not_searched_for_garbage_and_later_things_are() -> None:
    code = "import gc" + PROBE.replace('"\\n".join(sys.modules)', 'f"{gc.isenabled()} {gc.get_freeze_count()}"')
    ran = subprocess.run(
        [sys.executable, "-c", code, "shape", STEM, *INPUT],
        capture_output=True,
        text=True,
        env=outside({"PYTHONPATH": str(ROOT)}),
        check=True,
    )
    enabled, frozen = ran.stderr.split()
    assert enabled == "True"
    assert int(frozen) > 10_000
