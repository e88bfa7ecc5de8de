"""numpy's kernels against torch's over whole networks, against their peers, and what they hold in memory.

python benchmarks/kernels.py [--threads 1 --threads 2] [--seconds 0.5] [--only NAME] [--markdown | --json]

Every row is `convcli.bench` over the convolutions of one network: readings interleaved layer by layer, medians, summed.
Ratios are our time in units of torch's (torchvision's, where layers are deformable); the limit is numpy's bare matrix
product. On one thread CPU time is read, on more wall time: measure those on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import convcli
from convcli.plan import Network, Plan, Step, plan

NETWORKS = Path(__file__).resolve().parent.parent / "sample_configs" / "networks"
Table = tuple[list[str], list[list[str]]]


class Row(NamedTuple):
    """Layers of a network's file, by name and type, at a batch size, or a part of each; goal: the ratio, if any."""

    name: str
    file: str
    goal: float | None
    batch: int = 1
    grad: bool = False
    layers: str = "*"
    type: str = "*"
    part: str = ""


ROWS = (
    Row("ResNet-50, batch 1", "resnet50", 1.0),
    Row("ResNet-50, batch 8", "resnet50", 1.25, batch=8),
    Row("VGG16", "vgg16", 1.2),
    Row("MobileNetV2", "mobilenet_v2", 1.5),
    Row("ConvNeXt-T", "convnext_tiny", 2.0),
    Row("ResNeXt-50 32x4d, grouped layers", "resnext50_32x4d", 1.5, layers="*.conv2"),
    Row("DCGAN generator, transposed", "dcgan", 0.9),
    Row("U-Net decoder, transposed layers", "unet-decoder", 0.9, layers="up*"),
    Row("wav2vec2, 1-D", "wav2vec2", 0.9),
    Row("R3D-18, 3-D", "r3d_18", 1.4),
    Row("deformable ResNet-50, deformable", "resnet50-deformable", 0.25, type="DeformConv2dPack", part="deform_conv"),
    Row("deformable ResNet-50, with offsets predicted", "resnet50-deformable", None, type="DeformConv2dPack"),
    Row("ResNet-50, gradients", "resnet50", 0.9, grad=True),
)


def network(row: Row) -> Plan:
    """The row's layers, at its batch size."""
    found = convcli.load(NETWORKS / f"{row.file}.yaml")
    whole = plan(_batched(found, row.batch))
    steps = [s for s in whole.steps if fnmatchcase(s.name, row.layers) and fnmatchcase(s.type, row.type)]
    return Plan(whole.network, tuple(_part(step, row.part) if row.part else step for step in steps))


def _batched(found: Network, batch: int) -> Network:
    if found.input:
        found.input = (batch, *found.input[1:])
    for entry in found.entries:
        if entry.input:
            entry.input = (batch, *entry.input[1:])
    return found


def _part(step: Step, name: str) -> Step:
    """The part of that name of a composite, as a layer of its own."""
    (part,) = (part for part in step.layer.parts(step.x) if part.name == name)
    return Step(step.name, part.layer.kind, part.layer, step.batch, part.x, part.layer.output(part.x), step.field)


def measured(row: Row, threads: Sequence[int], seconds: float) -> dict[str, Any]:
    """The row's sums by number of threads, and the layers that are furthest behind on the first of them."""
    records = {count: convcli.bench(network(row), grad=row.grad, threads=count, seconds=seconds) for count in threads}
    for record in records.values():
        if record.interrupted:
            raise SystemExit(130)
        if record.exit_code:
            reasons = [(layer.name, layer.status, layer.reason, layer.missing) for layer in record.layers]
            raise SystemExit(f"{row.name}: not everything was measured: {reasons}")
    first = records[threads[0]]
    return {
        "name": row.name,
        "layers": first.totals.layers,
        "goal": row.goal,
        "runs": [
            {
                "threads": count,
                "clock": record.clock,
                "seconds": record.totals.seconds,
                "ratio": record.totals.ratios["torch"],
                "of_limit": record.totals.of_limit,
                "met": None if row.goal is None else record.totals.ratios["torch"] <= row.goal,
            }
            for count, record in records.items()
        ],
        "behind": [
            {"name": layer.name, "input": layer.input, "count": layer.count, "ratio": layer.ratios["torch"]}
            for layer in sorted(first.layers, key=excess, reverse=True)[:2]
        ],
    }


def excess(layer: Any) -> float:
    """Seconds by which our side is behind, all of the network's equal layers together."""
    seconds: float = layer.count * (layer.seconds["numpy"] - layer.seconds["torch"])
    return seconds


def main() -> int:
    """The tables, or their JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, action="append", help="repeatable, a column each; 1, if left out")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long each different layer is measured")
    parser.add_argument("--only", default="", help='rows whose name has this in it; "peers" and "memory" are rows')
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="tables for the docs")
    form.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # of this one
    found = collected(arguments.only.lower(), list(dict.fromkeys(arguments.threads or [1])), arguments.seconds)
    if not any(found.values()):
        parser.error(f"no row has {arguments.only!r} in its name")
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join(map(markdown if arguments.markdown else text, tables(found))))
    return 0


def collected(only: str, threads: list[int], seconds: float) -> dict[str, list[dict[str, Any]]]:
    """All that is asked for; each row is told on standard error as it is done."""
    import kernel_peers  # numpy comes with it, and reads how many threads it may use

    rows = []
    for row in ROWS:
        if only in row.name.lower():
            rows.append(measured(row, threads, seconds))
            ratios = ", ".join(f"{run['ratio']:.2f} on {run['threads']}" for run in rows[-1]["runs"])
            print(f"{row.name}: {ratios}", file=sys.stderr, flush=True)
    return {
        "networks": rows,
        "peers": kernel_peers.peers(seconds) if only in "peers" else [],
        "memory": kernel_peers.memory() if only in "memory" else [],
    }


def tables(found: dict[str, list[dict[str, Any]]]) -> Iterator[Table]:
    """(titles, rows) of each part that was measured."""
    if found["networks"]:
        runs = found["networks"][0]["runs"]
        columns = [title for run in runs for title in (_threads(run["threads"]), "goal met", "of the limit")]
        yield (["network", "goal", *columns, "furthest behind"], [_network(one) for one in found["networks"]])
    if found["peers"]:
        names = list(found["peers"][0]["times"])
        yield (
            ["times as long as ours", *names],
            [[one["layer"], *(f"{one['times'][name]:,.0f}" for name in names)] for one in found["peers"]],
        )
    if found["memory"]:
        yield (
            ["layer", "MiB held", "padded input", "above it", "within 2 MiB"],
            [_memory(one) for one in found["memory"]],
        )


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _network(one: dict[str, Any]) -> list[str]:
    goal = "" if one["goal"] is None else f"{one['goal']:.2f}"
    cells = [
        cell
        for run in one["runs"]
        for cell in (
            f"{run['ratio']:.2f}",
            {True: "yes", False: "no", None: ""}[run["met"]],
            f"{run['of_limit']['numpy']:.0%}",
        )
    ]
    return [one["name"], goal, *cells, ", ".join(f"{layer['name']} {layer['ratio']:.2f}" for layer in one["behind"])]


def _memory(one: dict[str, Any]) -> list[str]:
    extra, padded = one["extra_mib"], one["padded_input_mib"]
    return [one["layer"], f"{extra:.1f}", f"{padded:.1f}", f"{extra - padded:.1f}", "yes" if one["held"] else "no"]


def markdown(table: Table) -> str:
    """| network | goal | 1 thread | ..."""
    titles, rows = table
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def text(table: Table) -> str:
    """Columns two spaces apart."""
    titles, rows = table
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{size}}" for cell, size in zip(cells, widths, strict=True)).rstrip()
        for cells in (titles, *rows)
    )


if __name__ == "__main__":
    sys.exit(main())
