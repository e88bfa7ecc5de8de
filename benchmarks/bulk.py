"""100,000 layers: `convcli shape` end to end against the YAML parser alone, and the same layers as JSON lines.

Every run is a process of its own, timed from outside (CPU time, user + system) with its peak memory; the three are
interleaved and the medians compared. The goals: the YAML run within twice the parser alone; JSON lines 10 times
faster than the YAML run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
PARSER = "import sys; from convcli.spec.text import decode; decode(open(sys.argv[1], 'rb').read(), sys.argv[1])"
GOAL_YAML, GOAL_LINES = 2.0, 10.0
Measured = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the measurement as JSON instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        medians = measured(Path(folder), options.layers, options.repeats)
    report = {"layers": options.layers, "repeats": options.repeats, "runs": medians, "ratios": ratios(medians)}
    print(json.dumps(report, indent=1) if options.json else table(report))
    return 0


def layers(count: int) -> Iterator[dict[str, Any]]:
    """Realistic layers of all kinds, each with its own input; the same ones at every run."""
    draw = random.Random(1)  # noqa: S311 - data, not secrets
    for i in range(count):
        channels, size = 8 * draw.randint(1, 64), draw.choice((7, 14, 28, 56, 112, 224))
        yield {
            "name": f"layer{i}",
            **KINDS[i % len(KINDS)](draw, channels),
            "input": [draw.randint(1, 8), channels, size, size + draw.randint(0, 9)],
        }


def _standard(draw: random.Random, channels: int) -> dict[str, Any]:
    del channels
    kernel = draw.choice((1, 3, 5, 7))
    return {
        "type": "Conv2d",
        "out_channels": 8 * draw.randint(1, 64),
        "kernel_size": kernel,
        "stride": draw.randint(1, 2),
        "padding": kernel // 2,
    }


def _grouped(draw: random.Random, channels: int) -> dict[str, Any]:
    return {
        "type": "Conv2d",
        "out_channels": channels,
        "kernel_size": 3,
        "padding": 1,
        "groups": draw.choice((2, 4, 8)),
        "bias": False,
    }


def _depthwise(draw: random.Random, channels: int) -> dict[str, Any]:
    return {
        "type": "Conv2d",
        "out_channels": channels,
        "kernel_size": draw.choice((3, 5)),
        "padding": 2,
        "groups": channels,
        "bias": False,
    }


def _dilated(draw: random.Random, channels: int) -> dict[str, Any]:
    del channels
    dilation = draw.randint(2, 6)
    return {
        "type": "Conv2d",
        "out_channels": 8 * draw.randint(1, 64),
        "kernel_size": 3,
        "padding": dilation,
        "dilation": dilation,
    }


def _transposed(draw: random.Random, channels: int) -> dict[str, Any]:
    del channels
    return {
        "type": "ConvTranspose2d",
        "out_channels": 8 * draw.randint(1, 32),
        "kernel_size": 3,
        "stride": 2,
        "padding": 1,
        "output_padding": 1,
    }


def _separable(draw: random.Random, channels: int) -> dict[str, Any]:
    del channels
    return {"type": "SeparableConv2d", "out_channels": 8 * draw.randint(1, 64), "kernel_size": 3, "padding": 1}


def _deformable(draw: random.Random, channels: int) -> dict[str, Any]:
    del channels
    return {
        "type": "DeformConv2d",
        "out_channels": 8 * draw.randint(1, 64),
        "kernel_size": 3,
        "padding": 1,
        "modulated": draw.random() < 0.5,
    }


KINDS = (
    _standard,
    _grouped,
    _standard,
    _depthwise,
    _standard,
    _dilated,
    _transposed,
    _separable,
    _standard,
    _deformable,
)


def write_yaml(path: Path, count: int) -> None:
    """A mapping per layer, a field per line: the form people's programs write."""
    with path.open("w", encoding="utf-8") as file:
        file.write("name: bulk\nlayers:\n")
        for layer in layers(count):
            fields = [f"{name}: {json.dumps(value)}" for name, value in layer.items()]
            file.write("  - " + "\n    ".join(fields) + "\n")


def write_lines(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(layer) + "\n" for layer in layers(count))


def measured(folder: Path, count: int, repeats: int) -> dict[str, Measured]:
    """Median CPU and wall seconds and peak MiB of each run."""
    big, lines = folder / "big.yaml", folder / "big.jsonl"
    write_yaml(big, count)
    write_lines(lines, count)
    shape = [sys.executable, "-m", "convcli", "shape"]
    commands = {
        "the YAML parser alone": [sys.executable, "-c", PARSER, str(big)],
        "convcli shape big.yaml": [*shape, str(big), "--format", "json", "--output", str(folder / "yaml.json")],
        "convcli shape big.jsonl": [*shape, str(lines), "--format", "json", "--output", str(folder / "lines.json")],
    }
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            runs[name].append(run(command))
    shapes_agree(folder / "yaml.json", folder / "lines.json", count)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in runs.items()
    }


def run(command: Sequence[str]) -> Measured:
    """CPU and wall seconds and peak MiB of one process; an exception when it does not exit with 0."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "wall_seconds": time.perf_counter() - started,
        "peak_mib": peak,
    }


def shapes_agree(yaml_report: Path, lines_report: Path, count: int) -> None:
    """Both runs must have worked out the same outputs, one for each layer: a fast run that did less is no result."""
    outputs = [
        [layer["output"] for report in json.loads(path.read_bytes())["reports"] for layer in report["layers"]]
        for path in (yaml_report, lines_report)
    ]
    if outputs[0] != outputs[1] or len(outputs[0]) != count:
        raise SystemExit(f"the reports disagree: {len(outputs[0])} and {len(outputs[1])} outputs for {count} layers")


def ratios(medians: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """The two goals, by CPU time."""
    parser, yaml, lines = (medians[name]["cpu_seconds"] for name in medians)
    return {
        "YAML run / parser alone": {
            "ratio": yaml / parser,
            "goal": f"at most {GOAL_YAML:g}",
            "held": yaml <= GOAL_YAML * parser,
        },
        "YAML run / JSON lines run": {
            "ratio": yaml / lines,
            "goal": f"at least {GOAL_LINES:g}",
            "held": yaml >= GOAL_LINES * lines,
        },
    }


def table(report: Mapping[str, Any]) -> str:
    lines = [
        f"{report['layers']} layers, medians of {report['repeats']}",
        "",
        "| run | CPU s | wall s | peak MiB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {one['cpu_seconds']:.2f} | {one['wall_seconds']:.2f} | {one['peak_mib']:.0f} |"
        for name, one in report["runs"].items()
    ]
    lines += ["", "| ratio | measured | goal | held |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {one['ratio']:.2f} | {one['goal']} | {'yes' if one['held'] else 'no'} |"
        for name, one in report["ratios"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
