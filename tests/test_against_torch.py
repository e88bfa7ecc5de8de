"""convcli against torch, on random legal layers of every kind and on random, often illegal, ones.

Data are small integers in float64 (offsets, masks: quarters), so every product and sum is exact, in any order, and
results are compared bit for bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from drawn import CASES, Case, ints, layer_of
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from laws import examples, holds

from convcli import SpecError, kernels
from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Separable

if TYPE_CHECKING:
    pass

torch: Any = pytest.importorskip("torch")
torchvision: Any = pytest.importorskip("torchvision")
counter: Any = pytest.importorskip("torch.utils.flop_counter")
nn, functional = torch.nn, torch.nn.functional
torch.set_num_threads(1)  # small tensors: threads only wait for one another

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")]

Array = npt.NDArray[np.float64]
Tensor = "torch_types.Tensor"
TORCH_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class Filled:
    """Arrays of small integers, or of quarters, that depend on the case alone."""

    def __init__(self, case: Case) -> None:
        self.random = np.random.default_rng(prod(case.input) + len(str(case.fields)))

    def whole(self, *shape: int) -> Array:
        """Integers from -4 to 4, none of them 0."""
        values = self.random.integers(1, 5, shape) * self.random.choice([-1, 1], shape)
        return np.asarray(values, np.float64)

    def quarters(self, *shape: int) -> Array:
        """Multiples of 1/4 from -2 to 2."""
        return self.random.integers(-8, 9, shape) / 4.0

    def tensors(self, layer: Layer, x: tuple[int, ...]) -> dict[str, Array]:
        """What the layer owns."""
        return {name: self.whole(*shape) for name, shape in layer.tensors(x).items()}


# torch's side of each primitive: F.pad makes asymmetric padding, everything else is the operator's own argument.


def torch_conv(layer: Conv, x: Any, w: dict[str, Any]) -> Any:
    """x (N, C, *in) -> y (N, O, *out)"""
    axes = layer.axes
    operator = (functional.conv1d, functional.conv2d, functional.conv3d)[len(axes) - 1]
    pads = [pad for axis in reversed(axes) for pad in (axis.before, axis.after)]
    padding: tuple[int, ...] = tuple(axis.before for axis in axes)
    if layer.padding_mode != "zeros" or any(axis.before != axis.after for axis in axes):
        x, padding = functional.pad(x, pads, mode=TORCH_MODES[layer.padding_mode]), (0,) * len(axes)
    slides = {"stride": tuple(a.stride for a in axes), "dilation": tuple(a.dilation for a in axes)}
    return operator(x, w["weight"], w.get("bias"), padding=padding, groups=layer.groups, **slides)


def torch_transposed(layer: ConvTranspose, x: Any, w: dict[str, Any]) -> Any:
    """Padding of equal ends is the operator's own; of unequal ones a crop of what comes without."""
    axes = layer.axes
    operator = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[len(axes) - 1]
    slides = {
        "stride": tuple(a.stride for a in axes),
        "dilation": tuple(a.dilation for a in axes),
        "output_padding": tuple(a.output_padding for a in axes),
        "groups": layer.groups,
    }
    if all(axis.before == axis.after >= 0 for axis in axes):
        return operator(x, w["weight"], w.get("bias"), padding=tuple(a.before for a in axes), **slides)
    full = operator(x, w["weight"], None, **slides)
    y = functional.pad(full, [-crop for axis in reversed(axes) for crop in (axis.before, axis.after)])
    return y + w["bias"].reshape(-1, *(1,) * len(axes)) if "bias" in w else y


def torch_deform(layer: DeformConv, x: Any, w: dict[str, Any], offset: Any, mask: Any) -> Any:
    """Zeros around the input and no input at all are the same to a sampling point."""
    rows, columns = layer.axes
    x = functional.pad(x, [columns.before, columns.after, rows.before, rows.after])
    slides = {"stride": (rows.stride, columns.stride), "dilation": (rows.dilation, columns.dilation)}
    return torchvision.ops.deform_conv2d(x, offset, w["weight"], w.get("bias"), mask=mask, **slides)


# Both sides of each kind: (ours, torch's).


def sliding(layer: Layer, *names: str) -> dict[str, Any]:
    """The keywords of `kernels` that say how a settled layer slides."""
    words = {name: [getattr(axis, name) for axis in layer.axes] for name in ("stride", "dilation", *names)}
    return {**words, "padding": [(axis.before, axis.after) for axis in layer.axes]}


def tensors(arrays: dict[str, Array]) -> dict[str, Any]:
    """The same numbers for torch."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def both_conv(layer: Layer, x: Array, w: dict[str, Array]) -> tuple[Array, Array]:
    assert isinstance(layer, Conv)
    groups, mode = layer.groups or 1, layer.padding_mode
    ours = kernels.conv(x, w["weight"], w.get("bias"), groups=groups, padding_mode=mode, **sliding(layer))
    return ours, torch_conv(layer, torch.from_numpy(x), tensors(w)).numpy()


def both_transposed(layer: Layer, x: Array, w: dict[str, Array]) -> tuple[Array, Array]:
    assert isinstance(layer, ConvTranspose)
    ours = kernels.conv_transpose(
        x, w["weight"], w.get("bias"), groups=layer.groups, **sliding(layer, "output_padding")
    )
    return ours, torch_transposed(layer, torch.from_numpy(x), tensors(w)).numpy()


def both_deform(
    layer: DeformConv, x: Array, w: dict[str, Array], offset: Array, mask: Array | None
) -> tuple[Array, Array]:
    ours = kernels.deform_conv2d(x, offset, w["weight"], w.get("bias"), mask, **sliding(layer))
    there = None if mask is None else torch.from_numpy(mask)
    return ours, torch_deform(layer, torch.from_numpy(x), tensors(w), torch.from_numpy(offset), there).numpy()


def check_forward(case: Case) -> None:
    """Shape and values of one forward pass, bit for bit."""
    layer, filled = case.layer, Filled(case)
    x = filled.whole(*case.input)
    ours, expected = FORWARD[type(layer)](layer, case, filled, x)
    assert ours.shape == expected.shape == layer.output_shape(case.input)
    assert ours.dtype == np.float64
    np.testing.assert_array_equal(ours, expected)


def forward_conv(layer: Layer, case: Case, filled: Filled, x: Array) -> tuple[Array, Array]:
    return both_conv(layer, x, filled.tensors(layer, case.x))


def forward_transposed(layer: Layer, case: Case, filled: Filled, x: Array) -> tuple[Array, Array]:
    return both_transposed(layer, x, filled.tensors(layer, case.x))


def forward_separable(layer: Layer, case: Case, filled: Filled, x: Array) -> tuple[Array, Array]:
    """The depthwise part's result, equal on both sides, is the pointwise part's input."""
    depthwise, pointwise = layer.parts(case.x)
    between, expected = both_conv(depthwise.layer, x, filled.tensors(depthwise.layer, depthwise.x))
    np.testing.assert_array_equal(between, expected)
    return both_conv(pointwise.layer, between, filled.tensors(pointwise.layer, pointwise.x))


def forward_deform(layer: Layer, case: Case, filled: Filled, x: Array) -> tuple[Array, Array]:
    assert isinstance(layer, DeformConv)
    shapes = layer.side_inputs(case.x)
    offset = filled.quarters(case.batch, *shapes["offset"])
    mask = filled.quarters(case.batch, *shapes["mask"]) if layer.modulated else None
    return both_deform(layer, x, filled.tensors(layer, case.x), offset, mask)


def forward_pack(layer: Layer, case: Case, filled: Filled, x: Array) -> tuple[Array, Array]:
    """Predicted quarters are the offsets; the masks' predictor is zero, as mmcv begins, so that the sigmoid is 1/2."""
    assert isinstance(layer, DeformConvPack)
    predictor, deform = layer.parts(case.x)
    assert isinstance(deform.layer, DeformConv)
    w = filled.tensors(predictor.layer, predictor.x)
    offsets = deform.layer.side_inputs(case.x)["offset"][0]
    w = {name: array / 4 for name, array in w.items()}
    for array in w.values():
        array[offsets:] = 0
    predicted, expected = both_conv(predictor.layer, x, w)
    np.testing.assert_array_equal(predicted, expected)
    mask = 1 / (1 + np.exp(-predicted[:, offsets:])) if layer.modulated else None
    return both_deform(deform.layer, x, filled.tensors(deform.layer, deform.x), predicted[:, :offsets], mask)


# regions are pooled against torchvision and autograd in tests/regions
FORWARD: dict[type[Layer], Callable[[Layer, Case, Filled, Array], tuple[Array, Array]]] = {
    Conv: forward_conv,
    ConvTranspose: forward_transposed,
    Separable: forward_separable,
    DeformConv: forward_deform,
    DeformConvPack: forward_pack,
}


@pytest.mark.parametrize("kind", FORWARD, ids=lambda kind: str(kind.kind))
@examples(80, 3000)
def test_forward_bit_for_bit(kind: type[Layer], count: int) -> None:
    holds(check_forward, CASES[kind](), count)


# torch's modules own the same tensors, and its counter counts the same products.


def modules(case: Case) -> dict[str, Any]:
    """The torch modules that a case's layer is made of, by the name of the part."""
    layer = case.layer
    parts = layer.parts(case.x) or [None]
    made = {}
    for part in parts:
        inner, x = (part.layer, part.x) if part else (layer, case.x)
        made[part.name if part else ""] = module(inner, x)
    return made


def module(layer: Layer, x: tuple[int, ...]) -> Any:
    """The module of a primitive, without its padding: parameters do not depend on it."""
    assert isinstance(layer, Conv | ConvTranspose)
    rank = len(layer.axes)
    kernel = tuple(axis.kernel for axis in layer.axes)
    if isinstance(layer, DeformConv):
        return torchvision.ops.DeformConv2d(x[0], layer.out_channels, kernel, groups=layer.groups, bias=layer.bias)
    name = f"Conv{'Transpose' if isinstance(layer, ConvTranspose) else ''}{rank}d"
    return getattr(nn, name)(x[0], layer.out_channels, kernel, groups=layer.groups, bias=layer.bias)


def check_parameters(case: Case) -> None:
    owned: dict[str, tuple[int, ...]] = {}
    for part, made in modules(case).items():
        prefix = f"{part}." if part else ""
        owned |= {prefix + name: tuple(tensor.shape) for name, tensor in made.named_parameters()}
    assert case.layer.tensors(case.x) == owned
    assert case.layer.params(case.input) == sum(map(prod, owned.values()))


@pytest.mark.parametrize("kind", FORWARD, ids=lambda kind: str(kind.kind))
@examples(30, 1000)
def test_parameters_are_those_of_torchs_modules(kind: type[Layer], count: int) -> None:
    holds(check_parameters, CASES[kind](), count)


def ones(layer: Layer, x: tuple[int, ...], batch: int) -> tuple[Any, dict[str, Any]]:
    """An input and weights of ones, no bias."""
    weight = torch.ones(layer.tensors(x)["weight"], dtype=torch.float64)
    return torch.ones((batch, *x), dtype=torch.float64), {"weight": weight}


def run_ones(layer: Layer, x: tuple[int, ...], batch: int) -> Any:
    """torch's output of a primitive on ones: every real product adds 1 to the sum of its output."""
    image, w = ones(layer, x, batch)
    if isinstance(layer, ConvTranspose):
        return torch_transposed(layer, image, w)
    assert isinstance(layer, Conv)
    return torch_conv(layer, image, w)  # a deformable layer's product part is this convolution


def check_macs(case: Case) -> None:
    layer = case.layer
    parts = [(part.layer, part.x) for part in layer.parts(case.x)] or [(layer, case.x)]
    macs = real = 0
    for inner, x in parts:
        with counter.FlopCounterMode(display=False) as flops:
            y = run_ones(inner, x, case.batch)
        macs += flops.get_total_flops() // 2
        real += int(y.sum())
    assert layer.macs(case.input) == macs
    assert layer.macs_nonpad(case.input) == real


@pytest.mark.parametrize("kind", FORWARD, ids=lambda kind: str(kind.kind))
@examples(40, 1000)
def test_macs_are_those_of_torchs_counter_and_of_an_executed_layer(kind: type[Layer], count: int) -> None:
    holds(check_macs, CASES[kind](), count)


# What is legal: refused here exactly where torch's CPU kernels refuse real tensors (the meta device is no oracle).

EDGES: dict[str, list[Any]] = {
    "in_channels": [0, 1, 2, 3, 5],
    "out_channels": [-1, 0, 1, 2, 3, 5],
    "groups": [-1, 0, 1, 2, 3],
    "kernel_size": [-1, 0, 1, 2, 5, 7],
    "stride": [-1, 0, 1, 3],
    "dilation": [-1, 0, 1, 2, 4],
    "padding": [-1, 0, 1, 3, 6],
    "output_padding": [-1, 0, 1, 2, 3],
    "padding_mode": ["zeros", "reflect", "replicate", "circular"],
    "offset_groups": [1, 2, 3, 4],
}


@st.composite
def near_misses(draw: DrawFn, kind: type[Layer]) -> Case:
    """A legal layer in PyTorch's own words with up to two of its fields or sizes moved, to something illegal or not."""
    fields, shape = draw(CASES[kind]())
    fields = dict(fields)
    if fields["type"].startswith("Depthwise"):
        multiplier = fields.pop("depth_multiplier")
        fields |= {
            "type": fields["type"].removeprefix("Depthwise"),
            "out_channels": multiplier * shape[1],
            "groups": shape[1],
        }
    if fields["padding"] not in ("same", "valid"):  # torch knows one number per axis
        pads = [0] * (len(shape) - 2) if isinstance(fields["padding"], str) else fields["padding"]
        fields["padding"] = [pad if isinstance(pad, int) else pad[0] for pad in pads]
    if kind is not Conv and isinstance(fields["padding"], str):
        fields["padding"] = [0] * (len(shape) - 2)
    fields["in_channels"] = shape[1]
    sizes = list(shape)
    for name in draw(st.lists(st.sampled_from([*sorted(set(EDGES) & set(fields)), "shape"]), max_size=2)):
        if name == "shape":
            # an input without channels or cells ends torchvision's process
            sizes[draw(ints(0, len(sizes) - 1))] = draw(
                st.sampled_from([1, 2, 4] if kind is DeformConv else [0, 1, 2, 4])
            )
        elif isinstance(fields[name], list):
            changed = list(fields[name])
            changed[draw(ints(0, len(changed) - 1))] = draw(st.sampled_from(EDGES[name]))
            fields[name] = changed
        else:
            fields[name] = draw(st.sampled_from(EDGES[name]))
    unbatched = kind is not DeformConv and draw(ints(0, 4)) == 0
    return Case(fields, tuple(sizes[1:] if unbatched else sizes))


Answer = tuple[int, ...] | str


def torchs_answer(case: Case) -> Answer:
    """The output's shape that torch's CPU kernels give for real tensors, or why they refuse."""
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in case.fields.items()}
    type_ = str(fields.pop("type"))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch initialises layers without elements, and says so
            x = torch.ones(case.input)
            if type_ == "DeformConv2d":
                return deformed(x, fields)
            return tuple(getattr(nn, type_)(**fields)(x).shape)
    except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def deformed(x: Any, fields: dict[str, Any]) -> tuple[int, ...]:
    """torchvision's layer with the offsets, and masks, that its output and its offset groups ask for."""
    modulated, offset_groups = fields.pop("modulated"), fields.pop("offset_groups")
    made = torchvision.ops.DeformConv2d(**fields)
    slides = zip(x.shape[2:], *(fields[name] for name in ("kernel_size", "stride", "padding", "dilation")), strict=True)
    out = [(size + 2 * pad - d * (k - 1) - 1) // s + 1 for size, k, s, pad, d in slides]
    points = offset_groups * prod(fields["kernel_size"])
    mask = torch.ones((len(x), points, *out)) if modulated else None
    return tuple(made(x, torch.zeros((len(x), 2 * points, *out)), mask).shape)


def our_answer(case: Case) -> Answer:
    """The same of convcli."""
    try:
        return layer_of(case.fields, 0).output_shape(case.input)
    except SpecError as error:
        return str(error)


def known_difference(case: Case, theirs: Answer) -> str:
    """Why torch may take what convcli refuses, or what else may differ; "" when there is no reason."""
    fields, image = case.fields, case.input[-len(case.fields["kernel_size"]) - 1 :]
    padding = fields["padding"] if isinstance(fields["padding"], list) else [fields["padding"]]
    transposed, deformable = (fields["type"].startswith(word) for word in ("ConvTranspose", "DeformConv"))
    empty = isinstance(theirs, tuple) and 0 in theirs[-len(image) + 1 :]
    crops = "same" not in padding and "valid" not in padding and min(padding) < 0
    reasons = {
        "torch checks little when there is no image to work on": len(case.input) > len(image) and case.input[0] == 0,
        "some of torch's transposed kernels give an output of no cells, others refuse": transposed and empty,
        "not all of torch's transposed kernels look at a dilation of 0": transposed and 0 in fields["dilation"],
        "torch's other padding modes take a negative number for a crop": crops
        and fields.get("padding_mode") != "zeros",
        "torchvision makes an output without channels": deformable and fields["out_channels"] == 0,
        "torchvision reads groups off the shapes, not in_channels": deformable and fields["in_channels"] != image[0],
    }
    if fields["in_channels"] == 0:
        return "torch's answer without input channels is an output without channels, whatever out_channels says"
    return next((reason for reason, given in reasons.items() if given), "")


def check_legality(case: Case) -> None:
    theirs, ours = torchs_answer(case), our_answer(case)
    note(f"torch: {theirs}\nconvcli: {ours}")
    if isinstance(ours, str) and isinstance(theirs, tuple):
        assert known_difference(case, theirs)
    elif case.fields["in_channels"]:
        assert ours == theirs or isinstance(ours, str)


@pytest.mark.parametrize("kind", [Conv, ConvTranspose, DeformConv], ids=lambda kind: str(kind.kind))
@examples(400, 10_000)
def test_refused_exactly_where_torch_refuses(kind: type[Layer], count: int) -> None:
    holds(check_legality, near_misses(kind), count)


def test_the_known_differences_exist() -> None:
    """Each reason above, seen once: when torch changes, the reason goes."""
    flat = {"kernel_size": [1, 1], "stride": [1, 1], "dilation": [1, 1], "groups": 1, "bias": True, "out_channels": 4}
    no_channels = Case({"type": "Conv2d", "in_channels": 0, "padding": [0, 0], **flat}, (2, 0, 3, 3))
    no_images = Case({"type": "Conv2d", "in_channels": 3, "padding": [0, 0], **flat, "dilation": [0, 1]}, (0, 3, 3, 3))
    crop = Case(
        {"type": "Conv2d", "in_channels": 3, "padding": [0, -1], "padding_mode": "reflect", **flat}, (1, 3, 3, 3)
    )
    answers = [(torchs_answer(case), our_answer(case)) for case in (no_channels, no_images, crop)]
    assert answers[0] == ((2, 0, 3, 3), (2, 4, 3, 3))
    assert answers[1][0] == (0, 4, 3, 3)
    assert "dilation" in str(answers[1][1])
    assert answers[2][0] == (1, 4, 3, 1)
    assert "padding" in str(answers[2][1])
