"""ONNX Runtime's CPU kernels as a backend, forward only. Only worker processes import it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import onnx
import onnxruntime

from convcli.backends import Facts, Unsupported, onnx_model
from convcli.layers import Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

LACKING = ("NOT_IMPLEMENTED", "Could not find an implementation")
_threads = 0  # as many as it likes


def versions() -> dict[str, str]:
    """onnxruntime's and onnx' versions."""
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}


def set_threads(threads: int) -> None:
    """How many threads one operation may use."""
    global _threads  # noqa: PLW0603 - sessions are made one by one
    _threads = threads


def forward(layer: Layer, arrays: Arrays) -> Array:
    """y of `layer`, a model of one operator for each of its parts."""
    return onnx_model.forward(layer, arrays, _started)


def prepared(layer: Layer, arrays: Arrays, dy: Array | None = None) -> Callable[[], Array]:
    """The layer as a call without arguments, its sessions made once."""
    return onnx_model.prepared(layer, arrays, _started, dy)


def facts(layer: Layer, shape: Shape) -> Facts:
    """It states none."""
    raise Unsupported(f"onnxruntime says nothing of a {layer.kind} on {shape} without running it")


def _started(model: Any) -> onnx_model.Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses is told by its exceptions
    options.intra_op_num_threads = _threads
    with _refusals():
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Any]) -> Array:
        with _refusals():
            return cast("Array", session.run(["y"], inputs)[0])

    return run


@contextmanager
def _refusals() -> Iterator[None]:
    """What it lacks is Unsupported."""
    try:
        yield
    except Exception as error:  # its own classes, one for each code
        if any(word in f"{type(error).__name__} {error}" for word in LACKING):
            raise Unsupported(" ".join(str(error).split())[:200]) from error
        raise
