"""What layers can be, kind by kind, as factors of a few values each: the values at which real libraries have bugs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from convcli.errors import SpecError
from convcli.verifier.fuzz.covering import Factors, Rule, Value

Values = tuple[Value, ...]

CHANNELS: Values = (1, 2, 15, 17)  # one, a few, around a vector's width
GROUPS: Values = (1, 2, 3, 17)
SLIDING: dict[str, Values] = {
    "kernel": (1, 2, 3, "uneven", "larger"),  # larger than the input, but not than the padded input
    "stride": (1, 2, 3, "uneven"),
    "dilation": (1, 2, "uneven"),
    "size": ("different", "square", "one"),  # different on every axis; equal; a single cell on the last axis
}
PADDING: Values = ("valid", "symmetric", "asymmetric", "one-sided", "same", "same_upper", "same_lower")
BATCH: Values = ("none", 0, 1, 3)
YES_NO: Values = (True, False)
MODES: Values = ("zeros", "reflect", "replicate", "circular")
FEW = 4  # channels of a group, where there are many groups

SAME = Rule(("padding", "stride"), lambda padding, stride: padding == "same" and stride != 1)
ROOM = Rule(("kernel", "padding"), lambda kernel, padding: kernel == "larger" and padding in {"valid", "crop"})
ONE_CELL = Rule(
    ("size", "padding", "kernel"),
    lambda size, padding, kernel: size == "one" and padding == "valid" and kernel not in {1, "uneven"},
)
ONE_CELL_ALONE = Rule(  # "uneven" on one axis is not 1
    ("rank", "size", "padding", "kernel"),
    lambda rank, size, padding, kernel: (rank, size, padding) == (1, "one", "valid") and kernel != 1,
)
SLIDING_RULES = (SAME, ROOM, ONE_CELL, ONE_CELL_ALONE)


CROWDED = (
    Rule(("groups", "in"), lambda groups, each: groups > FEW and each > FEW),
    Rule(("groups", "out"), lambda groups, each: groups > FEW and each > FEW),
)


def _eaten(size: Value, padding: Value, kernel: Value) -> bool:
    """A transposed layer's padding leaves nothing of a single cell."""
    spans = {"symmetric": (3, "larger"), "one-sided": (3, "larger"), "asymmetric": ("larger",), "crop": ()}
    return size == "one" and kernel not in spans.get(str(padding), (kernel,))


CONV = Factors(
    {
        "rank": (1, 2, 3),
        "batch": BATCH,
        "in": CHANNELS,
        "out": CHANNELS,
        "groups": GROUPS,
        **SLIDING,
        "padding": (*PADDING, "crop"),
        "padding_mode": MODES,
        "bias": YES_NO,
    },
    (
        *SLIDING_RULES,
        *CROWDED,
        Rule(
            ("padding_mode", "size", "padding", "kernel"),
            lambda mode, size, padding, kernel: (
                ((size, mode) == ("one", "reflect") and padding != "valid")
                or (
                    (size, mode) == ("one", "circular")
                    and padding != "valid"
                    and (kernel != 1 or padding == "asymmetric")
                )
            ),
        ),
        # what crops is typed as a benchdnn descriptor, which knows neither these
        Rule(("padding", "padding_mode"), lambda padding, mode: padding == "crop" and mode != "zeros"),
        Rule(("padding", "bias"), lambda padding, bias: padding == "crop" and not bias),
        Rule(("padding", "batch"), lambda padding, batch: padding == "crop" and batch == "none"),
        Rule(("padding", "size"), lambda padding, size: padding == "crop" and size == "one"),
    ),
)
TRANSPOSED = Factors(
    {
        "rank": (1, 2, 3),
        "batch": BATCH,
        "in": CHANNELS,
        "out": CHANNELS,
        "groups": GROUPS,
        **SLIDING,
        "padding": (*PADDING, "crop"),
        "output_padding": (0, 1, "most"),
        "bias": YES_NO,
    },
    (
        SAME,
        *CROWDED,
        Rule(("size", "padding", "kernel"), _eaten),
        Rule(
            ("output_padding", "stride", "dilation"),
            lambda extra, stride, dilation: extra != 0 and (stride, dilation) == (1, 1),
        ),
    ),
)
SEPARABLE = Factors(
    {
        "rank": (1, 2, 3),
        "batch": BATCH,
        "in": CHANNELS,
        "out": CHANNELS,
        "depth_multiplier": (1, 2, 3),
        **SLIDING,
        "padding": PADDING,
        "bias": YES_NO,
        "pointwise_bias": (None, *YES_NO),
    },
    SLIDING_RULES,
)
_DEFORMABLE: dict[str, Values] = {
    "batch": BATCH,
    "in": CHANNELS,
    "out": CHANNELS,
    "groups": (1, 2, 3),
    "offset_groups": (1, 2, 3),
    **SLIDING,
    "padding": PADDING,
    "modulated": YES_NO,
    "bias": YES_NO,
}
DEFORMABLE = Factors(
    {"rank": (2,), **_DEFORMABLE},
    (
        *SLIDING_RULES,
        Rule(
            ("in", "groups", "offset_groups"),
            lambda each, groups, offset_groups: each > FEW and groups * offset_groups > FEW,
        ),
    ),
)
REGIONS = Factors(
    {
        "images": (1, 3),
        "in": CHANNELS,
        "num_rois": (0, 1, 3, 8),
        "bins": (1, 2, 3, "uneven"),
        "sampling_ratio": (0, 1, 2, 3),
        "spatial_scale": (1, "half", "odd"),
        "gamma": ("usual", 1, "negative", 0),
        "size": ("different", "square", "one"),
        "offset": YES_NO,
        "modulated": YES_NO,
    },
    (),
)
REGION_PACKS = Factors(
    {
        "images": (1, 3),
        "in": (1, 2, 5),
        "num_rois": (0, 1, 3),
        "bins": (1, 2, 3, "uneven"),
        "sampling_ratio": (0, 1, 2, 3),
        "spatial_scale": (1, "half", "odd"),
        "gamma": ("usual", 1, "negative", 0),
        "size": ("different", "square", "one"),
        "hidden": (1, 5, 17),
        "modulated": YES_NO,
    },
    (),
)
SPACES: Mapping[str, Factors] = MappingProxyType(
    {
        "conv": CONV,
        "conv_transpose": TRANSPOSED,
        "separable": SEPARABLE,
        "deform_conv": DEFORMABLE,
        "deform_conv_pack": DEFORMABLE,
        "deform_roi_pool": REGIONS,
        "deform_roi_pool_pack": REGION_PACKS,
    }
)


def kinds_of(names: Sequence[str]) -> tuple[str, ...]:
    """The kinds of these names, in the order of SPACES; all when there are none. Raises SpecError."""
    plain = {kind.replace("_", ""): kind for kind in SPACES}
    wanted = [name.lower().replace("-", "").replace("_", "") for name in names]
    for name, found in zip(names, wanted, strict=True):
        if found not in plain:
            from difflib import get_close_matches  # a slow import that only errors need

            near = get_close_matches(found, plain, n=1)
            repair = plain[near[0]] if near else ""
            raise SpecError(f"kind {name!r} is not known", field="kind", allowed=", ".join(SPACES), repair=repair)
    return tuple(kind for short, kind in plain.items() if not names or short in wanted)
