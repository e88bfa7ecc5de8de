"""ONNX' own reference evaluator, in numpy, as a backend, forward only. Only worker processes import it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import onnx
from onnx.reference import ReferenceEvaluator

from convcli.backends import Facts, Unsupported, onnx_model
from convcli.layers import Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays


def versions() -> dict[str, str]:
    """onnx' version."""
    return {"onnx": onnx.__version__}


def forward(layer: Layer, arrays: Arrays) -> Array:
    """y of `layer`, a model of one operator for each of its parts."""
    return onnx_model.forward(layer, arrays, _started)


def prepared(layer: Layer, arrays: Arrays, dy: Array | None = None) -> Callable[[], Array]:
    """The layer as a call without arguments."""
    return onnx_model.prepared(layer, arrays, _started, dy)


def facts(layer: Layer, shape: Shape) -> Facts:
    """It states none."""
    raise Unsupported(f"onnx.reference says nothing of a {layer.kind} on {shape} without running it")


def _started(model: Any) -> onnx_model.Run:
    evaluator = ReferenceEvaluator(model)
    return lambda inputs: cast("Array", evaluator.run(["y"], inputs)[0])
