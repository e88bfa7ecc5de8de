"""thop (PyTorch-OpCounter): a hook on every module of a known class; formulas over the shapes that pass it."""

from __future__ import annotations

from math import prod

from convcli.conventions.site import Site
from convcli.conventions.tool import Reason, Rule, Stops, Tool, alike, factor, nothing, skipped, zero_insertion

NO_RULE = "has no rule for this module: no MACs and no parameters"
NO_HOOK = "hooks modules: what a function works out is not seen"
UPSAMPLING = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}


def _conv(site: Site) -> tuple[Reason, ...]:
    """prod(y) * x.shape[1]/groups * taps."""
    return (_channels(site, site.counts.macs),)


def _transposed(site: Site) -> tuple[Reason, ...]:
    """The convolution's formula, whose output is now the larger side."""
    return (zero_insertion(site), _channels(site, site.counts.macs_zero_insert or 0))


def _channels(site: Site, batched: int) -> Reason:
    channels = (site.reaching if site.layer.kind == "conv" else site.x)[1]
    told = prod(site.y) * (channels // site.said("groups", 1)) * site.taps if site.unbatched else batched
    words = "takes axis 1 of the input for its channels, which without the batch axis it is not"
    return Reason(told - batched, words, factor(told, batched))


def _norm(site: Site) -> tuple[Reason, ...]:
    """2 per element, 4 when there is a scale and a shift."""
    times = 4 if site.said("affine") else 2
    return (Reason(times * prod(site.x), f"counts {times} operations per element of a normalisation as MACs"),)


def _prelu(site: Site) -> tuple[Reason, ...]:
    return (Reason(prod(site.x), "counts a PReLU as one MAC per element"),)


def _softmax(site: Site) -> tuple[Reason, ...]:
    """Per row of n: n exponentials, n - 1 additions, n divisions."""
    dim = dict(site.said("options")).get("dim")
    if not isinstance(dim, int) or not -len(site.x) <= dim < len(site.x):
        raise Stops("it looks up the input's axis by Softmax's dim, and there is none such")
    size = site.x[dim]
    rows = prod(site.x) // size if size else 0
    return (Reason(rows * (3 * size - 1), "counts a Softmax's exponentials, additions and divisions as MACs"),)


def _avg_pool(site: Site) -> tuple[Reason, ...]:
    return (Reason(prod(site.y), "counts an average pool as one MAC per output"),)


def _adaptive_pool(site: Site) -> tuple[Reason, ...]:
    """(the mean window's cells + 1) * outputs, in floating point as the tool works it out."""
    cells = 1.0
    for size, out in zip(site.x[2:], site.y[2:], strict=True):
        cells *= size / out
    words = "counts an adaptive average pool as its window's additions and a division per output"
    return (Reason(int((cells + 1) * prod(site.y)), words),)


def _upsample(site: Site) -> tuple[Reason, ...]:
    times = UPSAMPLING.get(site.said("mode"), 0)
    words = f"counts {times} operations per output of {site.said('mode')} upsampling as MACs"
    return (Reason(times * prod(site.y), words),)


RULES: dict[str, Rule] = {
    **alike("Conv*d", _conv),
    **alike("ConvTranspose*d", _transposed),
    **alike("BatchNorm*d InstanceNorm*d LayerNorm", _norm),
    **alike("AvgPool*d", _avg_pool),
    **alike("AdaptiveAvgPool*d", _adaptive_pool),
    "PReLU": _prelu,
    "Softmax": _softmax,
    "Upsample": _upsample,
    "Linear": nothing,
    "torch.matmul": skipped(NO_HOOK),
    "parameter": skipped(
        "counts the parameters of modules that it has rules for, none that a model holds itself", params=True
    ),
}
TOOL = Tool(
    name="thop",
    package="thop",
    version="0.1.1",
    call="thop.profile(model, inputs=(x,))",
    source="its registered hooks, and its answers for thop 0.1.1.post2209072238",
    rules=RULES,
    otherwise=skipped(NO_RULE, params=True),
)
