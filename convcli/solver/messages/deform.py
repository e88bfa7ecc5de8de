"""torchvision's deform_conv2d: offsets and masks."""

from __future__ import annotations

import re

from convcli.solver.messages.reader import NUMBER, plain, reader, told
from convcli.solver.records import Fix, Reading

CONV = "the offset convolution has the same kernel, stride, padding and dilation"


def _offset_channels(found: re.Match[str]) -> Reading:
    got, wanted = int(found[1]), int(found[2])
    means = (
        "Every tap has a dy and a dx per offset group:"
        f" the offset's channels must be a multiple of {wanted}, and are {got}."
    )
    nearest = max(-(-got // wanted), 1) * wanted if wanted > 0 else wanted
    fixes = (
        Fix(
            f"predict {nearest} channels",
            f"Conv2d(C, {nearest}, kernel_size)",
            "2 * kernel_h * kernel_w * offset groups",
        ),
        Fix(
            "split the prediction",
            "offset, mask = out[:, :2 * n], out[:, 2 * n:].sigmoid()",
            "the mask is in it too (3 * taps)",
        ),
    )
    return told(found, "deformable convolution: channels of the offset", means, fixes, got=got, per_group=wanted)


def _mask_channels(found: re.Match[str]) -> Reading:
    name, got, wanted = found[1].lower(), int(found[2]), int(found[3])
    what = "one mask" if name == "mask" else "a dy and a dx"
    means = f"Every tap has {what} per offset group: the {name}'s channels must be {wanted}, and are {got}."
    fixes = (
        Fix(
            f"predict {wanted} channels",
            f"Conv2d(C, {wanted}, kernel_size)",
            f"kernel_h * kernel_w * offset groups{' * 2' * (name == 'offset')}",
        ),
        Fix(
            "count offset groups by the offset",
            "offset.shape[1] // (2 * kernel_h * kernel_w)",
            "offset and mask disagree",
        ),
    )
    return told(found, f"deformable convolution: channels of the {name}", means, fixes, got=got, expected=wanted)


def _sizes(found: re.Match[str]) -> Reading:
    name, got, made = found[1].lower(), (int(found[2]), int(found[3])), (int(found[4]), int(found[5]))
    means = (
        f"The {name} is given for {got[0]}x{got[1]} positions, and the layer has {made[0]}x{made[1]} output positions."
    )
    fixes = [
        Fix(f"predict the {name} by a convolution with the layer's own numbers", "stride=, padding=, dilation=", CONV),
        Fix(
            "pad the deformable layer like its predictor", "padding=", "a 3x3 predictor with padding 1, a layer without"
        ),
    ]
    if min(made) < 1:
        fixes.insert(
            0,
            Fix(
                "feed larger inputs, or pad", "padding=", "the layer has no output: its kernel is larger than the input"
            ),
        )
    return told(found, f"deformable convolution: size of the {name}", means, fixes, got=got, output=made)


READERS = (
    reader(
        rf"offset tensor at dimension 1 is not valid.{{1,160}}?offset\.shape\[1\]={NUMBER}, while .{{1,80}}?={NUMBER}",
        _offset_channels,
    ),
    reader(rf"\b(offset|mask)\.shape\[1\] is not valid: got: {NUMBER} expected: {NUMBER}", _mask_channels),
    reader(
        rf"\b(offset|mask) output dims: \({NUMBER}, {NUMBER}\) - computed output dims: \({NUMBER}, {NUMBER}\)", _sizes
    ),
    plain(
        r"invalid batch size of (offset|mask)",
        "deformable convolution: batch",
        "The {1} is not given for as many images as the input.",
        Fix("predict it from the same input", "offset = self.offset_conv(x)"),
        Fix("repeat it over the batch", "offset.expand(x.shape[0], -1, -1, -1)", "all images share one"),
    ),
    plain(
        r"deform_conv2d_forward_kernel(?!.{0,200}?(?:output dims|is not valid|batch size))",
        "deformable convolution: input channels",
        "torchvision tells no numbers here: the input's channels are not weight.shape[1] * groups, "
        "or do not divide into the offset groups.",
        Fix("check the input's channels", "x.shape[1] == weight.shape[1] * groups"),
        Fix("check the offset groups", "x.shape[1] % (offset.shape[1] // (2 * kernel_h * kernel_w)) == 0"),
    ),
)
