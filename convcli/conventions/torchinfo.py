"""torchinfo: a hook on every module; mult-adds are its own parameters times how often it takes them to be used."""

from __future__ import annotations

from math import prod

from convcli.conventions.site import Site
from convcli.conventions.tool import Reason, Rule, Tool, alike, bias, factor, skipped, zero_insertion


def _conv(site: Site) -> tuple[Reason, ...]:
    """(weights + biases) * prod(y), its axis 1 left out: the channels."""
    if site.unbatched:
        return _unbatched(site)
    return (zero_insertion(site), bias(site)) if site.counts.macs_zero_insert is not None else (bias(site),)


def _unbatched(site: Site) -> tuple[Reason, ...]:
    sizes = (*site.y[:1], *site.y[2:])
    told, ours = sum(map(prod, site.tensors.values())) * prod(sizes), site.counts.macs
    words = "takes axis 1 of the output for the channels, which without the batch axis it is not; the bias counts too"
    return (Reason(told - ours, words, factor(told, ours)),)


def _linear(site: Site) -> tuple[Reason, ...]:
    """(weights + biases) * y.shape[0]."""
    weight, biases = prod(site.tensors["weight"]), prod(site.tensors.get("bias", (0,)))
    told = site.y[0] * weight
    words = "multiplies a layer's weights by the first axis of its output alone"
    return (
        Reason(told - site.counts.macs, words, factor(told, site.counts.macs)),
        Reason(site.y[0] * biases, "adds the biases of a linear layer, once per entry of the first axis"),
    )


def _owned(site: Site) -> tuple[Reason, ...]:
    """Every other module: its own weight and bias, times y.shape[0]."""
    own = sum(prod(shape) for name, shape in site.tensors.items() if name in {"weight", "bias"})
    words = "counts a module's own parameters as mult-adds, once per entry of the output's first axis"
    return (Reason(site.y[0] * own if site.y else 0, words),)


RULES: dict[str, Rule] = {
    **alike("Conv*d ConvTranspose*d DeformConv*d", _conv),
    "Linear": _linear,
    "MultiheadAttention": skipped("sums over modules without children; attention has one, which is never called"),
    "torch.matmul": skipped("hooks modules: what a function works out is not seen"),
    "parameter": skipped("counts what modules do: a tensor that a model holds is a parameter, no more"),
}
TOOL = Tool(
    name="torchinfo",
    package="torchinfo",
    version="1.8.0",
    call="torchinfo.summary(model, input_data=x).total_mult_adds",
    source="its documentation (mult-adds, batch included) and its answers",
    rules=RULES,
    otherwise=_owned,
)
