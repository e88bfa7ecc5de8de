"""Packs of RoI pooling: what the linear layers predict, misread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import numpy as ours
from convcli.backends.compose import told
from convcli.layers import DeformRoIPoolPack
from convcli.verifier.mutants.mutant import mutant

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]

PACK = "deform_roi_pool_pack"
SMALL_PACK = "DeformRoIPoolPack(2, sampling_ratio=1, num_rois=2, deform_fc_channels=4)"
MODULATED = "ModulatedDeformRoIPoolPack(2, sampling_ratio=1, num_rois=2, deform_fc_channels=4)"


def _packed(
    layer: DeformRoIPoolPack, arrays: Arrays, change: Callable[[Arrays], Arrays], activation: Any = None
) -> Array:
    """y of a pack whose last part takes what `change` makes of it; `activation` in place of the ReLU."""
    inputs = told(layer, arrays, ours.forward, *([activation] if activation else []))
    return ours.forward(layer.parts(arrays["x"].shape)[-1].layer, change(inputs["deform_roi_pool"]))


@mutant(PACK, SMALL_PACK, (1, 2, 5, 5))
def region_pack_without_relu(layer: DeformRoIPoolPack, arrays: Arrays) -> Array:
    """linear layers without a ReLU between them"""
    return _packed(layer, arrays, dict, lambda x: x)


@mutant(PACK, SMALL_PACK, (1, 2, 5, 5))
def region_pack_not_deformed(layer: DeformRoIPoolPack, arrays: Arrays) -> Array:
    """predicted offsets left out"""
    return _packed(layer, arrays, lambda given: {**given, "offset": np.zeros_like(given["offset"])})


@mutant(PACK, SMALL_PACK, (1, 2, 5, 5))
def region_pack_offsets_bin_by_bin(layer: DeformRoIPoolPack, arrays: Arrays) -> Array:
    """predicted offsets read bin by bin, both directions beside each other"""

    def turned(given: Arrays) -> Arrays:
        offset = given["offset"]
        by_bin = offset.reshape(len(offset), *offset.shape[2:], 2)
        return {**given, "offset": np.ascontiguousarray(np.moveaxis(by_bin, -1, 1))}

    return _packed(layer, arrays, turned)


@mutant(PACK, MODULATED, (1, 2, 5, 5))
def region_pack_mask_ignored(layer: DeformRoIPoolPack, arrays: Arrays) -> Array:
    """predicted masks left out"""
    return _packed(
        layer, arrays, lambda given: {**given, "mask": np.ones_like(given["mask"])} if "mask" in given else given
    )


@mutant(PACK, MODULATED, (1, 2, 5, 5))
def region_pack_mask_twice(layer: DeformRoIPoolPack, arrays: Arrays) -> Array:
    """predicted masks up to 2, as deformable convolutions have them elsewhere"""
    return _packed(layer, arrays, lambda given: {**given, "mask": given["mask"] * 2} if "mask" in given else given)
