"""Which picture: by its name, or the usual one of a layer's kind. Only the picture that is asked for is loaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from convcli.errors import SpecError
from convcli.layers import Layer
from convcli.layers.transposed import ConvTranspose
from convcli.pictures.asked import Asked
from convcli.pictures.scene import Film, Scene
from convcli.plan import Network, Plan, Step, plan

Drawn = Callable[[Step, Asked], Scene | Film]
PICTURES = {  # of a layer; each has drawn(step, asked)
    "taps": "convcli.pictures.taps",
    "zero-insertion": "convcli.pictures.zero_insertion",
}


def draw(
    network: Network | Plan, *, picture: str | None = None, layer: str | None = None, asked: Asked | None = None
) -> Scene | Film:
    """A picture of a layer: of the one named `layer`, of the only one, or of the first that has spatial axes.

    picture: one of PICTURES, the usual one of its kind when left out. Raises SpecError where it cannot be drawn.
    """
    planned = network if isinstance(network, Plan) else plan(network)
    step = _step(planned, layer)
    name = picture or usual(step.layer)
    if name not in PICTURES:
        raise SpecError(f"--picture {name} is not known", allowed=", ".join(PICTURES))
    return cast("Drawn", import_module(PICTURES[name]).drawn)(step, asked or Asked())


def usual(layer: Layer) -> str:
    """The picture that shows what is special of a kind."""
    return "zero-insertion" if isinstance(layer, ConvTranspose) else "taps"


def _step(planned: Plan, layer: str | None) -> Step:
    if layer is None:
        return next((step for step in planned.steps if step.layer.spatial and step.layer.rank), planned.steps[0])
    names = [step.name for step in planned.steps]
    if layer in names:
        return planned.steps[names.index(layer)]
    from difflib import get_close_matches  # a slow import that only errors need

    near = get_close_matches(layer, names, n=1)
    raise SpecError(f"no layer is named {layer!r}", field="--layer", repair=near[0] if near else "")
