"""torchvision's published numbers: `_ops` (GMACs of one image) and `num_params` in the metadata of its weights."""

from __future__ import annotations

from convcli.conventions.tool import Rule, Tool, alike, nothing, skipped

RULES: dict[str, Rule] = alike(
    "DeformConv*d", skipped("counts convolutions and products of matrices; torchvision's own deform_conv2d is neither")
)
TOOL = Tool(
    name="torchvision",
    package="torchvision",
    version="0.29",
    call='weights.meta["_ops"]',
    source="the metadata of its weights, and the test that checks them (test_extended_models.py)",
    rules=RULES,
    otherwise=nothing,
    mean_over="images",
)
