"""Parameters, products, FLOPs, gradients and bytes, each formula with the layer's numbers."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.explaining.subject import Section
from convcli.explaining.working import each, product, times, working
from convcli.layers import Conv, ConvTranspose
from convcli.records import BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Number, Working
    from convcli.layers import Shape
    from convcli.records import Memory


def parameters(subject: Subject) -> Section:
    """Every tensor that the layer owns: its shape, and what that comes to; then all together."""
    if subject.shares:
        return Section("parameters", (f"its tensors are those of {subject.shares}, and counted there",))
    tensors = subject.layer.tensors(subject.x)
    if not tensors:
        return Section("parameters", ("none: the layer owns no tensors",))
    words = tuple(f"{name}: {_listed(shape)}" for name, shape in tensors.items())
    steps = [_tensor(subject, name, shape) for name, shape in tensors.items()]
    sizes: dict[str, Number] = {step.of: step.result for step in steps}
    if len(steps) > 1:
        steps.append(working("params", " + ".join(sizes), _known(subject.record.params), **sizes))
    return Section("parameters", words, tuple(steps))


def _tensor(subject: Subject, name: str, shape: Shape) -> Working:
    layer, plain = subject.layer, name.replace(".", "_")
    if isinstance(layer, Conv | ConvTranspose) and name == "weight":
        return working(plain, weight_formula(subject), prod(shape), **channel_values(subject))
    if isinstance(layer, Conv | ConvTranspose):
        return working(plain, "out_channels", prod(shape), **channel_values(subject))
    return working(plain, " * ".join(map(str, shape)) or "1", prod(shape))


def weight_formula(subject: Subject) -> str:
    """The product of the weight's sizes, in their order."""
    layer = subject.layer
    taps, divided = times("kernel", subject.letters), "" if getattr(layer, "groups", 1) == 1 else " / groups"
    first, second = (
        ("in_channels", "out_channels") if isinstance(layer, ConvTranspose) else ("out_channels", "in_channels")
    )
    return product(first, f"({second}{divided})" if divided else second, taps)


def channel_values(subject: Subject) -> dict[str, Number]:
    """What the products' formulas speak of: batch, channels, groups, kernel, the sizes of input and output."""
    layer, letters = subject.layer, subject.letters
    values: dict[str, Number] = {"batch": subject.images, "in_channels": subject.x[0], "out_channels": subject.y[0]}
    values |= each("kernel", letters, [axis.kernel for axis in layer.axes])
    values |= each("size", letters, subject.space) | each("out", letters, subject.y[1:])
    return {**values, "groups": getattr(layer, "groups", 1)}


def share(subject: Subject, channels: str) -> str:
    """in_channels, or (in_channels / groups)"""
    return channels if getattr(subject.layer, "groups", 1) == 1 else f"({channels} / groups)"


def summed(subject: Subject) -> Section:
    """The products of a composite: those of its parts."""
    parts = {
        part.name.replace(".", "_"): part.layer.counts(part.x, prod(part.of((subject.images,))))
        for part in subject.layer.parts(subject.x)
    }
    whole = subject.layer.counts(subject.x, subject.images)
    steps = [
        working(
            name, " + ".join(parts), getattr(whole, name), **{part: getattr(own, name) for part, own in parts.items()}
        )
        for name in ("macs", "macs_nonpad")
    ]
    return Section("MACs", ("those of the parts, which are explained below",), tuple(steps))


def flops(subject: Subject) -> Section:
    """Two per product; the strict convention; what comes beside the products."""
    record = subject.record
    counts = subject.layer.counts(subject.x, subject.images)
    steps = [working("flops", "2 * macs", _known(record.flops), macs=counts.macs)]
    if counts.bias_adds and isinstance(subject.layer, Conv | ConvTranspose):
        formula = product("batch", "out_channels", times("out", subject.letters))
        steps.append(working("bias_adds", formula, counts.bias_adds, **channel_values(subject)))
    terms = "macs" if counts.macs_kept is None else "macs_kept"
    values = {"macs": counts.macs, "macs_kept": counts.macs_kept or 0, "sums": counts.sums, "biases": counts.bias_adds}
    if counts.macs:
        strict = counts.flops("strict")
        steps.append(working("flops_strict", f"2 * {terms} - sums + biases", strict, **values))
    words = (f"strict: a sum of n terms is n - 1 additions; sums = {counts.sums}",) if counts.macs else ()
    return Section("FLOPs", words, tuple(steps))


def backward(subject: Subject) -> Iterator[Section]:
    """What the gradients cost; nothing of a layer without products."""
    cost = subject.record.backward
    if cost is UNSET or not cost.macs:
        return
    macs = _known(subject.record.macs)
    yield Section(
        "backward",
        ("each product of the forward pass is one of the input's gradient and one of the weight's",),
        (
            working("grad_input_macs", "macs", cost.grad_input_macs, macs=macs),
            working("grad_weight_macs", "macs", cost.grad_weight_macs, macs=macs),
            working(
                "backward_macs",
                "grad_input + grad_weight",
                cost.macs,
                grad_input=cost.grad_input_macs,
                grad_weight=cost.grad_weight_macs,
            ),
            working("backward_flops", "2 * backward_macs", cost.flops, backward_macs=cost.macs),
        ),
    )


def memory(subject: Subject) -> Section:
    """Bytes of the inputs, the output and the weights, each tensor read or written once."""
    record, sides = subject.record, subject.layer.side_inputs(subject.x)
    inputs: dict[str, Number] = {"x": prod(subject.x), **{name: prod(shape) for name, shape in sides.items()}}
    moved: dict[str, Number] = _bytes(record.memory)
    summed = f"({' + '.join(inputs)})" if sides else "x"
    sizes: dict[str, Number] = {**inputs, "batch": subject.images, "bytes": BYTES["float32"], "y": prod(subject.y)}
    steps = [
        working("input_bytes", f"batch * {summed} * bytes", moved["input_bytes"], **sizes),
        working("output_bytes", "batch * y * bytes", moved["output_bytes"], **sizes),
    ]
    params = _known(record.params)
    steps.append(
        working("weight_bytes", "params * bytes", moved["weight_bytes"], params=params, bytes=BYTES["float32"])
    )
    if record.arithmetic_intensity is not UNSET and record.flops:
        formula = "flops / (input_bytes + output_bytes + weight_bytes)"
        values = {"flops": _known(record.flops), **moved}
        steps.append(working("flops_per_byte", formula, record.arithmetic_intensity, **values))
    names = [f"{name} {_listed(shape)}" for name, shape in {"x": subject.x, **sides, "y": subject.y}.items()]
    return Section(
        "memory in float32", (("per image: " if subject.layer.spatial else "") + ", ".join(names),), tuple(steps)
    )


def _bytes(told: Memory | object) -> dict[str, Number]:
    names = ("input_bytes", "output_bytes", "weight_bytes")
    return {name: _known(getattr(told, name, 0)) for name in names}


def _known(number: object) -> int:
    """A number of the record; 0 where it has none."""
    return number if isinstance(number, int) else 0


def _listed(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
