# mypy: disable-error-code="misc"
"""Small torch models, each with something that an importer may stumble over."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it
from torch.nn.utils import parametrizations
from torchvision.ops import DeformConv2d


class Functional(nn.Module):
    """Its own parameters in functions, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, 8, 3, 3))
        self.bias = nn.Parameter(torch.empty(8))
        self.head = nn.Parameter(torch.empty(10, 8))
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.relu(F.conv2d(x, self.weight, self.bias, padding=1))
        return F.linear((x * self.scale).mean((2, 3)), self.head)


class Shared(nn.Module):
    """A block that is called twice, and a layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.again = self.block[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.block(self.block(x)) + x)


class WeightNorm(nn.Module):
    """Weights that are worked out from parameters, in the old way and the new."""

    def __init__(self) -> None:
        super().__init__()
        self.new = parametrizations.weight_norm(nn.Conv2d(8, 16, 3))
        self.spectral = parametrizations.spectral_norm(nn.Linear(16, 4))
        self.low = nn.Linear(16, 4)
        self.a, self.b = nn.Parameter(torch.empty(4, 2)), nn.Parameter(torch.empty(2, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.new(x).mean((2, 3))
        return self.spectral(x) + F.linear(x, self.low.weight + self.a @ self.b, self.low.bias)


class Tied(nn.Module):
    """An embedding whose table is the last layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 50)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


class UNet(nn.Module):
    """Down, up by transposed layers, joined; the answer is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)
        self.last, self.side = nn.Conv2d(16, 2, 1), nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        top = F.leaky_relu(self.first(x), 0.2)
        low = torch.relu(self.second(top))
        joined = torch.cat([self.up(low), top], dim=1)
        return {"out": self.last(joined), "more": (self.side(joined), [F.interpolate(low, scale_factor=2)])}


class Deformable(nn.Module):
    """Offsets and masks of its own convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.offset, self.mask = nn.Conv2d(4, 18, 3, padding=1), nn.Conv2d(4, 9, 3, padding=1)
        self.deform = DeformConv2d(4, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.deform(x, self.offset(x), torch.sigmoid(self.mask(x)))
        return out


class Attention(nn.Module):
    """Attention as a module, as a function, by einsum, and with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.MultiheadAttention(16, 4, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.masked = nn.TransformerEncoderLayer(16, 2, 32)
        self.cross = nn.MultiheadAttention(16, 2, kdim=8, vdim=8, batch_first=True)
        self.qkv = nn.Linear(16, 48)
        self.narrow = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.whole(x, x, x, need_weights=False)[0]
        x = self.layer(x)
        mask = torch.triu(torch.full((x.shape[0], x.shape[0]), float("-inf")), diagonal=1)
        x = self.masked(x, src_mask=mask)
        small = self.narrow(x)
        x = x + self.cross(x, small, small, need_weights=False)[0]
        q, k, v = self.qkv(x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        scores = torch.einsum("bid,bjd->bij", x, x).softmax(-1)
        return torch.einsum("b i j, b j d -> b i d", scores, x)


class Recurrent(nn.Module):
    """Two layers, both ways, and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gru(self.lstm(x)[0].transpose(0, 1))[0][-1]
        return out


class Unused(nn.Module):
    """A head that nobody calls, and a fixed filter that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.extra = nn.Conv2d(3, 4, 3), nn.Linear(4, 7)
        self.register_buffer("blur", torch.ones(4, 1, 3, 3) / 9)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.conv(x), self.get_buffer("blur"), groups=4)


class Asks(nn.Module):
    """Which way it goes depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.b(x) if float(x.sum()) > 1e9 else x


class Keeps(nn.Module):
    """How many rows it keeps depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x[x[:, 0] > 0.5])


class Strange(nn.Module):
    """An operation that nobody has stated the cost of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(self.conv(x)).abs()


class Raises(nn.Module):
    """It cannot be run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        raise ValueError("not today")


class Written(nn.Module):
    """It writes into its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape[0], 4, *x.shape[2:])
        out[:, :2] = self.conv(x)[:, :2]
        out[:, 2:].add_(1.0).mul_(2)
        return self.last(out)


class Two(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.words = nn.Conv2d(3, 4, 3), nn.Embedding(10, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.image(x).mean((2, 3)) + self.words(y).sum(1)


class SameConv(nn.Conv2d):
    """A subclass with a forward of its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(F.pad(input, (0, 1, 0, 1)))


def small(width: int = 4, *, bias: bool = True) -> nn.Module:
    """A function that makes a model."""
    return nn.Sequential(
        SameConv(3, width, 3, bias=bias), nn.GroupNorm(2, width), nn.GELU(), nn.Flatten(), nn.LazyLinear(3)
    )


class Scripted(nn.Module):
    """A part of it runs in C++."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(x)
        return out


class Hidden(nn.Module):
    """Its work is done where nobody sees it."""

    def forward(self, x: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            return F.conv2d(x, torch.ones(4, 3, 3, 3, device=x.device))


class Rotary(nn.Module):
    """A product of constants."""

    def forward(self, x: Tensor) -> Tensor:
        angles = torch.arange(4.0)[:, None] @ torch.ones(1, 6)
        return x * angles.cos()
