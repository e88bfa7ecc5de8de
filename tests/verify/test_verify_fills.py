"""The data keep their promises: exact where exactness is claimed, and of nothing but the layer and the seed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.axis import axes
from convcli.backends import numpy as ours
from convcli.layers import KINDS, Conv, Layer, Separable
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.draws import amplitude
from convcli.verifier.exchange import store
from convcli.verifier.fills import FEW, STRUCTURAL, ordinary, structural
from convcli.verifier.formats import in_format, stored
from convcli.verifier.samples import seen_taps

if TYPE_CHECKING:
    from pathlib import Path


def case_of(drawn: Drawn, seed: int = 0) -> Case:
    """The verifier's view of a drawn layer."""
    return Case(drawn.layer, drawn.x, drawn.input[:1], seed)


def values(fill: Fill, dtype: Any = np.float64) -> dict[str, Any]:
    """The numbers that a fill stands for."""
    return {name: np.asarray(a, dtype) / dtype(fill.scales.get(name, 1)) for name, a in fill.arrays.items()}


def same(one: Fill, other: Fill) -> bool:
    """The same arrays."""
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays
    )


def test_every_kind_has_a_fill() -> None:
    assert set(STRUCTURAL) == {kind.kind for kind in KINDS}


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(["float32", "float16", "bfloat16"]))
def test_no_sum_can_round(drawn: Drawn, dtype: str) -> None:
    """The sum of |x*w| and |b|, by the plain loops in float64, is below 2**bits quanta, and a whole number of them."""
    case = case_of(drawn)
    try:
        fill = structural(case, BITS[dtype])
    except Unfillable:
        assert dtype != "float32"  # single precision has room for every small layer
        return
    arrays = values(fill)
    layer = case.layer
    for part, magnitude in ours.magnitudes(layer, arrays).items():
        quanta = magnitude / fill.quanta[part]
        assert quanta.max(initial=0) <= 2 ** BITS[dtype]
        assert np.array_equal(quanta, np.round(quanta))
    if not layer.parts(case.x):
        absolute = {name: a if name == "offset" else np.abs(a) for name, a in arrays.items()}
        assert np.array_equal(ours.forward(layer, absolute, "loops"), magnitude)
    narrow = values(fill, np.dtype(stored(dtype)).type)
    assert np.array_equal(in_format(ours.forward(layer, arrays), dtype), ours.forward(layer, narrow))


@settings(max_examples=60)
@given(convolutions())
def test_nothing_is_zero_and_biases_are_distinct(drawn: Drawn) -> None:
    fill = structural(case_of(drawn), 24)
    assert not fill.note
    for name, array in fill.arrays.items():
        if name == "x" or (name.endswith("weight") and name != "offset_conv.weight"):
            assert np.all(array != 0), name
        if name.endswith("bias") and name != "offset_conv.bias":
            assert np.all(array != 0), name
            assert len(np.unique(array)) == array.size, name


@settings(max_examples=40)
@given(convolutions(), st.integers(0, 3))
def test_a_pack_predicts_offsets_in_quarters_and_whole_masks(drawn: Drawn, seed: int) -> None:
    case = case_of(drawn, seed)
    if case.layer.kind != "deform_conv_pack":
        return
    side = ours._predicted(case.layer, values(structural(case, 24), np.float32), "auto")  # type: ignore[arg-type]
    assert np.array_equal(side["offset"] * 4, np.round(side["offset"] * 4))
    reach = max(size + axis.span + axis.before for size, axis in zip(case.x[1:], case.layer.axes, strict=True))
    assert np.abs(side["offset"]).max() <= max(4, reach)
    *_, deform = case.layer.parts(case.x)
    if side["offset"][0, 0].size * case.batch[0] <= FEW:
        assert seen_taps(deform.layer, side["offset"], side.get("mask"), case.x).all()
    assert set(np.unique(side.get("mask", np.zeros(1)))) <= {0.0, 0.5, 1.0}


def test_a_pack_sees_all_three_masks() -> None:
    from convcli.layers import DeformConvPack

    layer = DeformConvPack(axes=axes((3, 3), padding=1), out_channels=2, modulated=True).settled((4, 9, 9))
    arrays = values(structural(Case(layer, (4, 9, 9), (2,)), 24), np.float64)
    mask = ours._predicted(layer, arrays, "auto")["mask"]
    assert set(np.unique(mask)) == {0.0, 0.5, 1.0}


@settings(max_examples=40)
@given(convolutions(), st.integers(0, 2**63), st.integers(0, 2**63))
def test_the_data_are_the_layers_and_the_seeds(drawn: Drawn, seed: int, other: int) -> None:
    first = structural(case_of(drawn, seed), 24)
    structural(case_of(drawn, other), 24)  # what is drawn in between does not matter
    assert same(first, structural(case_of(drawn, seed), 24))
    if seed != other and first.arrays["x"].size > 20:
        assert not same(first, structural(case_of(drawn, other), 24))


def test_the_data_never_change() -> None:
    """A golden: a failure's repro line must find the same numbers tomorrow, on another machine."""
    layer = Conv(axes=axes((2,)), out_channels=2).settled((2, 4))
    case = Case(layer, (2, 4), (1,))
    assert case.key.hex() == "41138f6253ed273ffe9379daed5fa6f5"
    assert structural(case, 24).arrays["x"].tolist() == [[[89, 102, -41, 48], [23, 48, -64, -11]]]


@pytest.mark.parametrize(("field", "value"), [("seed", 1), ("batch", (3,)), ("x", (4, 9, 8))])
def test_whatever_changes_the_layer_changes_the_data(field: str, value: Any) -> None:
    layer = Conv(axes=axes((3, 2)), out_channels=3).settled((4, 9, 7))
    fields: dict[str, Any] = {"layer": layer, "x": (4, 9, 7), "batch": (2,), "seed": 0}
    assert Case(**fields).key != Case(**{**fields, field: value}).key


@given(st.integers(1, 2**40), st.integers(0, 1000), st.sampled_from([11, 24, 53]))
def test_the_amplitude_is_the_largest_that_fits(products: int, bias: int, bits: int) -> None:
    room = 2.0**bits
    a, keep = amplitude(products, lambda a: a * a, bias, room)
    assert Fraction(keep) * a * a + bias <= room
    assert keep == products or a == 1
    if keep == products and a < 127:
        assert products * (a + 1) ** 2 + bias > room
    if keep < products:
        assert (keep + 1) + bias > room


def test_too_many_products_are_thinned_and_it_says_so() -> None:
    layer: Layer = Conv(axes=axes((5, 5)), out_channels=3).settled((200, 6, 6))
    fill = structural(Case(layer, (200, 6, 6), (1,)), BITS["float16"])
    rows = fill.arrays["weight"].reshape(3, -1)
    kept = np.count_nonzero(rows, axis=1)
    assert fill.note == f"weights thinned to {kept[0]} of 5000 products"
    assert len(set(kept)) == 1
    assert kept[0] + 2 <= 2**11
    separable: Layer = Separable(axes=axes((7, 7)), out_channels=3).settled((200, 8, 8))
    assert "thinned" in structural(Case(separable, (200, 8, 8), (1,)), BITS["float16"]).note


def test_where_nothing_fits_it_says_so() -> None:
    with pytest.raises(Unfillable, match="not even one product"):
        amplitude(10, lambda a: a * 5000, 0, 2.0**11)


@settings(max_examples=40)
@given(convolutions())
def test_ordinary_offsets_and_coordinates_are_exact_in_single_precision(drawn: Drawn) -> None:
    case = case_of(drawn)
    if case.layer.kind != "deform_conv":
        return
    fill = ordinary(case)
    offset = values(fill)["offset"]
    assert np.array_equal(offset.astype(np.float32), offset)
    assert np.abs(offset).max() <= 2


def test_a_sample_on_disk_is_the_callers_own(tmp_path: Path) -> None:
    layer = Conv(axes=axes((2,)), out_channels=2).settled((2, 4))
    sample = store(str(tmp_path), "a", structural(Case(layer, (2, 4), (1,)), 24))
    one = sample.load("float64")
    one["x"][...] = 0
    assert np.all(sample.load("float64")["x"] != 0)
