"""Shape errors of torch 2.15 and torchvision 0.29, word for word, and the code that provokes each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Provoke = Callable[[Any, Any, Any], object]  # of torch, torch.nn, torch.nn.functional


class Told(NamedTuple):
    """An error: how to get it, its text, what it is about, a code that must be among the fixes."""

    provoke: Provoke
    text: str
    about: str
    code: str = ""


def _z(torch: Any, *shape: int) -> Any:
    return torch.zeros(shape)


def _deform(torch: Any, *shapes: tuple[int, ...]) -> object:
    from torchvision.ops import deform_conv2d

    x, offset, weight, *mask = (torch.zeros(shape) for shape in shapes)
    return deform_conv2d(x, offset, weight, mask=mask[0] if mask else None)


MESSAGES = (
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 1, 1, 224, 224)),
        "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 1, 224, 224] to have 3 channels, but got 1 channels instead",
        "convolution: input channels",
        "Conv2d(1, 64, 7)",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 1, 224, 224, 3)),
        "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 224, 224, 3] to have 3 channels, but got 224 channels instead",
        "convolution: input channels",
        "x.permute(0, 3, 1, 2)",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 1, 4, 224, 224)),
        "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 4, 224, 224] to have 3 channels, but got 4 channels instead",
        "convolution: input channels",
        "x[:, :3]",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(1, 64, 7)(_z(t, 1, 3, 224, 224)),
        "RuntimeError: Given groups=1, weight of size [64, 1, 7, 7], expected input[1, 3, 224, 224] to have 1 channels, but got 3 channels instead",
        "convolution: input channels",
        "x.mean(1, keepdim=True)",
    ),
    Told(
        lambda t, nn, f: nn.Conv1d(3, 64, 7)(_z(t, 1, 1, 224)),
        "RuntimeError: Given groups=1, weight of size [64, 3, 7], expected input[1, 1, 224] to have 3 channels, but got 1 channels instead",
        "convolution: input channels",
        "x.expand(-1, 3, -1)",
    ),
    Told(
        lambda t, nn, f: f.conv2d(_z(t, 1, 6, 32, 32), _z(t, 8, 1, 3, 3), groups=4),
        "RuntimeError: Given groups=4, weight of size [8, 1, 3, 3], expected input[1, 6, 32, 32] to have 4 channels, but got 6 channels instead",
        "convolution: input channels",
        "out_channels=4",
    ),
    Told(
        lambda t, nn, f: f.conv2d(_z(t, 1, 6, 32, 32), _z(t, 8, 2, 3, 3), groups=3),
        "RuntimeError: Given groups=3, expected weight to be divisible by 3 at dimension 0, but got weight of size [[8, 2, 3, 3]] instead",
        "convolution: groups",
        "groups=1",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, groups=4),
        "ValueError: in_channels must be divisible by groups",
        "convolution: groups",
        "",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 224, 224)),
        "RuntimeError: Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [224, 224]",
        "convolution: axes of the input",
        "x[None, None]",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 1, 1, 3, 224, 224)),
        "RuntimeError: Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [1, 1, 3, 224, 224]",
        "convolution: axes of the input",
        "x.squeeze(0)",
    ),
    Told(
        lambda t, nn, f: nn.Conv3d(3, 64, 7)(_z(t, 3, 224, 224)),
        "RuntimeError: Expected 4D (unbatched) or 5D (batched) input to conv3d, but got input of size: [3, 224, 224]",
        "convolution: axes of the input",
        "x.unsqueeze(1)",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 64, 7)(_z(t, 1, 3, 5, 5)),
        "RuntimeError: Calculated padded input size per channel: (5 x 5). Kernel size: (7 x 7). Kernel size can't be greater than actual input size",
        "convolution: the kernel is larger than its input",
        "padding += 1",
    ),
    Told(
        lambda t, nn, f: nn.Conv1d(3, 64, 3, dilation=9, padding=1)(_z(t, 1, 3, 5)),
        "RuntimeError: Calculated padded input size per channel: (7). Kernel size: (19). Kernel size can't be greater than actual input size",
        "convolution: the kernel is larger than its input",
        "padding += 6",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, stride=0)(_z(t, 1, 6, 9, 9)),
        "RuntimeError: non-positive stride is not supported",
        "convolution: stride",
        "stride=1",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, dilation=0)(_z(t, 1, 6, 9, 9)),
        "RuntimeError: dilation should be greater than zero, but got [0, 0]",
        "convolution: dilation",
        "dilation=1",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, padding=-1)(_z(t, 1, 6, 9, 9)),
        "RuntimeError: negative padding is not supported",
        "convolution: padding",
        "padding=0",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, padding="same", stride=2),
        "ValueError: padding='same' is not supported for strided convolutions",
        "convolution: 'same' with a stride",
        "padding=(kernel_size - 1) // 2",
    ),
    Told(
        lambda t, nn, f: f.conv2d(_z(t, 1, 6, 9, 9), _z(t, 8, 6, 3, 3), padding="same", stride=2),
        "RuntimeError: padding='same' is not supported for strided convolutions",
        "convolution: 'same' with a stride",
        "stride=1",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(6, 8, 3, padding="full"),
        "ValueError: Invalid padding string 'full', should be one of {'valid', 'same'}",
        "convolution: padding",
        "padding=kernel_size - 1",
    ),
    Told(
        lambda t, nn, f: f.conv2d(_z(t, 1, 6, 9, 9), _z(t, 8, 6, 3, 3), bias=_z(t, 7)),
        "RuntimeError: Given weight of size [8, 6, 3, 3], expected bias to be 1-dimensional with 8 elements, but got bias of size [7] instead",
        "convolution: bias",
        "bias of shape (8,)",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 8, 9, padding=5, padding_mode="reflect")(_z(t, 1, 3, 5, 5)),
        "RuntimeError: Argument #4: Padding size should be less than the corresponding input dimension, but got: padding (5, 5) at dimension 3 of input [1, 3, 5, 5]",
        "padding: more than reflection has",
        "padding=4",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 8, 9, padding=6, padding_mode="circular")(_z(t, 1, 3, 5, 5)),
        "RuntimeError: Padding value causes wrapping around more than once.",
        "padding: more than once around",
        "padding=size",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 8, 3, padding_mode="wrap"),
        "ValueError: padding_mode must be one of {'circular', 'zeros', 'replicate', 'reflect'}, but got padding_mode='wrap'",
        "padding: mode",
        "padding_mode='circular'",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose2d(3, 8, 3, padding_mode="reflect"),
        'ValueError: Only "zeros" padding mode is supported for ConvTranspose2d',
        "padding: mode",
        "padding_mode='zeros'",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose2d(3, 8, 3)(_z(t, 1, 4, 5, 5)),
        "RuntimeError: Given transposed=1, weight of size [3, 8, 3, 3], expected input[1, 4, 5, 5] to have 3 channels, but got 4 channels instead",
        "transposed convolution: input channels",
        "ConvTranspose2d(4, 8, 3)",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose2d(3, 8, 3, output_padding=1)(_z(t, 1, 3, 5, 5)),
        "RuntimeError: output padding must be smaller than either stride or dilation, but got output_padding_height: 1 output_padding_width: 1 stride_height: 1 stride_width: 1 dilation_height: 1 dilation_width: 1",
        "transposed convolution: output_padding",
        "output_padding=0",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose1d(3, 8, 3, stride=2, output_padding=2)(_z(t, 1, 3, 5)),
        "RuntimeError: output padding must be smaller than either stride or dilation, but got output_padding_height: 0 output_padding_width: 2 stride_height: 1 stride_width: 2 dilation_height: 1 dilation_width: 1",
        "transposed convolution: output_padding",
        "stride=(1, 3)",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose3d(3, 8, 3, stride=2, output_padding=(0, 0, 2))(_z(t, 1, 3, 5, 5, 5)),
        "RuntimeError: output padding must be smaller than either stride or dilation, but got output_padding_depth: 0 output_padding_height: 0 output_padding_width: 2 stride_depth: 2 stride_height: 2 stride_width: 2 dilation_depth: 1 dilation_height: 1 dilation_width: 1",
        "transposed convolution: output_padding",
        "output_padding=(0, 0, 1)",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose2d(3, 8, 3, padding=5)(_z(t, 1, 3, 5, 5)),
        "RuntimeError: Given input size per channel: (5 x 5). Calculated output size per channel: (-3 x -3). Output size is too small",
        "transposed convolution: no output left",
        "padding -= 2",
    ),
    Told(
        lambda t, nn, f: nn.ConvTranspose2d(3, 8, 3, stride=2)(_z(t, 1, 3, 3, 3), output_size=(20, 20)),
        "ValueError: requested an output size of (20, 20), but valid sizes range from [7, 7] to [8, 8] (for an input of torch.Size([3, 3]))",
        "transposed convolution: output_size",
        "output_size=(8, 8)",
    ),
    Told(
        lambda t, nn, f: nn.Linear(512, 10)(_z(t, 4, 25088)),
        "RuntimeError: addmm: mat1 and mat2 shapes cannot be multiplied (4x25088 and 512x10)",
        "linear: features",
        "AdaptiveAvgPool2d(1)",
    ),
    Told(
        lambda t, nn, f: nn.Linear(25088, 10)(_z(t, 4, 512, 7, 7)),
        "RuntimeError: addmm: mat1 and mat2 shapes cannot be multiplied (14336x7 and 25088x10)",
        "linear: features",
        "x.flatten(1)",
    ),
    Told(
        lambda t, nn, f: nn.Linear(512, 10)(_z(t, 4, 512, 7, 7)),
        "RuntimeError: addmm: mat1 and mat2 shapes cannot be multiplied (14336x7 and 512x10)",
        "linear: features",
        "x.movedim(1, -1)",
    ),
    Told(
        lambda t, nn, f: _z(t, 2, 3, 4) @ _z(t, 2, 5, 6),
        "RuntimeError: Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [2, 5].",
        "product: batched matrices",
        "b.transpose(1, 2)",
    ),
    Told(
        lambda t, nn, f: _z(t, 3, 4) @ _z(t, 5),
        "RuntimeError: size mismatch, got input (3), mat (3x4), vec (5)",
        "product: matrix and vector",
        "a.T @ v",
    ),
    Told(
        lambda t, nn, f: nn.BatchNorm2d(64)(_z(t, 2, 32, 5, 5)),
        "RuntimeError: running_mean should contain 32 elements not 64",
        "normalisation: channels",
        "BatchNorm2d(32)",
    ),
    Told(
        lambda t, nn, f: nn.BatchNorm2d(64, track_running_stats=False)(_z(t, 2, 32, 5, 5)),
        "RuntimeError: weight should contain 32 elements not 64",
        "normalisation: channels",
        "out_channels=64",
    ),
    Told(
        lambda t, nn, f: nn.BatchNorm2d(64)(_z(t, 2, 64)),
        "ValueError: expected 4D input (got 2D input)",
        "normalisation: axes of the input",
        "BatchNorm1d",
    ),
    Told(
        lambda t, nn, f: nn.BatchNorm1d(64)(_z(t, 2, 64, 3, 3)),
        "ValueError: expected 2D or 3D input (got 4D input)",
        "normalisation: axes of the input",
        "BatchNorm2d",
    ),
    Told(
        lambda t, nn, f: nn.BatchNorm1d(64)(_z(t, 1, 64)),
        "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 64])",
        "normalisation: one value per channel",
        "model.eval()",
    ),
    Told(
        lambda t, nn, f: nn.GroupNorm(4, 64)(_z(t, 1, 32, 5, 5)),
        "RuntimeError: Expected weight to be a vector of size equal to the number of channels in input, but got weight of shape [64] and input of shape [1, 32, 5, 5]",
        "normalisation: channels",
        "num_channels=32",
    ),
    Told(
        lambda t, nn, f: nn.GroupNorm(5, 64),
        "ValueError: num_channels (64) must be divisible by num_groups (5)",
        "normalisation: groups",
        "num_groups=1",
    ),
    Told(
        lambda t, nn, f: f.group_norm(_z(t, 1, 32, 5, 5), 6),
        "RuntimeError: Expected number of channels in input to be divisible by num_groups, but got input of shape [1, 32, 5, 5] and num_groups=6",
        "normalisation: groups",
        "num_groups=2",
    ),
    Told(
        lambda t, nn, f: nn.LayerNorm(64)(_z(t, 1, 64, 8, 8)),
        "RuntimeError: Given normalized_shape=[64], expected input with shape [*, 64], but got input of size[1, 64, 8, 8]",
        "normalisation: last axes",
        "x.permute(0, 2, 3, 1)",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool2d(3)(_z(t, 1, 3, 2, 2)),
        "RuntimeError: Given input size: (3x2x2). Calculated output size: (3x0x0). Output size is too small",
        "pooling: the window is larger than the input",
        "AdaptiveAvgPool2d(1)",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool1d(3)(_z(t, 1, 3, 2)),
        "RuntimeError: max_pool1d() Invalid computed output size: 0",
        "pooling: the window is larger than the input",
        "",
    ),
    Told(
        lambda t, nn, f: nn.AvgPool2d(3)(_z(t, 1, 3, 2, 2)),
        "RuntimeError: Given input size: (3x2x2). Calculated output size: (3x0x0). Output size is too small",
        "pooling: the window is larger than the input",
        "",
    ),
    Told(
        lambda t, nn, f: nn.AvgPool3d(3)(_z(t, 1, 3, 2, 2, 2)),
        "RuntimeError: input image (T: 2 H: 2 W: 2) smaller than kernel size (kT: 3 kH: 3 kW: 3)",
        "pooling: the window is larger than the input",
        "",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool2d(3, padding=2)(_z(t, 1, 3, 8, 8)),
        "RuntimeError: pad should be at most half of effective kernel size, but got pad=2, kernel_size=3 and dilation=1",
        "pooling: padding beyond half the window",
        "padding=1",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool1d(3, padding=2)(_z(t, 1, 3, 8)),
        "RuntimeError: max_pool1d() padding should be at most half of kernel size, but got padding=2 and kernel_size=3",
        "pooling: padding beyond half the window",
        "padding=1",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool2d(3, padding=2, dilation=3)(_z(t, 1, 3, 8, 8)),
        "RuntimeError: pad should be smaller than or equal to half of kernel size, but got padW = 2, padH = 2, kW = 3, kH = 3",
        "pooling: padding beyond half the window",
        "padding=1",
    ),
    Told(
        lambda t, nn, f: nn.AvgPool2d(3, padding=2)(_z(t, 1, 3, 8, 8)),
        "RuntimeError: pad should be at most half of effective kernel size, but got pad=2, kernel_size=3 and dilation=1",
        "pooling: padding beyond half the window",
        "padding=1",
    ),
    Told(
        lambda t, nn, f: nn.MaxPool2d(3)(_z(t, 8, 8)),
        "RuntimeError: non-empty 3D or 4D (batch mode) tensor expected for input",
        "pooling: axes of the input",
        "x[None, None]",
    ),
    Told(
        lambda t, nn, f: nn.AvgPool1d(3)(_z(t, 8)),
        "RuntimeError: Expected 2 to 3 dimensions, but got 1-dimensional tensor for argument #1 'self' (while checking arguments for avg_pool1d)",
        "pooling: axes of the input",
        "x[None, None]",
    ),
    Told(
        lambda t, nn, f: t.cat([_z(t, 1, 3, 8, 8), _z(t, 1, 3, 7, 8)], 1),
        "RuntimeError: Sizes of tensors must match except in dimension 1. Expected size 8 but got size 7 for tensor number 1 in the list.",
        "cat: sizes",
        "x[..., :7, :7]",
    ),
    Told(
        lambda t, nn, f: t.cat([_z(t, 1, 3, 8, 8), _z(t, 1, 3, 4, 4)], 1),
        "RuntimeError: Sizes of tensors must match except in dimension 1. Expected size 8 but got size 4 for tensor number 1 in the list.",
        "cat: sizes",
        "Upsample(scale_factor=2)",
    ),
    Told(
        lambda t, nn, f: t.cat([_z(t, 1, 3, 8, 8), _z(t, 3, 8, 8)], 1),
        "RuntimeError: Tensors must have same number of dimensions: got 4 and 3",
        "cat: axes",
        "x.unsqueeze(0)",
    ),
    Told(
        lambda t, nn, f: t.stack([_z(t, 3, 8, 8), _z(t, 3, 7, 8)]),
        "RuntimeError: stack expects each tensor to be equal size, but got [3, 8, 8] at entry 0 and [3, 7, 8] at entry 1",
        "stack: sizes",
        "transforms.Resize((224, 224))",
    ),
    Told(
        lambda t, nn, f: _z(t, 1, 64, 56, 56) + _z(t, 1, 256, 56, 56),
        "RuntimeError: The size of tensor a (64) must match the size of tensor b (256) at non-singleton dimension 1",
        "addition: sizes",
        "Conv2d(64, 256, 1)",
    ),
    Told(
        lambda t, nn, f: _z(t, 1, 64, 56, 56) + _z(t, 1, 64, 28, 28),
        "RuntimeError: The size of tensor a (56) must match the size of tensor b (28) at non-singleton dimension 3",
        "addition: sizes",
        "Upsample(scale_factor=2)",
    ),
    Told(
        lambda t, nn, f: _z(t, 1, 64, 5, 5).add_(_z(t, 2, 64, 5, 5)),
        "RuntimeError: output with shape [1, 64, 5, 5] doesn't match the broadcast shape [2, 64, 5, 5]",
        "addition: in place",
        "x = x + y",
    ),
    Told(
        lambda t, nn, f: _z(t, 3, 4).expand(5, 4),
        "RuntimeError: The expanded size of the tensor (5) must match the existing size (3) at non-singleton dimension 0. Target sizes: [5, 4]. Tensor sizes: [3, 4]",
        "expand: sizes",
        "x.repeat",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 512, 7, 7).view(4, 512),
        "RuntimeError: shape '[4, 512]' is invalid for input of size 100352",
        "view: number of elements",
        "x.flatten(1)",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 512, 7, 7).view(-1, 1000),
        "RuntimeError: shape '[-1, 1000]' is invalid for input of size 100352",
        "view: number of elements",
        "x.flatten(1)",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 512, 7, 7).reshape(8, 512, 49, 3),
        "RuntimeError: shape '[8, 512, 49, 3]' is invalid for input of size 100352",
        "view: number of elements",
        "",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 512, 7, 7).view(-1, -1),
        "RuntimeError: only one dimension can be inferred",
        "view: more than one -1",
        "x.view(x.shape[0], -1)",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 5, 7, 7).permute(0, 2, 3, 1).view(4, -1),
        "RuntimeError: view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead.",
        "view: order in memory",
        "x.reshape",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 5).permute(0, 1, 2),
        "RuntimeError: permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = 2 is not equal to len(dims) = 3",
        "permute: axes",
        "x.unsqueeze(0)",
    ),
    Told(
        lambda t, nn, f: _z(t, 4, 5).flatten(3),
        "IndexError: Dimension out of range (expected to be in range of [-2, 1], but got 3)",
        "axes: one that the tensor does not have",
        "x.dim()",
    ),
    Told(
        lambda t, nn, f: nn.PixelShuffle(2)(_z(t, 4, 6, 3, 3)),
        "RuntimeError: pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)=6 is not divisible by 4",
        "pixel_shuffle: channels",
        "",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 3, 10, 10), (1, 17, 8, 8), (5, 3, 3, 3)),
        "RuntimeError: the shape of the offset tensor at dimension 1 is not valid. It should be a multiple of 2 * weight.size[2] * weight.size[3]. Got offset.shape[1]=17, while 2 * weight.size[2] * weight.size[3]=18",
        "deformable convolution: channels of the offset",
        "Conv2d(C, 18, kernel_size)",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 3, 10, 10), (1, 18, 9, 8), (5, 3, 3, 3)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:1005, offset output dims: (9, 8) - computed output dims: (8, 8)",
        "deformable convolution: size of the offset",
        "",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 3, 2, 2), (1, 18, 8, 8), (5, 3, 3, 3)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:1005, offset output dims: (8, 8) - computed output dims: (0, 0)",
        "deformable convolution: size of the offset",
        "padding=",
    ),
    Told(
        lambda t, nn, f: _deform(t, (2, 3, 10, 10), (1, 18, 8, 8), (5, 3, 3, 3)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:1003, invalid batch size of offset",
        "deformable convolution: batch",
        "",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 3, 10, 10), (1, 18, 8, 8), (5, 3, 3, 3), (1, 8, 8, 8)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:995, mask.shape[1] is not valid: got: 8 expected: 9",
        "deformable convolution: channels of the mask",
        "Conv2d(C, 9, kernel_size)",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 3, 10, 10), (1, 18, 8, 8), (5, 3, 3, 3), (1, 9, 7, 8)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:1019, mask output dims: (7, 8) - computed output dims: (8, 8)",
        "deformable convolution: size of the mask",
        "",
    ),
    Told(
        lambda t, nn, f: _deform(t, (2, 3, 10, 10), (2, 18, 8, 8), (5, 3, 3, 3), (1, 9, 8, 8)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:1017, invalid batch size of mask",
        "deformable convolution: batch",
        "",
    ),
    Told(
        lambda t, nn, f: _deform(t, (1, 4, 10, 10), (1, 18, 8, 8), (5, 3, 3, 3)),
        "RuntimeError: deform_conv2d_forward_kernel, torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp:987,",
        "deformable convolution: input channels",
        "x.shape[1] == weight.shape[1] * groups",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 4, 3)(_z(t, 1, 3, 8, 8).double()),
        "RuntimeError: Input type (double) and bias type (float) should be the same",
        "convolution: dtype",
        "layer.to(x.dtype)",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 4, 3).load_state_dict(nn.Conv2d(1, 4, 3).state_dict()),
        "RuntimeError: Error(s) in loading state_dict for Conv2d: size mismatch for weight: copying a param with shape torch.Size([4, 1, 3, 3]) from checkpoint, the shape in current model is torch.Size([4, 3, 3, 3]).",
        "checkpoint: another shape",
        "",
    ),
    Told(
        lambda t, nn, f: nn.Conv2d(3, 4, 3, device="meta")(t.zeros(1, 1, 8, 8, device="meta")),
        "RuntimeError: Invalid channel dimensions",
        "convolution: input channels",
        "",
    ),
    Told(
        lambda t, nn, f: nn.Linear(3, 4, device="meta")(t.zeros(1, 5, device="meta")),
        "RuntimeError: a and b must have same reduction dim, but got [1, 5] X [3, 4].",
        "linear: features",
        "Linear(5, 4)",
    ),
    Told(
        lambda t, nn, f: t.zeros(1, 4, device="meta") + t.zeros(1, 3, device="meta"),
        "RuntimeError: Attempting to broadcast a dimension of length 3 at -1! Mismatching argument at index 1 had torch.Size([1, 3]); but expected shape should be broadcastable to [1, 4]",
        "addition: sizes",
        "",
    ),
    Told(
        lambda t, nn, f: t.zeros(1, 4, 2, device="meta").expand(5, 4, 3),
        "RuntimeError: The expanded size of the tensor (3) must match the existing size (2) at non-singleton dimension 2. Target sizes: [5, 4, 3]. Tensor sizes: [1, 4, 2]",
        "expand: sizes",
        "",
    ),
    Told(
        lambda t, nn, f: nn.Upsample(scale_factor=2, mode="bilinear")(_z(t, 3, 8, 8)),
        "NotImplementedError: Got 3D input, but bilinear mode needs 4D input",
        "interpolation: axes of the input",
        "x.unsqueeze(0)",
    ),
    Told(
        lambda t, nn, f: nn.MultiheadAttention(10, 3),
        "AssertionError: embed_dim must be divisible by num_heads",
        "attention: heads",
        "num_heads",
    ),
    Told(
        lambda t, nn, f: f.cross_entropy(_z(t, 4, 10), _z(t, 5).long()),
        "ValueError: Expected input batch_size (4) to match target batch_size (5).",
        "loss: batches",
        "x.flatten(1)",
    ),
)
