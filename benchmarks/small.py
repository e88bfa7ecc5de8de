"""Small random layers: is `auto` anywhere slower than an obvious form of the same layer, and what does a call cost?

python benchmarks/small.py [--layers 300] [--seconds 0.05] [--seed 0] [--json]

Every layer is timed with `auto` and with every other method but the loops, readings interleaved in turns of any order,
CPU time, one thread; forward and, as a layer of its own, backward. The least reading counts: what else runs only adds
to calls this short. Fuzzing runs millions of such layers: the call itself counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before numpy is imported

import numpy as np  # noqa: E402

from convcli import kernels  # noqa: E402

SLOWER = 1.2  # what counts as slower
NOT_OBVIOUS = ("auto", "loops", "matrix", "fft", "winograd")


def main() -> int:
    """The layers on which `auto` is slower than another form, and what the calls took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=0.05, help="about how long a layer is measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    found = [measured(rng, options.seconds) for _ in range(options.layers)]
    slower = sorted((row for row in found if row["ratio"] > SLOWER), key=lambda row: -row["ratio"])
    if options.json:
        print(json.dumps({"layers": found, "slower": slower}, indent=2))
        return 0
    for row in slower:
        print(f"{row['ratio']:.2f} times {row['best']}: {row['layer']}")
    print(f"auto is slower than another form by more than {SLOWER - 1:.0%} on {len(slower)} of {len(found)} layers")
    for function in kernels.METHODS:
        times = [row["microseconds"]["auto"] for row in found if row["function"] == function]
        if times:
            print(f"{function}: {median(times):.0f} us a call ({len(times)} layers)")
    return 0


def measured(rng: np.random.Generator, seconds: float) -> dict[str, Any]:
    """One random layer: the microseconds of each method, and how auto's compare with the fastest other's."""
    function, arrays, keywords = layer(rng)
    methods = [name for name in kernels.METHODS[function] if name == "auto" or name not in NOT_OBVIOUS]
    calls = {name: partial(getattr(kernels, function), *arrays, **keywords, method=name) for name in methods}
    times = interleaved(calls, seconds)
    if max(times["auto"] / time for time in times.values()) > SLOWER:  # a busy machine is no proof: once more
        times = interleaved(calls, 4 * seconds)
    best = min((name for name in times if name != "auto"), key=lambda name: times[name])
    shapes = ", ".join("None" if array is None else str(array.shape) for array in arrays)
    return {
        "function": function,
        "layer": f"{function}({shapes}, {keywords})",
        "microseconds": times,
        "best": best,
        "ratio": times["auto"] / times[best],
    }


def interleaved(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The least microseconds of CPU time of one run of each."""
    readings: dict[str, list[int]] = {name: [] for name in calls}
    turns = np.random.default_rng(0)
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(readings["auto"]) < 5:
        for name in turns.permutation(list(calls)):
            start = time.process_time_ns()
            for _ in range(3):
                calls[name]()
            readings[name].append(time.process_time_ns() - start)
    return {name: min(found) / 3000 for name, found in readings.items()}


def layer(rng: np.random.Generator) -> tuple[str, list[Any], dict[str, Any]]:
    """(function, arrays, keywords) of a layer of the sizes that fuzzing draws, of every kind."""
    kind = rng.choice(("conv", "conv", "conv_transpose", "deform_conv2d"))
    backward = bool(rng.integers(2))
    rank = 2 if kind == "deform_conv2d" else int(rng.integers(1, 4))
    groups, per_group, outs = (int(rng.integers(1, most)) for most in (5, 7, 7))
    if kind == "conv" and rng.random() < 0.3:
        per_group = outs = 1  # depthwise
        groups = int(rng.integers(2, 20))
    size = {1: 40, 2: 14, 3: 7}[rank]
    kernel = [int(rng.integers(1, 5)) for _ in range(rank)]
    stride = [int(rng.integers(1, 4)) for _ in range(rank)]
    dilation = [int(rng.integers(1, 3)) for _ in range(rank)]
    padding = [int(rng.integers(0, 3)) for _ in range(rank)]
    space = [d * (k - 1) + 1 + int(rng.integers(0, size)) for d, k in zip(dilation, kernel, strict=True)]
    n = int(rng.integers(1, 4))
    keywords: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    x = floats(rng, n, groups * per_group, *space)
    if kind == "conv_transpose":
        keywords |= {"groups": groups, "padding": 0}
        arrays = [x, floats(rng, groups * per_group, outs, *kernel)]
        y = kernels.conv_transpose(*arrays, **keywords)
    elif kind == "conv":
        keywords |= {"groups": groups}
        arrays = [x, floats(rng, groups * outs, per_group, *kernel)]
        y = kernels.conv(*arrays, **keywords)
    else:
        weight = floats(rng, groups * outs, per_group, *kernel)
        out = kernels.conv(x, weight, groups=groups, **keywords).shape[2:]
        taps = kernel[0] * kernel[1]
        arrays = [x, floats(rng, n, 2 * taps, *out), weight]
        mask = floats(rng, n, taps, *out)
        y = kernels.deform_conv2d(*arrays, None, mask, **keywords)
        if not backward:
            return "deform_conv2d", [*arrays, None, mask], keywords
        return "deform_conv2d_backward", [floats(rng, *y.shape), *arrays, mask], keywords
    return (
        (f"{kind}_backward", [floats(rng, *y.shape), *arrays], keywords) if backward else (str(kind), arrays, keywords)
    )


def floats(rng: np.random.Generator, *shape: int) -> Any:
    """Ordinary float32 numbers."""
    return rng.standard_normal(shape, np.float32)


if __name__ == "__main__":
    sys.exit(main())
