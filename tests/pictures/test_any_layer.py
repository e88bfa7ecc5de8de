"""Any layer, any picture, any cell: a scene in which all is well, or an error that says what is allowed."""

from __future__ import annotations

import pytest
from drawn import Case, cases
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from laws import examples, holds, refused_at_most
from picture_elements import check, elements, step_of

from convcli.axis import Axis
from convcli.layers import Conv, ConvTranspose, Layer
from convcli.pictures.asked import Asked
from convcli.pictures.choice import PICTURES, picture_of
from convcli.pictures.scene import Film
from convcli.pictures.terminal import blocks

HUGE = st.sampled_from([1, 2, 3, 7, 40, 41, 1000, 10**6, 10**9])


@st.composite
def asked(draw: DrawFn) -> tuple[str | None, Asked]:
    cell = draw(st.one_of(st.none(), st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple)))
    animate, offsets = draw(st.booleans()), draw(st.sampled_from(["zero", "random"]))
    return draw(st.sampled_from([None, *PICTURES])), Asked(
        cell=cell, animate=animate, most=draw(st.integers(1, 20)), offsets=offsets, seed=draw(st.integers(0, 99))
    )


@examples(60, 2000)
def test_small_layers(count: int) -> None:
    def law(drawn: tuple[Case, tuple[str | None, Asked]]) -> None:
        case, (name, wanted) = drawn
        step = step_of(case.layer, case.input)
        with refused_at_most():
            picture = picture_of(step, name, wanted)
            check(picture)
            elements(picture)
            assert isinstance(picture, Film) == wanted.animate
            assert blocks(picture.still() if isinstance(picture, Film) else picture, width=60)

    holds(law, st.tuples(cases(), asked()), count)


@st.composite
def huge(draw: DrawFn) -> tuple[Layer, tuple[int, ...]]:
    """Kernels, strides, sizes and channels up to 10^9, in layers that are legal."""
    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    groups = draw(st.sampled_from([1, 2, 24, 10**6]))
    channels, outs = groups * draw(st.sampled_from([1, 3, 10**6])), groups * draw(st.sampled_from([1, 5, 10**6]))
    axes, space = [], []
    for _ in range(rank):
        kernel, dilation, stride = draw(HUGE), draw(HUGE), draw(HUGE)
        pad = draw(st.sampled_from([0, 1, 1000, 10**9]))
        span = dilation * (kernel - 1) + 1
        axes.append(Axis(kernel, stride, dilation, *((0, 0) if transposed else (pad, pad // 2))))
        space.append(draw(HUGE) + (0 if transposed else span))
    kind = ConvTranspose if transposed else Conv
    layer = kind(axes=tuple(axes), out_channels=outs, groups=groups)
    return layer, (1, channels, *space)


@examples(60, 1500)
def test_huge_layers_are_drawn_in_part(count: int) -> None:
    def law(drawn: tuple[tuple[Layer, tuple[int, ...]], bool, int]) -> None:
        (layer, shape), animate, at = drawn
        step = step_of(layer, shape)
        cell = tuple((size - 1) * at // 1000 for size in step.y[1:])
        names = [
            "taps",
            *(["zero-insertion"] if isinstance(layer, ConvTranspose) else []),
            *([] if animate else ["groups"]),
        ]
        for name in names:
            picture = picture_of(step, name, Asked(cell=cell, animate=animate, most=5))
            base = picture.base if isinstance(picture, Film) else picture
            assert len(base.marks) < 30_000
            elements(picture)

    holds(law, st.tuples(huge(), st.booleans(), st.integers(0, 1000)), count)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (3, 5, 5), (1, 0, 5, 5)])
def test_no_images_no_batch_and_no_channels(shape: tuple[int, ...]) -> None:
    step = step_of("Conv2d(3, 4, 3)".replace("3, 4", f"{shape[-3]}, 4"), shape)
    for name in ("taps", "groups"):
        check(picture_of(step, name))
