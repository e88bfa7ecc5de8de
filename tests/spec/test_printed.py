"""A pasted print(model): its layers, their dotted names and their lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError
from convcli.plan import plan
from convcli.spec.build import printed_network
from convcli.spec.load import loads
from convcli.spec.printed import is_printed, layers

MODEL = """\
Net(
  (stem): Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
  (blocks): Sequential(
    (0): Block(
      (conv): Conv2d(16, 16, kernel_size=(3, 3), stride=(1, 1), padding=same)
    )
    (1-2): 2 x Block(
      (conv): Conv2d(16, 16, kernel_size=(1, 1), stride=(1, 1), bias=False)
      (more): ModuleList(
        (0-1): 2 x Conv2d(16, 16, kernel_size=(1, 1), stride=(1, 1))
      )
    )
  )
  (head): ConvTranspose2d(16, 4, kernel_size=(2, 2), stride=(2, 2))
)
"""
NAMES = [
    "stem",
    "blocks.0.conv",
    "blocks.1.conv",
    "blocks.1.more.0",
    "blocks.1.more.1",
    "blocks.2.conv",
    "blocks.2.more.0",
    "blocks.2.more.1",
    "head",
]


def test_names_are_torchs_dotted_ones_and_repeats_are_spelled_out() -> None:
    assert [line.name for line in layers(MODEL)] == NAMES
    network = printed_network(MODEL, "model.txt")
    assert [entry.name for entry in network.entries] == NAMES
    lines = MODEL.splitlines()
    for entry in network.entries:
        assert entry.line is not None
        assert "Conv" in lines[entry.line - 1]


def test_a_printed_model_is_planned_like_any_network() -> None:
    network = loads(MODEL.encode(), "<stdin>")
    network.input = (1, 3, 8, 8)
    assert plan(network).steps[-1].y == (4, 16, 16)


@pytest.mark.parametrize(
    "text",
    [
        MODEL,
        "Conv2d(3, 4, 3)\n",
        "\n\n  Conv2d(3, 4, 3)\n",
        "(conv1): Conv2d(3, 4, 3)\nConv2d(4, 4, 3)\n",
        "Sequential(\n)\n",
    ],
)
def test_what_is_printed_is_known_for_it(text: str) -> None:
    assert is_printed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "layers:\n  - Conv2d(3, 4, 3)\n",
        "- Conv2d(3, 4, 3)\n",
        "name: x (y)\n",
        '{"layers": []}',
        "# Conv2d(3, 4, 3)\n",
    ],
)
def test_what_is_not_printed_is_not(text: str) -> None:
    assert not is_printed(text)


def test_an_unknown_layer_is_placed_in_the_whole_text() -> None:
    with pytest.raises(SpecError) as caught:
        printed_network(
            "Net(\n  (a): Conv2d(3, 4, 3)\n  (b): Convolve2d(4, 4, 3)\n  (c): Conv2d(4, 4, 3, strid=2)\n)\n",
            "model.txt",
        )
    first, second = caught.value.problems
    assert (first.source, first.line, first.column) == ("model.txt", 3, 8)
    assert (second.line, second.column) == (4, 24)
    assert "strid" in second.message


def test_an_empty_container_has_no_layers() -> None:
    with pytest.raises(SpecError, match="no layer in this text"):
        printed_network("Sequential(\n)\n", "model.txt")


@given(
    st.lists(
        st.sampled_from(
            ["Net(", "(a): B(", "(0-3): 4 x B(", ")", "(c): Conv2d(3, 4, 3)", "(0-1): 2 x Conv2d(3, 3, 1)", "text", ""]
        ),
        max_size=12,
    )
)
def test_any_shape_of_text_ends(lines: list[str]) -> None:
    """Unbalanced brackets, texts in between: layers or an error."""
    with refused_at_most():
        assert printed_network("\n".join(lines), "model.txt").entries


@pytest.mark.torch
def test_what_torch_prints() -> None:
    nn: Any = pytest.importorskip("torch.nn")
    block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, bias=False))
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(3, 8, 7, 2, 3))
    model.add_module("body", nn.ModuleList([block, block, nn.Sequential(nn.Conv2d(8, 8, 3, padding="same"))]))
    model.add_module("up", nn.ConvTranspose2d(8, 1, 4, 2, 1))
    expected = [name for name, module in model.named_modules(remove_duplicate=False) if not list(module.children())]
    assert [line.name for line in layers(repr(model))] == expected
    network = printed_network(repr(model), "model.txt")
    network.input = (1, 3, 32, 32)
    assert plan(network).steps[-1].y == (1, 32, 32)
