"""numpy's kernels against torch's over whole networks, their peers, and what they hold in memory.

python benchmarks/kernels.py [--threads 1] [--threads 2] [--seconds 0.5] [--only NAME] [--json]

Every row is `convcli.bench` over the convolutions of one network: readings interleaved layer by layer, medians, summed.
Peers that are not installed (scipy, onnx) are left out and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import convcli
from convcli import kernels
from convcli.plan import Network, Plan, plan

NETWORKS = Path(__file__).resolve().parent.parent / "sample_configs" / "networks"


class Row(NamedTuple):
    """One line of the table: `layers` of a network's file at a batch size; goal: numpy's time in units of torch's."""

    name: str
    file: str
    goal: float
    batch: int = 1
    grad: bool = False
    layers: str = "*"


ROWS = (
    Row("ResNet-50, batch 1", "resnet50", 1.0),
    Row("ResNet-50, batch 8", "resnet50", 1.25, batch=8),
    Row("VGG16", "vgg16", 1.2),
    Row("MobileNetV2", "mobilenet_v2", 1.5),
    Row("ConvNeXt-T", "convnext_tiny", 2.0),
    Row("ResNeXt-50 32x4d, grouped layers", "resnext50_32x4d", 1.5, layers="*.conv2"),
    Row("DCGAN generator (transposed)", "dcgan", 0.9),
    Row("U-Net decoder, transposed layers", "unet-decoder", 0.9, layers="up*"),
    Row("wav2vec2 (1-D)", "wav2vec2", 0.9),
    Row("R3D-18 (3-D)", "r3d_18", 1.4),
    Row("deformable ResNet-50, its packs", "resnet50-deformable", 0.25, layers="*.conv2"),
    Row("ResNet-50, gradients", "resnet50", 0.9, grad=True),
)


def network(row: Row) -> Plan:
    """The row's layers, at its batch size."""
    found = convcli.load(NETWORKS / f"{row.file}.yaml")
    whole = plan(_batched(found, row.batch))
    kept = tuple(step for step in whole.steps if fnmatchcase(step.name, row.layers))
    return Plan(whole.network, kept)


def _batched(found: Network, batch: int) -> Network:
    if found.input:
        found.input = (batch, *found.input[1:])
    for entry in found.entries:
        if entry.input:
            entry.input = (batch, *entry.input[1:])
    return found


def measured(row: Row, threads: int, seconds: float) -> dict[str, Any]:
    """The row's sums."""
    record = convcli.bench(network(row), grad=row.grad, threads=threads, seconds=seconds)
    totals = record.totals
    if not totals.layers:
        raise SystemExit(f"{row.name}: nothing was measured: {record.layers[:1]}")
    return {
        "name": row.name,
        "threads": threads,
        "layers": totals.layers,
        "numpy_seconds": totals.seconds["numpy"],
        "torch_seconds": totals.seconds["torch"],
        "ratio": totals.ratios["torch"],
        "of_limit": totals.of_limit,
        "goal": row.goal,
        "slowest": [
            {"name": layer.name, "input": layer.input, "ratio": layer.ratios["torch"], "excess": excess(layer)}
            for layer in sorted(record.layers, key=excess, reverse=True)[:3]
            if "torch" in layer.ratios
        ],
    }


def excess(layer: Any) -> float:
    """Seconds by which our side is behind, all of the network's equal layers together."""
    return layer.count * (layer.seconds.get("numpy", 0.0) - layer.seconds.get("torch", 0.0))


def peers(seconds: float) -> Iterator[dict[str, Any]]:
    """How many times longer others take for one 3x3 convolution, 16 -> 16 channels at 56x56."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 16, 56, 56), np.float32)
    weight = rng.standard_normal((16, 16, 3, 3), np.float32)
    calls: dict[str, Callable[[], Any]] = {"auto": lambda: kernels.conv(x, weight, padding=1)}
    calls["naive loops"] = lambda: kernels.conv(x[:, :, :10, :10], weight, padding=1, method="loops")
    if importlib.util.find_spec("scipy"):
        from scipy import signal

        calls["scipy.signal.correlate"] = lambda: [
            sum(signal.correlate(x[0, i], weight[o, i], "same") for i in range(16)) for o in range(16)
        ]
    if importlib.util.find_spec("onnx"):
        calls["onnx.reference"] = _onnx_reference(x, weight)
    for call in calls.values():
        call()
    readings: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + max(1.0, 4 * seconds)
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.process_time_ns()
            call()
            readings[name].append(time.process_time_ns() - start)
    share = {"naive loops": 56 * 56 / 100}  # a hundred positions were worked out
    for name in list(calls)[1:]:
        yield {"name": name, "times": median(readings[name]) * share.get(name, 1.0) / median(readings["auto"])}


def _onnx_reference(x: Any, weight: Any) -> Callable[[], Any]:
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in (("x", x), ("w", weight))]
    graph = helper.make_graph([node], "one", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    session = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]))
    return lambda: session.run(None, {"x": x, "w": weight})


def memory() -> dict[str, float]:
    """MiB held beyond inputs and output by a 3x3 convolution, 64 -> 64 channels at 224x224, and its padded input."""
    x, weight = np.ones((1, 64, 224, 224), np.float32), np.ones((64, 64, 3, 3), np.float32)
    kernels.conv(x, weight, padding=1)
    tracemalloc.start()
    y = kernels.conv(x, weight, padding=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    padded = 64 * 226 * 226 * 4
    return {"extra_mib": (peak - y.nbytes) / 2**20, "padded_input_mib": padded / 2**20}


def main() -> int:
    """The table, or its JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, action="append", help="repeatable; 1, if left out")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long each different layer is measured")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.only.lower() in row.name.lower()]
    table = []
    for row in rows:
        for threads in arguments.threads or [1]:
            table.append(measured(row, threads, arguments.seconds))
            if not arguments.json:
                print(line(table[-1]), flush=True)
    others = [] if arguments.only else list(peers(arguments.seconds))
    held = memory()
    if arguments.json:
        print(json.dumps({"networks": table, "peers": others, "memory": held}, indent=2))
        return 0
    for peer in others:
        print(f"{peer['name']}: {peer['times']:,.0f} times as long as ours")
    print(f"extra memory {held['extra_mib']:.1f} MiB, {held['padded_input_mib']:.1f} of it the padded input")
    return 0


def line(found: dict[str, Any]) -> str:
    """| ResNet-50, batch 1 | 1 thread | 1.12 | 1.00 | 88 % | worst layers |"""
    met = "met" if found["ratio"] <= found["goal"] else "not met"
    worst = ", ".join(f"{layer['name']} {layer['ratio']:.2f}" for layer in found["slowest"])
    return (
        f"| {found['name']} | {found['threads']} | {found['ratio']:.2f} | {found['goal']:.2f} | {met} "
        f"| {found['of_limit']['numpy']:.0%} | {worst} |"
    )


if __name__ == "__main__":
    sys.exit(main())
