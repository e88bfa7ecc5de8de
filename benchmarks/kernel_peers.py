"""One convolution at a time: how much longer other implementations take, and what ours holds in memory.

`kernels.py` runs both, on one thread. Peers that are not installed (scipy, onnx) have no column.
"""

from __future__ import annotations

import importlib
import importlib.util
import tracemalloc
from collections.abc import Callable
from math import prod
from statistics import median
from time import process_time_ns
from typing import Any, NamedTuple

import numpy as np

from convcli import kernels
from convcli.kernels.windows import last
from convcli.timing.measure import interleaved

Calls = dict[str, Callable[[], Any]]
ROOM = 2 * 2**20  # bytes that a dense layer may hold besides its padded input
OURS, LOOPS = "auto", "naive loops"
LOOPED = 4  # positions along each axis that the naive loops work out: their time for all of them follows


class Layer(NamedTuple):
    """A dense layer: x, weight, and the same stride, padding and dilation on every axis."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """64x3x3 on 1x64x56x56, stride 2"""
        words = [f"{'x'.join(map(str, self.weight))} on {'x'.join(map(str, self.x))}"]
        words += [f"{name} {value}" for name in ("stride", "dilation") if (value := getattr(self, name)) != 1]
        return ", ".join(words + [self.dtype] * (self.dtype != "float32"))

    @property
    def keywords(self) -> dict[str, Any]:
        """As `kernels.conv` takes them."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}


COMPARED = (
    Layer((1, 16, 2000), (16, 16, 3)),
    Layer((1, 16, 56, 56), (16, 16, 3, 3)),
    Layer((1, 64, 28, 28), (64, 64, 3, 3)),
    Layer((1, 8, 12, 14, 14), (8, 8, 3, 3, 3)),
)
HELD = (
    Layer((1, 64, 112, 112), (64, 64, 3, 3)),
    Layer((1, 64, 224, 224), (64, 64, 3, 3)),
    Layer((1, 64, 448, 448), (64, 64, 3, 3)),
    Layer((1, 512, 28, 28), (512, 512, 3, 3)),
    Layer((8, 256, 14, 14), (256, 256, 3, 3), dtype="float64"),
    Layer((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    Layer((1, 64, 128, 128), (64, 64, 3, 3), padding=4, dilation=4),
    Layer((1, 512, 16000), (512, 512, 3)),
    Layer((1, 1, 160000), (512, 1, 10), stride=5, padding=0),
    Layer((1, 64, 16, 112, 112), (64, 64, 3, 3, 3)),
)


def peers(seconds: float) -> list[dict[str, Any]]:
    """For every layer the time of each peer in units of ours; each has given the same result first."""
    return [_compared(layer, seconds) for layer in COMPARED]


def _compared(layer: Layer, seconds: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(layer.x, np.float32), rng.standard_normal(layer.weight, np.float32)
    corner = x[last(*[slice(LOOPED + 2)] * (x.ndim - 2))]
    calls: Calls = {
        OURS: lambda: kernels.conv(x, weight, padding=1),
        LOOPS: lambda: kernels.conv(corner, weight, method="loops"),
    }
    if importlib.util.find_spec("scipy"):
        calls["scipy.signal"] = _scipy(x, weight)
    if importlib.util.find_spec("onnx"):
        calls["onnx.reference"] = _onnx_reference(x, weight)
    expected = calls[OURS]()
    inner = expected[last(*[slice(1, 1 + LOOPED)] * (x.ndim - 2))]
    for name, call in calls.items():
        if not np.allclose(call(), inner if name == LOOPS else expected, rtol=1e-3, atol=1e-3):
            raise SystemExit(f"{name} is something else than our convolution: {layer.name}")
    readings = {name: median(found) for name, found in interleaved(calls, process_time_ns, seconds).items()}
    readings[LOOPS] *= prod(layer.x[2:]) / LOOPED ** (x.ndim - 2)
    return {"layer": layer.name, "times": {name: readings[name] / readings[OURS] for name in list(calls)[1:]}}


def _scipy(x: Any, weight: Any) -> Callable[[], Any]:
    """A correlation for every pair of channels, as people write it; scipy takes the Fourier transform where it pays."""
    signal = importlib.import_module("scipy.signal")

    def call() -> Any:
        sums = [sum(signal.correlate(x[0, i], w[i], "same") for i in range(len(w))) for w in weight]
        return np.stack(sums)[None]

    return call


def _onnx_reference(x: Any, weight: Any) -> Callable[[], Any]:
    onnx, reference = importlib.import_module("onnx"), importlib.import_module("onnx.reference")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = make.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1] * (x.ndim - 2))
    given = [make.make_tensor_value_info(name, kind, array.shape) for name, array in (("x", x), ("w", weight))]
    graph = make.make_graph([node], "one", given, [make.make_tensor_value_info("y", kind, None)])
    session = reference.ReferenceEvaluator(make.make_model(graph, opset_imports=[make.make_opsetid("", 19)]))
    return lambda: session.run(None, {"x": x, "w": weight})[0]


def memory() -> list[dict[str, Any]]:
    """MiB that each layer holds at its peak beyond x, weight and y, and its padded input."""
    return [_held(layer) for layer in HELD]


def _held(layer: Layer) -> dict[str, Any]:
    x, weight = np.ones(layer.x, layer.dtype), np.ones(layer.weight, layer.dtype)
    tracemalloc.start()
    y = kernels.conv(x, weight, **layer.keywords)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    padded = prod(layer.x[:2]) * prod(size + 2 * layer.padding for size in layer.x[2:]) * x.itemsize
    padded *= layer.padding > 0  # x itself is, where there is none
    extra = peak - y.nbytes
    return {
        "layer": layer.name,
        "extra_mib": extra / 2**20,
        "padded_input_mib": padded / 2**20,
        "held": extra <= padded + ROOM,
    }
