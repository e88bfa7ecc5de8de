"""fvcore: the model is traced; a formula per operator of the trace. One multiply-add is one flop, its own words."""

from __future__ import annotations

from math import prod

from convcli.conventions.site import Site
from convcli.conventions.tool import Reason, Rule, Stops, Tool, alike, factor, nothing, skipped
from convcli.layers.linear import MultiheadAttention

DEFORM = "has no rule for torchvision::deform_conv2d: no flops"
ATTENTION = "has no rule for aten::scaled_dot_product_attention: Q K^T and the mean of V are not counted"
UPSAMPLING = {"nearest": 1, "bilinear": 4}
MOST = 5  # axes of a normalisation


def _conv(site: Site) -> tuple[Reason, ...]:
    """dense; a padding that is written as a word is another operator."""
    if site.padding not in {"same", "valid"} or site.said("padding_mode") != "zeros":
        return ()
    why = f"padding='{site.padding}' becomes aten::_convolution_mode in the trace, which has no rule: no flops"
    return (Reason(-site.counts.macs, why),)


def _norm(site: Site) -> tuple[Reason, ...]:
    """4 per element, 5 when there is a scale."""
    if not 2 <= len(site.x) <= MOST:
        raise Stops(f"it takes a normalisation of 2 to {MOST} axes, not of {len(site.x)}")
    times = 5 if site.said("affine") else 4
    return (Reason(times * prod(site.x), f"counts {times} flops per element of a normalisation"),)


def _batch_norm(site: Site) -> tuple[Reason, ...]:
    """1 per element in eval mode, 2 when there is a scale."""
    times = 2 if site.said("affine") else 1
    return (Reason(times * prod(site.x), f"counts {times} flops per element of a batch norm in eval mode"),)


def _adaptive_pool(site: Site) -> tuple[Reason, ...]:
    return (Reason(prod(site.x), "counts one flop per input of a 2-D adaptive average pool"),)


def _upsample(site: Site) -> tuple[Reason, ...]:
    mode = site.said("mode")
    if mode == "area" and len(site.x) == 4:
        return _adaptive_pool(site)
    times = UPSAMPLING.get(mode, 0) if len(site.x) == 4 else 0
    return (Reason(times * prod(site.y), f"counts {times} flops per output of 2-D {mode} upsampling"),)


def _attention(site: Site) -> tuple[Reason, ...]:
    return (Reason(-weighing(site), ATTENTION),)


def _matmul(site: Site) -> tuple[Reason, ...]:
    return (broadcast(site),)


def weighing(site: Site) -> int:
    """The MACs of an attention's Q K^T and of the mean of V: all but its four projections."""
    layer = site.layer
    if not isinstance(layer, MultiheadAttention):
        raise TypeError(f"{layer.kind} is no attention")
    query, key = site.inputs[0], site.inputs[min(1, len(site.inputs) - 1)]
    along = (1 if layer.batch_first else 0) if len(query) == 3 else 0
    return 2 * prod(query) * key[along]


def first_by_last(site: Site) -> int:
    """prod(a) * columns of b: a product of matrices in which only b is broadcast."""
    a, b = site.inputs
    return prod(a) * (b[-2] if site.said("transpose_b") else b[-1])


def broadcast(site: Site) -> Reason:
    """What is lost where `a` is broadcast."""
    told, ours = first_by_last(site), site.counts.macs
    words = "counts a product of matrices by its first factor, which is broadcast here"
    return Reason(told - ours, words, factor(told, ours))


RULES: dict[str, Rule] = {
    **alike("Conv*d", _conv),
    **alike("DeformConv*d", skipped(DEFORM)),
    **alike("BatchNorm*d", _batch_norm),
    **alike("InstanceNorm*d GroupNorm LayerNorm LayerNorm2d", _norm),
    "AdaptiveAvgPool2d": _adaptive_pool,
    "Upsample": _upsample,
    "MultiheadAttention": _attention,
    "torch.matmul": _matmul,
}
TOOL = Tool(
    name="fvcore",
    package="fvcore",
    version="0.1.5",
    call="fvcore.nn.FlopCountAnalysis(model, x).total()",
    source="its documentation (one multiply-add is one flop) and its answers for fvcore 0.1.5.post20221221",
    rules=RULES,
    otherwise=nothing,
    flops=1,
)
