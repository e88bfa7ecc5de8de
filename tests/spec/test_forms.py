"""The layer types by all their names, and PyTorch's words and order for their fields."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest
from drawn import layer_of
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError
from convcli.layers import KINDS, OnRoIs
from convcli.spec.form import key
from convcli.spec.forms import (
    BY_KEY,
    CONV_ORDER,
    DEFORM_ORDER,
    FORMS,
    PROPER_TYPES,
    SYNONYMS,
    TRANSPOSED_ORDER,
    every_form,
    form,
    nearest_field,
)

LEAST: dict[str, Any] = {"out_channels": 4, "kernel_size": 1, "groups": 1, "dilation": 2, "output_size": 7}


def made(type_: str, rank: int = 2, **fields: Any) -> Any:
    """The layer of a type, with no more fields than it must have."""
    shape = form(type_)
    required = {field.name for field in msgspec.structs.fields(shape.fields) if field.required} - {"type"}
    least = {name: LEAST[name] for name in required}
    return layer_of({"type": type_, **least, **fields}, shape.rank or rank)


def test_every_kind_has_a_type() -> None:
    missing = {kind.__name__ for kind in KINDS} - {type(made(type_)).__name__ for type_ in PROPER_TYPES}
    assert not missing, f"no form in convcli/spec/forms.py makes {', '.join(sorted(missing))}"


@pytest.mark.parametrize("type_", sorted(BY_KEY))
def test_every_name_makes_a_layer_of_its_rank(type_: str) -> None:
    rank = form(type_).rank
    for told in (1, 2, 3):
        layer = made(type_, told)
        assert len(layer.output_size if isinstance(layer, OnRoIs) else layer.axes) == (rank or told)


@given(st.sampled_from(sorted({shape.type for shape in FORMS if shape.rank})), st.data())
def test_case_dashes_and_blanks_do_not_matter(type_: str, data: st.DataObject) -> None:
    changed = "".join(
        data.draw(st.sampled_from(["", "-", "_", " "])) + data.draw(st.sampled_from([letter.lower(), letter.upper()]))
        for letter in type_
    )
    assert form(changed) == form(type_)
    assert key(changed) == key(type_)


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("standard", "Conv*d"),
        ("pointwise", "PointwiseConv*d"),
        ("grouped", "Conv*d"),
        ("depthwise", "DepthwiseConv*d"),
        ("depthwise_separable", "SeparableConv*d"),
        ("transposed", "ConvTranspose*d"),
        ("dilated", "Conv*d"),
        ("deformable", "DeformConv2d"),
        ("Conv", "Conv*d"),
        ("DepthwiseConv2d", "DepthwiseConv2d"),
        ("Conv2DTranspose", "ConvTranspose2d"),
        ("SeparableConv2D", "SeparableConv2d"),
        ("Deconvolution2d", "ConvTranspose2d"),
        ("DCN", "DeformConv2dPack"),
        ("DCNv2", "DeformConv2dPack"),
        ("ModulatedDeformConv2d", "DeformConv2d"),
        ("ModulatedDeformConv2dPack", "DeformConv2dPack"),
        ("deformable_roi_pooling", "DeformRoIPool"),
        ("DeformRoIPoolingPack", "DeformRoIPoolPack"),
        ("ModulatedDeformRoIPoolPack", "DeformRoIPoolPack"),
        ("DepthwiseSeparableConvModule", "SeparableConv*d"),
    ],
)
def test_other_words_for_a_type(word: str, type_: str) -> None:
    assert form(word).type == type_


def test_mmcvs_names_say_whether_there_is_a_mask() -> None:
    assert made("ModulatedDeformConv2d").modulated
    assert made("DCNv2").modulated
    assert not made("DCN").modulated
    assert not made("DCNv2", modulated=False).modulated


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("Convolve2d", "Conv2d"),
        ("ConvTransposed2", "ConvTranspose"),
        ("SeperableConv2d", "SeparableConv2d"),
        ("DeformCon2d", "DeformConv2d"),
    ],
)
def test_an_unknown_type_names_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(SpecError) as caught:
        form(wrong)
    (problem,) = caught.value.problems
    assert problem.repair.startswith(meant)
    assert problem.field == "type"
    assert all(type_ in problem.allowed for type_ in PROPER_TYPES)


@given(st.text(max_size=30))
def test_any_text_is_a_type_or_an_error(text: str) -> None:
    with refused_at_most(lambda problem: problem.field == "type"):
        assert form(text) in every_form().values()


@pytest.mark.parametrize(("word", "ours"), sorted(SYNONYMS.items()))
def test_other_libraries_words_for_a_field_name_ours(word: str, ours: str) -> None:
    assert nearest_field(word, (ours, "name", "type")) == ours


def test_a_misspelt_field_names_the_nearest() -> None:
    known = ("kernel_size", "stride", "padding", "padding_mode")
    assert nearest_field("kernel_sise", known) == "kernel_size"
    assert nearest_field("Stride", known) == "stride"
    assert nearest_field("xyzzy", known) == ""


@pytest.mark.torch
@pytest.mark.parametrize(
    ("type_", "order"),
    [(f"Conv{rank}d", CONV_ORDER) for rank in (1, 2, 3)]
    + [(f"ConvTranspose{rank}d", TRANSPOSED_ORDER) for rank in (1, 2, 3)]
    + [("DeformConv2d", DEFORM_ORDER)],
)
def test_positions_and_defaults_are_pytorchs(type_: str, order: tuple[str, ...]) -> None:
    torch: Any = pytest.importorskip("torch")
    ops: Any = pytest.importorskip("torchvision.ops")
    theirs = getattr(torch.nn, type_, None) or getattr(ops, type_)
    parameters = [
        p for p in inspect.signature(theirs.__init__).parameters.values() if p.name not in {"self", "device", "dtype"}
    ]
    assert order == tuple(parameter.name for parameter in parameters)
    defaults = {field.name: field.default for field in msgspec.structs.fields(form(type_).fields)}
    for parameter in parameters:
        if parameter.default is not inspect.Parameter.empty:
            assert defaults[parameter.name] == parameter.default
