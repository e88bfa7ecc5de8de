"""torch.utils.flop_counter: a formula per operator that runs; 2 FLOPs per product of convolutions and matrices."""

from __future__ import annotations

from convcli.conventions.tool import Rule, Tool, alike, nothing, skipped

RULES: dict[str, Rule] = alike("DeformConv*d", skipped("has no formula for torchvision's deform_conv2d: no FLOPs"))
TOOL = Tool(
    name="torch",
    package="torch",
    version="2.15",
    call="torch.utils.flop_counter.FlopCounterMode",
    source="the counting semantics in its documentation, and its answers",
    rules=RULES,
    otherwise=nothing,
    params=False,
)
