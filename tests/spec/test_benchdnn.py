"""oneDNN's problem descriptors, by the examples of benchdnn's documentation and the defaults it states."""

from __future__ import annotations

import pytest
from drawn import ints
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError, parse
from convcli.axis import Axis
from convcli.layers import Conv, Layer
from convcli.spec.benchdnn import described, is_descriptor


@pytest.mark.parametrize(
    ("text", "shape", "axes", "out"),
    [
        # AlexNet's first layer, the documentation's example; mb is 2 when left out
        (
            'ic3ih227iw227_oc96oh55ow55_kh11kw11_sh4sw4ph0pw0_n"alexnet:conv1"',
            (2, 3, 227, 227),
            [Axis(11, 4)] * 2,
            (2, 96, 55, 55),
        ),
        (
            "g1mb1ic3ih227iw227oc96oh55ow55kh11kw11sh4sw4ph0pw0dh0dw0",
            (1, 3, 227, 227),
            [Axis(11, 4)] * 2,
            (1, 96, 55, 55),
        ),
        # the right padding follows from the output: 112 outputs of a 7-wide kernel at stride 2 need 2 cells there
        ("mb1_ic3oc64_ih224oh112kh7sh2ph3", (1, 3, 224, 224), [Axis(7, 2, 1, 3, 2)] * 2, (1, 64, 112, 112)),
        # ... and may be negative: the last two columns are never read
        ("mb1ic2oc2ih10oh2kh3sh5ph0", (1, 2, 10, 10), [Axis(3, 5, 1, 0, -2)] * 2, (1, 2, 2, 2)),
        # dilation 0 is PyTorch's 1, and 1 is 2
        ("mb1ic4oc4ih8kh3dh0oh6ph0", (1, 4, 8, 8), [Axis(3)] * 2, (1, 4, 6, 6)),
        ("mb1ic4oc4ih8kh3dh1oh4ph0", (1, 4, 8, 8), [Axis(3, dilation=2)] * 2, (1, 4, 4, 4)),
        # w alone is one axis, d alone three
        ("ic16iw10_oc8kw3ow8pw0", (2, 16, 10), [Axis(3)], (2, 8, 8)),
        ("mb1ic16id10_oc8kd3od8pd0", (1, 16, 10, 10, 10), [Axis(3)] * 3, (1, 8, 8, 8, 8)),
        # padding left out follows from the output, the odd cell after
        ("mb1ic4oc4ih8oh8kh4", (1, 4, 8, 8), [Axis(4, 1, 1, 1, 2)] * 2, (1, 4, 8, 8)),
        # each axis by itself
        ("mb1ic4oc4ih8iw9kh3kw1oh8ow9ph1pw0", (1, 4, 8, 9), [Axis(3, before=1, after=1), Axis(1)], (1, 4, 8, 9)),
        ("mb32g2ic4oc6ih8kh3ph1oh8", (32, 4, 8, 8), [Axis(3, before=1, after=1)] * 2, (32, 6, 8, 8)),
    ],
)
def test_a_descriptor_is_a_convolution(
    text: str, shape: tuple[int, ...], axes: list[Axis], out: tuple[int, ...]
) -> None:
    found = described(text)
    assert is_descriptor(text)
    assert found.input == shape
    assert found.layer.axes == tuple(axes)
    assert found.layer.output_shape(shape) == out
    assert parse(text) == found.layer


def test_the_name_is_kept() -> None:
    assert described('ic3ih8oc4kh3n"a name: with 9 things"').name == "a name: with 9 things"
    assert described("ic3ih8oc4kh3nconv_1").name == "conv_1"
    assert described("ic3ih8oc4kh3").name == ""


def test_groups_are_read() -> None:
    layer = described("g4ic8oc12ih8kh3").layer
    assert layer.groups == 4
    assert layer.tensors((8, 8, 8))["weight"] == (12, 2, 3, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ic4ih8kh3", "no oc"),
        ("ic4oc4ih8", "kernel size"),
        ("ic4oc4kh3", "input size"),
        ("ic4oc0ih8kh3", "out_channels=0"),
        ("ic4oc4ih8kh0", "kernel_size=0"),
        ("ic4oc4ih8kh3sh0", "stride=0"),
        ("ic4oc4ih8kh3zh3", "zh3"),
        ("ic99999999999999999999oc4ih8kh3", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        described(text).layer.output_shape(described(text).input)


@pytest.mark.parametrize("text", ["", "net.yaml", "nice", "Conv2d(3, 4, 3)", "mb1", "-", "ih3kh3"])
def test_other_arguments_are_no_descriptors(text: str) -> None:
    assert not is_descriptor(text)


@st.composite
def problems(draw: st.DrawFn) -> tuple[str, Layer, tuple[int, ...]]:
    """A descriptor, and the convolution and the input that it means."""
    rank, groups = draw(ints(1, 3)), draw(ints(1, 3))
    channels, outs, batch = groups * draw(ints(1, 3)), groups * draw(ints(1, 3)), draw(ints(1, 4))
    axes, space, words = [], [], []
    for letter in "dhw"[-rank:]:
        out, k, s, d, before = draw(ints(1, 5)), draw(ints(1, 4)), draw(ints(1, 3)), draw(ints(1, 3)), draw(ints(0, 3))
        size = draw(ints(1, 12))
        after = (out - 1) * s + d * (k - 1) + 1 - size - before
        axes.append(Axis(k, s, d, before, after))
        space.append(size)
        words.append(f"i{letter}{size}o{letter}{out}k{letter}{k}s{letter}{s}d{letter}{d - 1}p{letter}{before}")
    text = f"mb{batch}_g{groups}ic{channels}oc{outs}_" + draw(st.sampled_from(["", "_"])).join(words)
    return (
        text,
        Conv(axes=tuple(axes), in_channels=channels, out_channels=outs, groups=groups),
        (batch, channels, *space),
    )


@given(problems())
def test_every_problem_is_read_back(problem: tuple[str, Layer, tuple[int, ...]]) -> None:
    text, layer, shape = problem
    found = described(text)
    assert (found.layer, found.input) == (layer, shape)


@given(st.text('gmbicoskpdhw_n0123456789"', max_size=40))
def test_any_text_is_a_descriptor_or_an_error(text: str) -> None:
    with refused_at_most():
        described(text)
