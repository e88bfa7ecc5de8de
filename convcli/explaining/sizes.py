"""How long the output is, axis by axis, and what padding comes to where the spec names a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convcli.explaining.subject import Section
from convcli.explaining.working import Working, alike, working
from convcli.layers import Conv, ConvTranspose
from convcli.reach import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject

SPAN = "dilation * (kernel - 1) + 1"
OUT = "floor((size + before + after - span) / stride) + 1"
TRANSPOSED = "(size - 1) * stride - before - after + span + output_padding"
MOST_COPIES = 8  # cells of padding that are told one by one


def sizes(subject: Subject) -> Iterator[Section]:
    """What the padding is, where that has to be worked out, then the spans and the sizes."""
    resolved = tuple(_paddings(subject))
    words = tuple(_words(subject))
    if resolved or words:
        yield Section("padding", words, resolved)
    yield Section("output size", (), (_channels(subject), *_outs(subject)))


def axis_values(axis: Axis) -> dict[str, int]:
    """An axis' numbers by their names in formulas."""
    return {
        "kernel": axis.kernel,
        "stride": axis.stride,
        "dilation": axis.dilation,
        "before": axis.before,
        "after": axis.after,
        "span": axis.span,
        "output_padding": axis.output_padding,
    }


def span_steps(subject: Subject) -> Iterator[Working]:
    """The cells that the kernel reaches across, said once for axes that are alike."""
    axes = subject.layer.axes
    for letters, place in alike(subject.letters, [(axis.kernel, axis.dilation) for axis in axes]):
        yield working(f"span ({letters})", SPAN, axes[place].span, **axis_values(axes[place]))


def _outs(subject: Subject) -> Iterator[Working]:
    yield from span_steps(subject)
    axes, out = subject.layer.axes, subject.y[1:]
    formula = TRANSPOSED if isinstance(subject.layer, ConvTranspose) else OUT
    for letters, place in alike(subject.letters, list(zip(axes, subject.space, strict=True))):
        yield working(f"out ({letters})", formula, out[place], size=subject.space[place], **axis_values(axes[place]))


def _channels(subject: Subject) -> Working:
    """out_channels, or what a depthwise layer makes of its input's."""
    said = subject.said
    if isinstance(said, Conv) and said.out_channels is None:
        values = {"in_channels": subject.x[0], "depth_multiplier": said.depth_multiplier}
        return working("channels", "in_channels * depth_multiplier", subject.y[0], **values)
    return working("channels", "out_channels", subject.y[0], out_channels=subject.y[0])


def _paddings(subject: Subject) -> Iterator[Working]:
    """The rule's arithmetic, once for axes that are alike."""
    layer, transposed = subject.layer, isinstance(subject.layer, ConvTranspose)
    facts = list(zip(subject.said.axes, subject.space, strict=True))
    for letters, place in alike(subject.letters, facts):
        said, axis, size = subject.said.axes[place], layer.axes[place], subject.space[place]
        total = axis.before + axis.after
        values = {**axis_values(axis), "size": size, "total": total}
        if said.auto and transposed:
            rule = "stride * (size - 1) + output_padding + span - size * stride"
        elif said.auto:
            out = subject.y[1 + place]
            values["out"] = out
            yield working(f"out ({letters})", "ceil(size / stride)", out, **values)
            rule = "max((out - 1) * stride + span - size, 0)"
        elif subject.padding == "same":
            rule = "dilation * (kernel - 1)"
        else:
            continue
        yield working(f"total ({letters})", rule, total, **values)
        first, last = ("after", "before") if said.auto == "same_lower" else ("before", "after")
        yield working(f"{first} ({letters})", "floor(total / 2)", values[first], **values)
        yield working(f"{last} ({letters})", f"total - {first}", values[last], **values)


def _words(subject: Subject) -> Iterator[str]:
    """The rule by its name, what the cells hold, and that negative padding crops."""
    layer = subject.layer
    rule = next((axis.auto for axis in subject.said.axes if axis.auto), subject.padding)
    if rule:
        scatters = isinstance(layer, ConvTranspose) and rule in ONNX_TRANSPOSED
        yield f"padding={rule}: {(ONNX_TRANSPOSED if scatters else RULES)[rule]}"
    if any(min(axis.before, axis.after) < 0 for axis in layer.axes):
        yield "negative padding crops: so many cells at that end are left out"
    mode = getattr(layer, "padding_mode", "zeros")
    if mode != "zeros":
        yield f"padding_mode={mode}: the cells of the padding are no zeros but copies, and all their products are real"
        for letters, place in alike(subject.letters, list(zip(layer.axes, subject.space, strict=True))):
            yield from _copies(letters, Window(layer.axes[place], mode), subject.space[place])


def _copies(letters: str, window: Window, size: int) -> Iterator[str]:
    """H: cells -2, -1, 5 are copies of 2, 1, 3"""
    before, after = window.axis.before, window.axis.after
    if 0 < before + after <= MOST_COPIES:
        outside = [*range(-before, 0), *range(size, size + after)]
        copies = ", ".join(str(window.cell(place, size)) for place in outside)
        yield f"{letters}: the cells {', '.join(map(str, outside))} are copies of {copies}"


RULES = {
    "same": "PyTorch's rule: stride 1, the output as long as the input, an odd cell at the end",
    "valid": "no padding",
    "same_upper": "TensorFlow's SAME, ONNX' SAME_UPPER: ceil(size / stride) outputs, an odd cell at the end",
    "same_lower": "ONNX' SAME_LOWER: ceil(size / stride) outputs, an odd cell at the beginning",
}
ONNX_TRANSPOSED = {
    "same_upper": "ONNX' rule for transposed layers: size * stride outputs, an odd cell at the end",
    "same_lower": "ONNX' rule for transposed layers: size * stride outputs, an odd cell at the beginning",
}
