"""The picture of zero insertion: the convolution that it shows is the transposed layer."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from drawn import Case, transposed
from laws import examples, holds
from picture_elements import cells, check, elements, frames, is_part, rects, step_of

from convcli import SpecError
from convcli.pictures.asked import Asked
from convcli.pictures.scene import Film
from convcli.pictures.zero_insertion import drawn


@examples(25, 500)
def test_zeros_padding_and_taps_are_those_of_the_layer(count: int) -> None:
    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        axes, space, out = step.layer.axes, step.x[1:], step.y[1:]
        long = [(i - 1) * axis.stride + 1 for axis, i in zip(axes, space, strict=True)]
        if prod(out) > 150:
            return
        film = drawn(step, Asked(animate=True))
        assert isinstance(film, Film)
        check(film)
        if is_part(film):
            return
        root, steps = elements(film), frames(elements(film))
        stuffed = cells(root, "input", "zeros inserted")
        assert len(stuffed) == prod(space)
        assert all(
            not one % axis.stride for place in stuffed for axis, one in zip(axes, place[-case.rank :], strict=True)
        )
        assert len(cells(root, "zero")) == prod(long) - prod(space)
        assert len(steps) == prod(out)
        kept = prod(axis.pairs(o, i) for axis, i, o in zip(axes, space, out, strict=True))
        assert sum(len(cells(one, "tap", "zeros inserted")) for one in steps) == kept
        taps = prod(axis.kernel for axis in axes)
        roles = ("tap", "tap-zero", "tap-padding")
        assert all(sum(len(cells(one, role, "zeros inserted")) for role in roles) == taps for one in steps)

    holds(law, transposed(), count)


@examples(15, 200)
def test_a_tap_names_the_weight_that_scattering_uses(count: int) -> None:
    """y[o, stride*p + dilation*t - before] += weight[i, o, t] * x[i, p]"""

    def law(case: Case) -> None:
        step = step_of(case.layer, case.input)
        axes, space, out = step.layer.axes, step.x[1:], step.y[1:]
        if prod(out) > 150 or max(axis.inserted(i) + 2 * axis.span for axis, i in zip(axes, space, strict=True)) > 40:
            return
        film = drawn(step, Asked(animate=True))
        products = {
            (
                tuple(a.stride * p + a.dilation * t - a.before for a, p, t in zip(axes, place, tap, strict=True)),
                place,
                tap,
            )
            for place in product(*map(range, space))
            for tap in product(*(range(axis.kernel) for axis in axes))
        }
        shown = set()
        for one in frames(elements(film)):
            (written,) = cells(one, "written")
            for tap in rects(one, "tap", "input"):
                place = tuple(int(tap.attrib[f"data-{name}"]) for name in ("row", "column"))[-case.rank :]
                weight = tuple(map(int, tap.attrib["data-tap"].split(",")))
                shown.add((written[-case.rank :], place, weight))
        assert shown == {entry for entry in products if all(0 <= o < n for o, n in zip(entry[0], out, strict=True))}

    holds(law, transposed(ranks=(1, 2)), count)


def test_the_rotated_kernel_is_the_kernel_turned() -> None:
    scene = drawn(step_of("ConvTranspose2d(1, 1, (2, 3), stride=2)", (1, 1, 3, 3)), Asked(cell=(2, 2)))
    check(scene)
    texts = [one.text or "" for one in elements(scene).iter() if one.tag.endswith("text")]
    assert [texts.count(f"{row},{column}") for row in range(2) for column in range(3)] >= [2] * 6
    assert texts.index("0,0") < texts.index("1,2") < len(texts) - texts[::-1].index("0,0") - 1


def test_other_layers_insert_no_zeros() -> None:
    with pytest.raises(SpecError, match="inserts no zeros"):
        drawn(step_of("Conv2d(1, 1, 3)", (1, 1, 5, 5)), Asked())


@pytest.mark.parametrize("kernel", ["2", "(2, 3)", "7", "(1, 4)"])
def test_letters_name_the_weights_and_the_rotated_kernel_has_them_backwards(kernel: str) -> None:
    root = elements(drawn(step_of(f"ConvTranspose2d(1, 1, {kernel}, stride=2)", (1, 1, 3, 3)), Asked()))
    letters, backwards = (
        [rect.attrib["data-glyph"] for rect in rects(root, "weight", panel)] for panel in ("kernel", "rotated")
    )
    assert len(set(letters)) == len(letters) > 1
    assert backwards == letters[::-1]
