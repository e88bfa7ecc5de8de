"""Tensors that are joined or reshaped: cat, stack, addition, view, reshape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod

from convcli.solver.messages.reader import NUMBER, SHAPE, numbers, plain, reader, told, x
from convcli.solver.records import Fix, Reading, Sizes

ODD = "odd sizes on the way down: halving rounds, doubling does not"


def _cat(found: re.Match[str]) -> Reading:
    along, wanted, got, number = int(found[1]), int(found[2]), int(found[4]), int(found[5])
    where = f" in axis {found[3]}" if found[3] else ""
    means = (
        f"Tensors are joined along axis {along}, where their sizes add up; elsewhere they must agree,"
        f" and tensor {number} has {got} where the first has {wanted}{where}."
    )
    fixes = [
        *_size_fixes(wanted, got),
        Fix("join along another axis", f"torch.cat(tensors, dim={_other(along)})", "this axis is not the one meant"),
    ]
    return told(found, "cat: sizes", means, fixes, dim=along, expected=wanted, got=got, tensor=number)


def _old_cat(found: re.Match[str]) -> Reading:
    along, wanted, got, place = (int(found[part]) for part in (1, 2, 3, 4))
    means = f"Tensors are joined along axis {along}; in axis {place} they must agree, and have {wanted} and {got}."
    return told(
        found, "cat: sizes", means, list(_size_fixes(wanted, got)), dim=along, expected=wanted, got=got, axis=place
    )


def _other(along: int) -> int:
    return 0 if along == 1 else 1


def _size_fixes(one: int, other: int) -> Iterator[Fix]:
    small, large = sorted((one, other))
    if 0 < large - small <= 2:
        yield Fix("feed sizes that halve evenly: multiples of 2**(number of halvings)", "F.pad", ODD)
        yield Fix("crop the larger to the smaller", f"x[..., :{small}, :{small}]", "a skip connection, as in U-Net")
        ask = f"convcli solve {small // 2} {large} names them" if small > 1 else "it enlarges by two"
        yield Fix("make one cell more in the transposed layer", "output_padding=1", ask)
    elif small and large % small == 0:
        times = large // small
        yield Fix(
            f"one of them was shrunk {times} times more often: give both branches the same strides", f"stride={times}"
        )
        yield Fix(
            f"enlarge the smaller {times} times", f"Upsample(scale_factor={times})", "maps of two scales are joined"
        )
    yield Fix("resize one to the other", "F.interpolate(a, size=b.shape[2:])", "the sizes are spatial")
    yield Fix("find the layer that does it", f"convcli solve {large} {small}", "the sizes are spatial")


def _add(found: re.Match[str]) -> Reading:
    a, b, axis = int(found[1]), int(found[2]), int(found[3])
    means = f"Two tensors are combined element by element, and along axis {axis} one has {a}, the other {b}."
    fixes = list(_channel_fixes(a, b)) if axis == 1 else []
    fixes += [*_size_fixes(a, b)] if axis != 1 or not fixes else []
    if axis == 0:
        fixes.insert(0, Fix("take batches of one size", "drop_last=True", "axis 0 is the batch"))
    return told(found, "addition: sizes", means, fixes, a=a, b=b, axis=axis)


def _channel_fixes(a: int, b: int) -> Iterator[Fix]:
    yield Fix(
        f"project {a} channels onto {b}", f"Conv2d({a}, {b}, 1)", "axis 1 is the channels: a residual block that widens"
    )
    yield Fix("give both branches the same out_channels", f"out_channels={b}", "they should be alike")
    yield Fix("join instead of adding", "torch.cat((a, b), dim=1)", "both are to be kept")


def _shapes(found: re.Match[str]) -> Reading:
    one, other = numbers(found[1]), numbers(found[2])
    means = (
        f"A tensor of shape {x(one)} cannot hold the result, which has the shape {x(other)}: in place nothing grows."
    )
    fixes = (
        Fix("do not write in place", "x = x + y", "a larger result is meant"),
        Fix("make the shapes alike", when="it is not"),
    )
    return told(found, "addition: in place", means, fixes, output=one, broadcast=other)


def _meta_add(found: re.Match[str]) -> Reading:
    length, axis, shape = int(found[1]), int(found[2]), numbers(found[3])
    means = (
        f"Two tensors are combined element by element, and along axis {axis} one has {length}, which the other has not."
    )
    return told(
        found,
        "addition: sizes",
        means,
        list(_size_fixes(length, shape[axis] if -len(shape) <= axis < len(shape) else 1)),
        length=length,
        axis=axis,
        shape=shape,
    )


def _expand(found: re.Match[str]) -> Reading:
    wanted, got, axis = int(found[1]), int(found[2]), int(found[3])
    means = f"Only an axis of 1 can be repeated by expand, and axis {axis} has {got}, not the {wanted} that are wanted."
    fixes = (
        Fix("repeat the data", "x.repeat", "copies are meant"),
        Fix("add an axis of 1 first", "x.unsqueeze", "the axes do not line up"),
    )
    return told(found, "expand: sizes", means, fixes, expected=wanted, got=got, axis=axis)


def _view(found: re.Match[str]) -> Reading:
    shape, size = numbers(found[1]), int(found[2])
    known = prod(number for number in shape if number != -1)
    inferred = -1 in shape
    means = (
        f"The tensor has {size} numbers, no multiple of {known}, the product of the sizes that are given."
        if inferred
        else f"The shape {x(shape)} holds {known} numbers, and the tensor has {size}."
    )
    return told(
        found, "view: number of elements", means, list(_view_fixes(shape, size)), shape=shape, size=size, holds=known
    )


def _view_fixes(shape: Sizes, size: int) -> Iterator[Fix]:
    first, rest = (shape[0] if shape else 1), shape[1:]
    if first > 0 and size % first == 0:
        yield Fix(
            f"keep the batch of {first}: {size // first} numbers per image",
            "x.flatten(1)",
            f"the layer after it must take {size // first} features",
        )
    tail = prod(number for number in rest if number > 0)
    if first == -1 and tail > 1:
        yield Fix("flatten by what is there", "x.flatten(1)", f"{tail} was worked out for another input size")
    elif -1 not in rest and tail and size % tail == 0 and first != size // tail:
        code = f"x.reshape({', '.join(map(str, (-1, *rest)))})"
        yield Fix(f"let the first axis be {size // tail}", code, "the batch has another size")
    yield Fix("print the shape before it", "print(x.shape)", "a layer before it is wrong")


READERS = (
    reader(
        rf"Sizes of tensors must match except in dimension {NUMBER}\. Expected (?:size )?{NUMBER}"
        rf"(?: in dimension {NUMBER})? but got (?:size )?{NUMBER} for tensor number {NUMBER} in the list",
        _cat,
    ),
    reader(
        rf"Sizes of tensors must match except in dimension {NUMBER}\. Got {NUMBER} and {NUMBER} in dimension {NUMBER}",
        _old_cat,
    ),
    plain(
        r"Tensors must have same number of dimensions: got (\d+) and (\d+)",
        "cat: axes",
        "Tensors of {1} and of {2} axes cannot be joined.",
        Fix("add the batch to the one that lacks it", "x.unsqueeze(0)"),
        Fix("stack", "torch.stack", "a new axis is meant"),
    ),
    plain(
        rf"stack expects each tensor to be equal size, but got {SHAPE} at entry (\d+) and {SHAPE} at entry (\d+)",
        "stack: sizes",
        "Stacked tensors must be alike: entry {2} is [{1}], entry {4} is [{3}].",
        Fix("resize the images to one size", "transforms.Resize((224, 224))", "a DataLoader makes the batch"),
        Fix("pad to the largest", "pad_sequence", "sequences"),
        Fix("join along an axis that is there", "torch.cat", "no new axis is meant"),
    ),
    plain(
        r"expected a non-empty list of Tensors",
        "cat: nothing to join",
        "The list of tensors is empty.",
        Fix("look where it is filled", when="a loop that never ran, a filter that left nothing"),
    ),
    reader(
        rf"The size of tensor a \({NUMBER}\) must match the size of tensor b \({NUMBER}\)"
        rf" at non-singleton dimension {NUMBER}",
        _add,
    ),
    reader(rf"output with shape {SHAPE} doesn't match the broadcast shape {SHAPE}", _shapes),
    reader(
        rf"Attempting to broadcast a dimension of length {NUMBER} at {NUMBER}!.{{0,60}}? torch\.Size\(.{{0,200}}?"
        rf"broadcastable to {SHAPE}",
        _meta_add,
    ),
    reader(
        rf"The expanded size of the tensor \({NUMBER}\) must match the existing size \({NUMBER}\) at non-singleton"
        rf" dimension {NUMBER}",
        _expand,
    ),
    reader(rf"shape '?{SHAPE}'? is invalid for input of size {NUMBER}", _view),
    plain(
        r"view size is not compatible with input tensor's size and stride",
        "view: order in memory",
        "The numbers do not lie in the order in which the new shape would read them, as after permute.",
        Fix("let it copy", "x.reshape"),
        Fix("put them in order first", "x.contiguous()", "it must be a view"),
    ),
    plain(
        r"only one dimension can be inferred",
        "view: more than one -1",
        "Only one size can be -1, the one that follows from all the others.",
        Fix("name the others", "x.view(x.shape[0], -1)"),
    ),
    plain(
        rf"Provided sizes {SHAPE} don't multiply up to the size of dim (\d+) \((\d+)\)",
        "unflatten: number of elements",
        "Axis {2} has {3} entries, and [{1}] do not multiply to that.",
        Fix("let one follow from the others", "-1"),
    ),
    plain(
        r"channel' dimension to be divisible by the square of upscale_factor,"
        r" but input\.size\(-3\)=(\d+) is not divisible by (\d+)",
        "pixel_shuffle: channels",
        "Pixel shuffling spreads every {2} channels over the cells, and {1} channels are no multiple of that.",
        Fix("make a multiple of them in the layer before", "out_channels=C * factor**2"),
    ),
    plain(
        r"Expected input batch_size \((\d+)\) to match target batch_size \((\d+)\)",
        "loss: batches",
        "The loss has {1} predictions and {2} targets.",
        Fix("flatten all but the batch", "x.flatten(1)", "a view in the network mixes the batch with other axes"),
        Fix("flatten both", "x.flatten(0, 1), target.flatten()", "sequences"),
    ),
    plain(
        r"Got (\d)D input, but (\w{1,20}) mode needs (\d)D input",
        "interpolation: axes of the input",
        "{2} interpolation takes {3} axes (N, C and the spatial ones), and the input has {1}.",
        Fix("add the batch", "x.unsqueeze(0)", "this is one image"),
        Fix(
            "take the mode of the input's rank",
            "mode='linear', 'bilinear' or 'trilinear'",
            "for 1, 2 or 3 spatial axes",
        ),
    ),
    plain(
        r"input\.dim\(\) = (\d+) is not equal to len\(dims\) = (\d+)",
        "permute: axes",
        "{2} axes are put in order, and the tensor has {1}.",
        Fix("name every axis once", "x.permute(0, 2, 3, 1)", "of four axes"),
        Fix("add the batch first", "x.unsqueeze(0)", "this is one image"),
    ),
    plain(
        r"0D or 1D target tensor expected",
        "loss: target",
        "The targets have more axes than one per image.",
        Fix("give class numbers", "target.argmax(1)", "they are one-hot"),
        Fix("drop an axis of one", "target.squeeze(1)", "they are (N, 1)"),
    ),
)
