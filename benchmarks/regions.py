"""RoI pooling: the fast form against the plain loops and torchvision's RoIAlign, medians of interleaved readings.

python benchmarks/regions.py [--readings 5] [--json]

A detector's head: 7x7 bins on a map of 50x68 cells, 2x2 samples to a bin or as many as the box has cells. torchvision
has no offsets; its time is that of the same boxes without. One thread each.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np

from convcli import kernels


def data(channels: int, regions: int, dtype: str = "float32") -> dict[str, Any]:
    """x, boxes of 30 to 400 pixels, normal offsets, masks, dy."""
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 500, (regions, 2)), rng.uniform(30, 400, (regions, 2))
    found = {
        "x": rng.standard_normal((1, channels, 50, 68)),
        "rois": np.column_stack((np.zeros(regions), corner, corner + size)),
        "offset": rng.standard_normal((regions, 2, 7, 7)),
        "mask": rng.random((regions, 1, 7, 7)),
        "dy": rng.standard_normal((regions, channels, 7, 7)),
    }
    return {name: array.astype(dtype) for name, array in found.items()}


def calls(channels: int, regions: int, ratio: int, *, loops: bool) -> dict[str, Callable[[], object]]:
    """What is timed: both directions by `gather`, and by `loops` or torchvision."""
    given = data(channels, regions)
    dy = given.pop("dy")
    how: dict[str, Any] = {"output_size": 7, "spatial_scale": 1 / 16, "sampling_ratio": ratio}
    methods = ("gather", "loops") if loops else ("gather",)
    found: dict[str, Callable[[], object]] = {}
    for method in methods:
        found[f"{method}, forward"] = lambda m=method: kernels.deform_roi_pool(**given, **how, method=m)  # type: ignore[misc]
        found[f"{method}, gradients"] = lambda m=method: kernels.deform_roi_pool_backward(dy, **given, **how, method=m)  # type: ignore[misc]
    return found if loops else {**found, **torchvision_calls(given, dy, ratio)}


def torchvision_calls(given: Mapping[str, Any], dy: Any, ratio: int) -> dict[str, Callable[[], object]]:
    """RoIAlign and its gradient."""
    import torch
    from torchvision.ops import roi_align

    torch.set_num_threads(1)
    x, rois, seed = (torch.from_numpy(array) for array in (given["x"], given["rois"], dy))
    x.requires_grad_()

    def forward() -> Any:
        return roi_align(x, rois, 7, 1 / 16, ratio or -1, aligned=True)

    y = forward()
    return {
        "torchvision, forward": forward,
        "torchvision, gradients": lambda: torch.autograd.grad(y, x, seed, retain_graph=True),
    }


def measured(timed: Mapping[str, Callable[[], object]], readings: int) -> dict[str, float]:
    """The median of each, in seconds, readings in turn."""
    found: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(readings + 1):
        for name, call in timed.items():
            start = perf_counter()
            call()
            if number:  # the first one warms up
                found[name].append(perf_counter() - start)
    return {name: median(times) for name, times in found.items()}


def main() -> int:
    """The table, or its JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for channels, regions, ratio, loops in (
        (16, 8, 2, True),
        (64, 8, 2, True),
        (256, 64, 2, False),
        (256, 64, 0, False),
    ):
        times = measured(calls(channels, regions, ratio, loops=loops), 1 if loops else arguments.readings)
        other = "loops" if loops else "torchvision"
        for way in ("forward", "gradients"):
            ours, theirs = times[f"gather, {way}"], times[f"{other}, {way}"]
            rows.append({"channels": channels, "boxes": regions, "sampling_ratio": ratio, "way": way, "other": other,
                         "seconds": ours, "other_seconds": theirs, "ratio": theirs / ours})  # fmt: skip
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        samples = row["sampling_ratio"] or "by the box"
        where = f"{row['channels']} channels, {row['boxes']} boxes, samples {samples}, {row['way']}"
        print(f"{where}: {1e3 * row['seconds']:.2f} ms, {row['ratio']:.3g} times as fast as {row['other']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
