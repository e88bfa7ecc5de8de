"""Numbers cut short: inputs, sums and outputs in fewer bits than the arrays have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.formats import cut, halved
from convcli.verifier.mutants.mutant import biased, gradients, mutant, products

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.backends import Array
    from convcli.verifier.mutants.mutant import Gradients

    Arrays = dict[str, Array]

PLAIN = "conv conv_transpose deform_conv"
EVERY = "conv conv_transpose separable deform_conv deform_conv_pack"


def _narrowed(layer: Any, arrays: Arrays, narrow: Callable[[Array], Array], names: tuple[str, ...]) -> Array:
    return ours.forward(layer, {name: narrow(a) if name in names else a for name, a in arrays.items()})


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def bfloat16_inputs(layer: Any, arrays: Arrays) -> Array:
    """inputs and weights cut to bfloat16"""
    return _narrowed(layer, arrays, lambda a: cut(a, 8), ("x", "weight"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def tf32_inputs(layer: Any, arrays: Arrays) -> Array:
    """inputs and weights cut to TF32"""
    return _narrowed(layer, arrays, lambda a: cut(a, 11), ("x", "weight"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def tf32_inputs_cut_off(layer: Any, arrays: Arrays) -> Array:
    """inputs and weights cut to TF32 without rounding"""
    return _narrowed(layer, arrays, lambda a: cut(a, 11, np.trunc), ("x", "weight"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def float16_inputs(layer: Any, arrays: Arrays) -> Array:
    """inputs and weights cut to float16"""
    return _narrowed(layer, arrays, halved, ("x", "weight"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def bfloat16_weight(layer: Any, arrays: Arrays) -> Array:
    """weights cut to bfloat16, inputs as given"""
    return _narrowed(layer, arrays, lambda a: cut(a, 8), ("weight",))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1))
def bfloat16_bias(layer: Any, arrays: Arrays) -> Array:
    """the bias cut to bfloat16"""
    return _narrowed(layer, arrays, lambda a: cut(a, 8), ("bias",))


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 1))
def inputs_rounded_to_integers(layer: Any, arrays: Arrays) -> Array:
    """right for whole numbers only"""
    return ours.forward(layer, {**arrays, "x": np.rint(arrays["x"])})


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 2), dtypes=("float64",))
def double_in_single(layer: Any, arrays: Arrays) -> Array:
    """double precision worked out in single"""
    y = ours.forward(layer, {name: a.astype(np.float32) for name, a in arrays.items()})
    return y.astype(arrays["x"].dtype)


@mutant(EVERY, "Conv1d(2, 2, 1)", (1, 2, 4))
def float16_output(layer: Any, arrays: Arrays) -> Array:
    """the output rounded to float16"""
    return halved(ours.forward(layer, arrays))


@mutant(EVERY, "Conv1d(1, 2, 1)", (1, 1, 3))
def bfloat16_output(layer: Any, arrays: Arrays) -> Array:
    """the output rounded to bfloat16"""
    return cut(ours.forward(layer, arrays), 8)


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 1))
def output_in_another_dtype(layer: Any, arrays: Arrays) -> Array:
    """the output in float16 itself"""
    with np.errstate(over="ignore"):
        return ours.forward(layer, arrays).astype(np.float16)


@mutant(PLAIN, "Conv1d(2, 2, 1)", (1, 2, 3))
def float16_sums(layer: Any, arrays: Arrays) -> Array:
    """sums kept in float16 after every product"""
    return _summed(layer, arrays, halved)


@mutant(PLAIN, "Conv1d(2, 1, 1)", (1, 2, 4))
def bfloat16_sums(layer: Any, arrays: Arrays) -> Array:
    """sums kept in bfloat16 after every product"""
    return _summed(layer, arrays, lambda y: cut(y, 8))


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 1))
def one_element_off(layer: Any, arrays: Arrays) -> Array:
    """one element off by a ten-thousandth of itself"""
    y = ours.forward(layer, arrays)
    largest = int(np.argmax(np.abs(y)))
    y.reshape(-1)[largest] *= y.dtype.type(1.0001)
    return y


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 3))
def output_saturated(layer: Any, arrays: Arrays) -> Array:
    """the output limited to what one byte holds"""
    return np.clip(ours.forward(layer, arrays), -128, 127)


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 9))
def activation_left_in(layer: Any, arrays: Arrays) -> Array:
    """an activation (ReLU) fused into the layer"""
    return np.maximum(ours.forward(layer, arrays), 0)


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), gradient=True)
def grad_tf32_operands(layer: Any, arrays: Arrays) -> Gradients:
    """gradients from operands cut to TF32"""
    return _differentiated(layer, arrays, lambda a: cut(a, 11), ("x", "weight", "dy"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), gradient=True)
def grad_bfloat16_operands(layer: Any, arrays: Arrays) -> Gradients:
    """gradients from operands cut to bfloat16"""
    return _differentiated(layer, arrays, lambda a: cut(a, 8), ("x", "weight", "dy"))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), gradient=True)
def grad_float16_dy(layer: Any, arrays: Arrays) -> Gradients:
    """gradients from a dy cut to float16"""
    return _differentiated(layer, arrays, halved, ("dy",))


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), gradient=True)
def grad_weight_tf32_input(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient from an input cut to TF32"""
    return {"weight": _differentiated(layer, arrays, lambda a: cut(a, 11), ("x",))["weight"]}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), gradient=True)
def grad_input_bfloat16_weight(layer: Any, arrays: Arrays) -> Gradients:
    """the input's gradient from weights cut to bfloat16"""
    return {"x": _differentiated(layer, arrays, lambda a: cut(a, 8), ("weight",))["x"]}


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3), gradient=True)
def grad_offset_tf32_input(layer: Any, arrays: Arrays) -> Gradients:
    """the offsets' gradient from an input cut to TF32"""
    return {"offset": _differentiated(layer, arrays, lambda a: cut(a, 11), ("x",))["offset"]}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 1), dtypes=("float64",), gradient=True)
def grad_double_in_single(layer: Any, arrays: Arrays) -> Gradients:
    """double-precision gradients worked out in single"""
    found = gradients(layer, {name: a.astype(np.float32) for name, a in arrays.items()})
    return {name: gradient.astype(arrays["x"].dtype) for name, gradient in found.items()}


def _differentiated(layer: Any, arrays: Arrays, narrow: Callable[[Array], Array], names: tuple[str, ...]) -> Gradients:
    return gradients(layer, {name: narrow(a) if name in names else a for name, a in arrays.items()})


def _summed(layer: Any, arrays: Arrays, narrow: Callable[[Array], Array]) -> Array:
    y = np.zeros_like(ours.forward(layer, arrays))
    for share in products(layer, arrays):
        y = narrow(y + share)
    return narrow(biased(layer, y, arrays)).astype(y.dtype)
