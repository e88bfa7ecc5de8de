"""Linear layers and normalisation: features, channels, statistics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import gcd, isqrt

from convcli.solver.messages.reader import NUMBER, SHAPE, counted, numbers, plain, reader, told, x
from convcli.solver.records import Fix, Reading, Sizes

LARGEST_MAP = 256  # a flattened map has no more cells along an axis


def _product(found: re.Match[str]) -> Reading:
    rows, got, wanted, out = (int(found[place]) for place in (1, 2, 3, 4))
    means = f"The layer takes {wanted} features, and the input (read as {counted(rows, 'row')}) has {got}."
    fixes = list(_product_fixes(rows, got, wanted, out))
    return told(found, "linear: features", means, fixes, input=(rows, got), in_features=wanted, out_features=out)


def _product_fixes(rows: int, got: int, wanted: int, out: int) -> Iterator[Fix]:
    maps = _maps(wanted, got)
    if maps is not None:
        channels, side, other = maps
        where = f"{got} = C*H*W = {channels}*{other}*{other} arrive, {wanted} = {channels}*{side}*{side} are taken"
        if other > side:
            yield Fix(f"pool to {side}x{side} before flattening", f"AdaptiveAvgPool2d({side})", f"perhaps: {where}")
        if side > 1:
            yield Fix(f"feed images that come to maps of {side}x{side} here", when=f"they came to {other}x{other}")
    times = wanted // got if got and wanted % got == 0 else 0
    if times > 1 and rows % times == 0:
        yield Fix(
            "flatten all but the batch", "x.flatten(1)", f"the batch is {rows // times}: nothing was flattened yet"
        )
    elif wanted and got < wanted and rows % wanted == 0:
        yield Fix(
            f"pool to {wanted} numbers per image", "x.mean((2, 3))", f"the {wanted} features are the channels of maps"
        )
        yield Fix("bring the features to the end", "x.movedim(1, -1)", f"the {wanted} features are on axis 1")
    yield Fix(f"make the layer for {got} features", f"Linear({got}, {out})", _flattened(got))
    if rows == wanted:
        yield Fix("transpose the input", "x.T", "its axes are the other way round")
    if got == out:
        yield Fix("transpose the weight", "x @ weight.T", "the matrix is stored (out, in), as Linear has it")
    yield Fix("print the shape before the layer", "print(x.shape)", "another layer before it is wrong")


def _flattened(got: int) -> str:
    """How a flattened map of so many numbers may have been: 25088 = 512*7*7."""
    for side in (7, 8, 6, 5, 4, 14, 16, 12, 28, 32, 3, 2):
        channels, rest = divmod(got, side * side)
        if not rest and channels >= 8 and channels & (channels - 1) == 0:
            return f"{got} = C*H*W = {channels}*{side}*{side}, perhaps"
    return "the input is right"


def _maps(wanted: int, got: int) -> tuple[int, int, int] | None:
    """(channels, side wanted, side found) of square maps that, flattened, are both numbers; a power of two, if any."""
    found = []
    for side in range(1, LARGEST_MAP + 1):
        channels, rest = divmod(wanted, side * side)
        if rest or channels < 1 or got % channels:
            continue
        other = isqrt(max(got // channels, 0))
        if other * other * channels == got and 1 <= other <= LARGEST_MAP and max(side, other) > 1:
            found.append((channels, side, other))
    return max(found, key=lambda maps: (maps[0] & (maps[0] - 1) == 0, maps[0]), default=None)


def _meta_product(found: re.Match[str]) -> Reading:
    a, b = numbers(found[1]), numbers(found[2])
    got, wanted = a[-1] if a else 0, b[0] if b else 0
    rows = a[0] if a else 1
    means = f"The matrix has {wanted} rows, and the input {x(a)} has {got} features."
    fixes = list(_product_fixes(rows, got, wanted, b[-1] if b else 0))
    return told(found, "linear: features", means, fixes, input=a, matrix=b)


def _batched(found: re.Match[str]) -> Reading:
    wanted, got = numbers(found[1]), numbers(found[2])
    means = f"In a batched product the second tensor must begin with {x(wanted)}, and begins with {x(got)}."
    fixes = (
        Fix("transpose the second", "b.transpose(1, 2)", "its axes are the other way round"),
        Fix("make the batches alike", when="the first of these numbers differ"),
    )
    return told(found, "product: batched matrices", means, fixes, expected=wanted, got=got)


def _norm(found: re.Match[str]) -> Reading:
    name, got, wanted = found[1], int(found[2]), int(found[3])
    means = f"The normalisation was made for {wanted} channels ({name}), and its input has {got}."
    fixes = (
        Fix(f"make it for {counted(got, 'channel')}", f"BatchNorm2d({got})", "the input is right"),
        Fix(f"make {counted(wanted, 'channel')} in the layer before", f"out_channels={wanted}", "this layer is right"),
        Fix("bring the channels to axis 1", "x.permute(0, 3, 1, 2)", "the input is channels-last"),
    )
    return told(found, "normalisation: channels", means, fixes, got=got, expected=wanted, tensor=name)


def _norm_axes(found: re.Match[str]) -> Reading:
    wanted, got = tuple(int(number) for number in found.group(1, 2) if number), int(found[3])
    means = f"The layer takes {' or '.join(map(str, wanted))} axes, and its input has {got}."
    fixes = (
        [Fix(f"take the one of the input's rank: BatchNorm{got - 2}d", f"BatchNorm{got - 2}d")] if 3 <= got <= 5 else []
    )
    if got == 2:
        fixes.append(Fix("normalise features", "BatchNorm1d", "the input was flattened"))
    if got == min(wanted) - 1:
        fixes.append(Fix("add the batch", "x.unsqueeze(0)", "this is one image"))
    return told(found, "normalisation: axes of the input", means, fixes, expected=wanted, got=got)


def _one_value(found: re.Match[str]) -> Reading:
    shape = numbers(found[2])
    means = (
        f"Of the input {x(shape)} there is one value per channel: no mean and variance can be taken of one in training."
    )
    fixes = (
        Fix("train with at least two images", "batch_size=2", "the batch is 1"),
        Fix("drop the last, incomplete batch", "DataLoader(..., drop_last=True)", "only the last batch fails"),
        Fix("evaluate", "model.eval()", "this is no training"),
        Fix("normalise otherwise", "GroupNorm", "batches must be small"),
    )
    return told(found, "normalisation: one value per channel", means, fixes, input=shape)


def _group_norm(found: re.Match[str]) -> Reading:
    channels, groups = int(found[1]), int(found[2])
    means = f"{channels} channels do not divide into {groups} groups."
    fixes = (
        Fix(
            f"take {counted(gcd(channels, groups) or 1, 'group')}",
            f"num_groups={gcd(channels, groups) or 1}",
            "the channels are right",
        ),
        Fix(f"take {-(-channels // max(groups, 1)) * groups} channels", when="the groups are right"),
    )
    return told(found, "normalisation: groups", means, fixes, channels=channels, groups=groups)


def _group_norm_input(found: re.Match[str]) -> Reading:
    shape, groups = numbers(found[1]), int(found[2])
    channels = shape[1] if len(shape) > 1 else 0
    means = f"The input {x(shape)} has {channels} channels, which do not divide into {groups} groups."
    count = gcd(channels, groups) or 1
    fixes = (Fix(f"take {counted(count, 'group')}", f"num_groups={count}"),)
    return told(found, "normalisation: groups", means, fixes, input=shape, groups=groups)


def _group_norm_weight(found: re.Match[str]) -> Reading:
    weight, shape = numbers(found[1]), numbers(found[2])
    channels = shape[1] if len(shape) > 1 else 0
    means = f"The normalisation was made for {x(weight)} channels, and its input {x(shape)} has {channels}."
    fixes = (Fix(f"make it for {channels} channels", f"num_channels={channels}", "the input is right"),)
    return told(found, "normalisation: channels", means, fixes, expected=weight, input=shape)


def _layer_norm(found: re.Match[str]) -> Reading:
    wanted, shape = numbers(found[1]), numbers(found[2])
    means = f"The normalisation takes inputs that end in {x(wanted)}, and this one is {x(shape)}."
    fixes = list(_layer_norm_fixes(wanted, shape))
    return told(found, "normalisation: last axes", means, fixes, normalized_shape=wanted, input=shape)


def _layer_norm_fixes(wanted: Sizes, shape: Sizes) -> Iterator[Fix]:
    if len(shape) > 2 and len(wanted) == 1 and shape[1] == wanted[0]:
        order = ", ".join(map(str, (0, *range(2, len(shape)), 1)))
        yield Fix("bring the channels to the end", f"x.permute({order})", "the input is channels-first")
    if wanted:
        yield Fix("make it for this input", f"LayerNorm({list(shape[-len(wanted) :])})", "the input is right")


def _state(found: re.Match[str]) -> Reading:
    name, saved, model = found[1], numbers(found[2]), numbers(found[3])
    means = f"{name} is {x(saved)} in the checkpoint and {x(model)} in the model: they are two different layers."
    fixes = (
        Fix("build the model as it was saved", when="num_classes or in_channels were others then"),
        Fix(
            "load all but this tensor",
            f"del state[{name!r}]; model.load_state_dict(state, strict=False)",
            "it is to be trained anew",
        ),
    )
    return told(found, "checkpoint: another shape", means, fixes, tensor=name, checkpoint=saved, model=model)


READERS = (
    reader(rf"mat1 and mat2 shapes cannot be multiplied \({NUMBER}x{NUMBER} and {NUMBER}x{NUMBER}\)", _product),
    reader(rf"size mismatch, m1: \[{NUMBER} x {NUMBER}\], m2: \[{NUMBER} x {NUMBER}\]", _product),
    reader(rf"a and b must have same reduction dim, but got {SHAPE} X {SHAPE}", _meta_product),
    reader(rf"Expected size for first two dimensions of batch2 tensor to be: {SHAPE} but got: {SHAPE}", _batched),
    plain(
        r"size mismatch, got input \((\d+)\), mat \((\d+x\d+)\), vec \((\d+)\)",
        "product: matrix and vector",
        "The matrix is {2} and the vector has {3} entries; it must have as many as the matrix has columns.",
        Fix("transpose the matrix", "a.T @ v", "its axes are the other way round"),
    ),
    reader(rf"\b(running_mean|running_var|weight|bias) should contain {NUMBER} elements not {NUMBER}", _norm),
    reader(r"expected (\d)D(?: or (\d)D)? input \(got (\d)D input\)", _norm_axes),
    reader(
        rf"Expected more than 1 (value per channel|spatial element) when training, got input size {SHAPE}", _one_value
    ),
    reader(rf"num_channels \({NUMBER}\) must be divisible by num_groups \({NUMBER}\)", _group_norm),
    reader(
        rf"number of channels in input to be divisible by num_groups, but got input of shape {SHAPE}"
        rf" and num_groups={NUMBER}",
        _group_norm_input,
    ),
    reader(
        rf"Expected weight to be a vector of size equal to the number of channels in input,"
        rf" but got weight of shape {SHAPE} and input of shape {SHAPE}",
        _group_norm_weight,
    ),
    reader(
        rf"Given normalized_shape={SHAPE}, expected input with shape .{{1,80}}? but got input of size ?{SHAPE}",
        _layer_norm,
    ),
    reader(
        rf"size mismatch for ([\w.]{{1,200}}): copying a param with shape {SHAPE} from checkpoint,"
        rf" the shape in current model is {SHAPE}",
        _state,
    ),
    plain(
        r"embed_dim must be divisible by num_heads",
        "attention: heads",
        "The heads share the embedding: its size must be a multiple of their number.",
        Fix("take heads that divide it", "num_heads"),
    ),
    plain(
        r"expecting embedding dimension of (\d+), but got (\d+)",
        "attention: embedding",
        "The attention takes embeddings of {1}, and the input's last axis has {2}.",
        Fix("make the layer for what the input has", "embed_dim=x.shape[-1]", "the input is right"),
        Fix("bring the features to the end", "x.transpose(1, 2)", "they are on another axis"),
    ),
)
