"""Which picture: of a network by its name, of a layer by that or by its kind. Only the one asked for is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from convcli.errors import SpecError
from convcli.layers import Conv, DeformConv, DeformConvPack, Layer, Separable
from convcli.layers.roi_pool import OnRoIs
from convcli.layers.transposed import ConvTranspose
from convcli.pictures.asked import Asked
from convcli.pictures.scene import Film, Scene
from convcli.plan import Network, Plan, Step, plan

Drawn = Callable[[Step, Asked], Scene | Film]
DrawnOfNetwork = Callable[[Plan, str | None, Asked], Scene]
PICTURES = {  # of a layer; each has drawn(step, asked)
    "taps": "convcli.pictures.taps",
    "zero-insertion": "convcli.pictures.zero_insertion",
    "groups": "convcli.pictures.groups",
    "samples": "convcli.pictures.samples",
    "regions": "convcli.pictures.regions",
}
OF_NETWORKS = {  # each has drawn(plan, layer, asked)
    "field": "convcli.pictures.field_map",
    "costs": "convcli.pictures.costs",
}


def draw(
    network: Network | Plan,
    *,
    picture: str | None = None,
    layer: str | None = None,
    cell: Sequence[int] | None = None,
    animate: bool = False,
    offsets: str = "random",
    seed: int = 0,
) -> Scene | Film:
    """A picture of a layer: of the one named `layer`, or of the first that has spatial axes; or of the whole network.

    picture: one of PICTURES or of OF_NETWORKS, the usual one of the layer's kind when left out. cell, animate, offsets,
    seed: as in `Asked`.
    Raises SpecError where it cannot be drawn. `pictures.svg.svg`, `raster.png`, `terminal.blocks` draw what it returns.
    """
    planned = network if isinstance(network, Plan) else plan(network)
    at = None if cell is None else tuple(cell)
    return picture_in(planned, picture, layer, Asked(cell=at, animate=animate, offsets=offsets, seed=seed))


def picture_in(planned: Plan, name: str | None, layer: str | None, asked: Asked) -> Scene | Film:
    """The picture `name` of a network, or of one of its layers."""
    if name not in OF_NETWORKS:
        return picture_of(step_of(planned, layer), name, asked)
    if asked.animate:
        raise SpecError(f"--picture {name} has no steps", field="--animate", allowed="a picture of a layer")
    return cast("DrawnOfNetwork", import_module(OF_NETWORKS[name]).drawn)(planned, layer, asked)


def picture_of(step: Step, name: str | None = None, asked: Asked | None = None) -> Scene | Film:
    """The picture `name` of a step, the usual one of its kind when left out."""
    name = name or usual(step.layer)
    if name not in PICTURES:
        raise SpecError(f"--picture {name} is not known", allowed=", ".join([*PICTURES, *OF_NETWORKS]))
    return cast("Drawn", import_module(PICTURES[name]).drawn)(step, asked or Asked())


def usual(layer: Layer) -> str:
    """The picture that shows what is special of a kind."""
    if isinstance(layer, ConvTranspose):
        return "zero-insertion"
    if isinstance(layer, DeformConv | DeformConvPack):
        return "samples"
    if isinstance(layer, OnRoIs):
        return "regions"
    mixes = isinstance(layer, Conv) and all(axis.kernel == 1 for axis in layer.axes)
    grouped = isinstance(layer, Separable) or (isinstance(layer, Conv) and layer.groups != 1)
    return "groups" if grouped or mixes else "taps"


def _has_picture(layer: Layer) -> bool:
    return isinstance(layer, OnRoIs) or (layer.spatial and layer.rank > 0)


def step_of(planned: Plan, layer: str | None) -> Step:
    """The step that is asked for by its name, else the first that has spatial axes."""
    if layer is None:
        return next((step for step in planned.steps if _has_picture(step.layer)), planned.steps[0])
    names = [step.name for step in planned.steps]
    if layer in names:
        return planned.steps[names.index(layer)]
    from difflib import get_close_matches  # a slow import that only errors need

    near = get_close_matches(layer, names, n=1)
    raise SpecError(f"no layer is named {layer!r}", field="--layer", repair=near[0] if near else "")
