"""What there is to shrink of RoI pooling: images, channels, cells, bins, boxes, samples, a pack's hidden units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from convcli.layers import DeformRoIPool, DeformRoIPoolPack, Layer, Shape
    from convcli.plan import Step

Fields = dict[str, int]
NUMBERS = ("num_rois", "sampling_ratio", "deform_fc_channels")
SWITCHES = ("offset", "modulated")


def fields(step: Step) -> Fields:
    """Every number of a layer on regions and its input; a switch is 1 when on.

    The samples come first, for they are the work; in an image of one cell few errors show with one of them.
    """
    layer: Any = step.layer
    images, channels, *space = step.x
    found = {name: int(getattr(layer, name)) for name in (*NUMBERS, *SWITCHES) if hasattr(layer, name)}
    found |= {f"bins.{i}": size for i, size in enumerate(layer.output_size)}
    return found | {"images": images, "in": channels} | {f"size.{i}": size for i, size in enumerate(space)}


def layer(old: DeformRoIPool | DeformRoIPoolPack, new: Fields) -> tuple[Layer, Shape]:
    """The settled layer and its input. Raises SpecError."""
    x = (new["images"], new["in"], new["size.0"], new["size.1"])
    own: dict[str, Any] = {name: new[name] for name in NUMBERS if name in new}
    own |= {name: bool(new[name]) for name in SWITCHES if name in new}
    if "deform_fc_channels" in new:
        own["output_channels"] = None
    made = msgspec.structs.replace(old, output_size=(new["bins.0"], new["bins.1"]), in_channels=None, **own)
    return made.settled(x), x
