"""What a command costs to start: CPU time (user + system) of each command against that of `python -c pass`.

The repeats of all commands are interleaved, so that a noisy machine disturbs them alike, and the medians are compared.
The goals: 7 times `pass` for one layer by flags, 9 times for `summary` on a YAML of 100 layers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
LAYER = shlex.split("--type Conv2d -i 1,3,224,224 --out-channels 64 --kernel-size 7 --stride 2 --padding 3")
COMMANDS = ("shape", "params", "flops", "summary")
GOAL_ONE_LAYER, GOAL_100_LAYERS = 7.0, 9.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="the measurement as JSON instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "layers.yaml"
        spec.write_text(hundred_layers(), encoding="utf-8")
        seconds = medians(commands(spec), options.repeats)
    rows = [row(name, value, seconds["python -c pass"]) for name, value in seconds.items()]
    print(json.dumps({"repeats": options.repeats, "rows": rows}, indent=1) if options.json else table(rows))
    return 0


def commands(spec: Path) -> dict[str, list[str]]:
    """What is measured, by name; `pass` first, for the ratios."""
    convcli = [sys.executable, "-m", "convcli"]
    one_layer = {f"convcli {name}, one layer by flags": [*convcli, name, *LAYER] for name in COMMANDS}
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        **one_layer,
        "convcli summary, YAML of 100 layers": [*convcli, "summary", str(spec)],
    }


def hundred_layers() -> str:
    """A spec as people write it: one chain of convolutions, each channel count and size a little different."""
    lines = ["name: hundred-layers", "input: [1, 3, 224, 224]", "layers:"]
    for i in range(100):
        kernel = (1, 3, 5)[i % 3]
        lines.append(
            f"  - {{name: conv{i}, type: Conv2d, out_channels: {16 + i}, "
            f"kernel_size: {kernel}, padding: {kernel // 2}, bias: false}}"
        )
    return "\n".join(lines) + "\n"


def medians(named: Mapping[str, Sequence[str]], repeats: int) -> dict[str, float]:
    """CPU seconds of each command, the median of interleaved repeats; one run of each first, for the bytecode."""
    seconds: dict[str, list[float]] = {name: [] for name in named}
    for turn in range(repeats + 1):
        for name, command in named.items():
            once = cpu_seconds(command)
            if turn:
                seconds[name].append(once)
    return {name: statistics.median(values) for name, values in seconds.items()}


def cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of the command and its children; an exception when it does not exit with 0.

    With bytecode, as after an installation, whatever PYTHONDONTWRITEBYTECODE says here: without it a start takes twice
    as long, for the compiler.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, seconds: float, floor: float) -> dict[str, object]:
    """One line of the table: milliseconds, the ratio to `pass`, the goal and whether it is held."""
    goal = GOAL_ONE_LAYER if "one layer" in name else GOAL_100_LAYERS if "100 layers" in name else None
    return {
        "command": name,
        "cpu_ms": round(1000 * seconds, 1),
        "ratio": round(seconds / floor, 2),
        "goal": goal,
        "held": None if goal is None else seconds <= goal * floor,
    }


def table(rows: Sequence[Mapping[str, object]]) -> str:
    lines = ["| command | CPU ms | times `pass` | goal | held |", "|---|---|---|---|---|"]
    for entry in rows:
        goal, held = ("", "") if entry["goal"] is None else (f"{entry['goal']:g}x", "yes" if entry["held"] else "no")
        lines.append(f"| {entry['command']} | {entry['cpu_ms']} | {entry['ratio']} | {goal} | {held} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
