"""Functions of each element, in PyTorch's words for what they are told; softmax along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends.companions.values import FUNCTION, Values
from convcli.layers.elementwise import FREE, Elementwise, PReLU

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

ERF = np.vectorize(math.erf, otypes=[np.float64])


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    return np.asarray(np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta))


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + ERF(x / math.sqrt(2))))


def _selu(x: Array) -> Array:
    return 1.0507009873554804934193349852946 * _elu(x, 1.6732632423543772848170429916717)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def shares(x: Array, dim: int | None = None) -> Array:
    """Softmax over `dim`; PyTorch's choice when it is not said."""
    axis = dim if dim is not None else 0 if x.ndim in {0, 1, 3} else 1
    powers = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


STEPS: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {  # only compared: nothing rounds
        "ReLU": lambda x: np.maximum(x, 0),
        "ReLU6": lambda x: np.clip(x, 0, 6),
        "Hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        "Threshold": lambda x, threshold=0.0, value=0.0: np.asarray(np.where(x > threshold, x, value)),
        "Hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0),
        "Neg": np.negative,
        "Abs": np.abs,
        "Floor": np.floor,
    }
)
CURVES: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "LeakyReLU": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        "RReLU": lambda x, lower=1 / 8, upper=1 / 3: np.where(x > 0, x, (lower + upper) / 2 * x),
        "ELU": _elu,
        "CELU": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha)),
        "SELU": _selu,
        "GELU": _gelu,
        "SiLU": lambda x: x * _sigmoid(x),
        "Mish": lambda x: x * np.tanh(_softplus(x)),
        "Hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
        "Hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
        "Sigmoid": _sigmoid,
        "LogSigmoid": lambda x: -_softplus(-x),
        "Tanh": np.tanh,
        "Tanhshrink": lambda x: x - np.tanh(x),
        "Softsign": lambda x: x / (1 + np.abs(x)),
        "Softshrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
        "Softplus": _softplus,
        "Exp": np.exp,
        "Log": np.log,
        "Sqrt": np.sqrt,
        "Rsqrt": lambda x: 1 / np.sqrt(x),
        "Reciprocal": lambda x: 1 / x,
        "Erf": ERF,
        "Sin": np.sin,
        "Cos": np.cos,
    }
)
SOFTMAXES: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        "Softmax": shares,
        "Softmin": lambda x, dim=None: shares(-x, dim),
        "Softmax2d": lambda x: shares(x, -3),
        "LogSoftmax": lambda x, dim=None: np.log(shares(x, dim)),
    }
)
FREED: Mapping[str, Callable[..., Array]] = MappingProxyType(dict.fromkeys(FREE, lambda x, **_: x))
FUNCTIONS: Mapping[str, Callable[..., Array]] = MappingProxyType({**FREED, **STEPS, **CURVES, **SOFTMAXES})
POSITIVE = frozenset({"Log", "Sqrt", "Rsqrt", "Reciprocal"})  # what is asked for numbers above 0 alone


def elementwise(layer: Elementwise, arrays: Arrays) -> Values:
    """f(x), element by element or along an axis."""
    x = arrays["x"]
    y = FUNCTIONS[layer.function](x, **dict(layer.options))
    if layer.function in FREED or layer.function in STEPS:
        return Values(y)
    if layer.function in SOFTMAXES:
        spread = 1 + np.abs(x).max(initial=0)
        size = np.abs(y) if layer.function != "LogSoftmax" else np.abs(y) + np.abs(x) + 1
        return Values(y, 2 * spread * size, FUNCTION + _longest(x))
    return Values(y, np.abs(x) + np.abs(y) + 1, FUNCTION)


def _longest(x: Array) -> int:
    return max(x.shape, default=1)


def prelu(_: PReLU, arrays: Arrays) -> Values:
    """x where it is above 0, weight * x elsewhere; one weight, or one for each channel."""
    x, w = arrays["x"], arrays["weight"]
    shape = (1, -1, *(1,) * (x.ndim - 2)) if len(w) > 1 and x.ndim > 1 else (-1,)
    y = np.where(x > 0, x, x * w.reshape(shape))
    return Values(y, np.abs(y), 1)
