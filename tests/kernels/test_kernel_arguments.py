"""What the kernels accept, and how they refuse the rest."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import convcli.kernels as package
from convcli import kernels
from convcli.errors import SpecError

X, W = np.arange(32.0).reshape(1, 2, 4, 4), np.ones((4, 2, 3, 3))
WT = np.ones((2, 3, 2, 2))


def refusal(function: str, *arrays: Any, **keywords: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        getattr(kernels, function)(*arrays, **keywords)
    return caught.value


@pytest.mark.parametrize(
    ("field", "arrays", "keywords"),
    [
        ("weight", (X, np.ones((4, 2))), {}),
        ("weight", (X, np.ones((1, 2, 1, 1, 1, 1))), {}),
        ("weight", (X, np.ones((0, 2, 3, 3))), {}),
        ("weight", (X, np.ones((3, 1, 3, 3))), {"groups": 2}),
        ("weight", (X, W.astype(np.float32)), {}),
        ("x", (X[0, 0], W), {}),
        ("x", (X[None], W), {}),
        ("x", (X[:, :1], W), {}),
        ("x", (X[..., :0], W), {}),
        ("x", (X.astype(bool), W.astype(bool)), {}),
        ("x", (X.astype(complex), W.astype(complex)), {}),
        ("bias", (X, W, np.ones(2)), {}),
        ("bias", (X, W, np.ones((4, 1))), {}),
        ("bias", (X, W, np.ones(4, np.float32)), {}),
        ("groups", (X, W), {"groups": 0}),
        ("groups", (X, W), {"groups": 1.0}),
        ("groups", (X, W), {"groups": True}),
        ("stride", (X, W), {"stride": 0}),
        ("stride", (X, W), {"stride": (1, 2, 3)}),
        ("stride", (X, W), {"stride": 1.5}),
        ("stride", (X, W), {"stride": None}),
        ("stride", (X, W), {"stride": np.array([1.0, 2.0])}),
        ("dilation", (X, W), {"dilation": np.True_}),
        ("padding", (X, W), {"padding": "full"}),
        ("padding", (X, W), {"padding": "same", "stride": 2}),
        ("padding", (X, W), {"padding": ((1, 2, 3), 0)}),
        ("padding", (X, W), {"padding": {"h": 1}}),
        ("padding", (X, W), {"padding": 4, "padding_mode": "reflect"}),
        ("padding", (X, W), {"padding": 5, "padding_mode": "circular"}),
        ("padding", (X, W), {"padding": -1, "padding_mode": "replicate"}),
        ("padding_mode", (X, W), {"padding_mode": "symmetric"}),
        ("kernel_size", (X, np.ones((4, 2, 5, 5))), {}),
        ("kernel_size", (X, np.ones((4, 2, 0, 1))), {}),
        ("method", (X, W), {"method": "fastest"}),
        ("method", (X, W), {"method": ["loops"]}),
    ],
)
def test_conv_names_what_is_wrong(field: str, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    assert refusal("conv", *arrays, **keywords).problems[0].path == (field,)


@pytest.mark.parametrize(
    ("field", "arrays", "keywords"),
    [
        ("x", (X, W), {}),
        ("x", (X, WT), {"groups": 3}),
        ("x", (X[:, :, :0], WT), {}),
        ("weight", (X, WT[:, :0]), {}),
        ("bias", (X, WT, np.ones(2)), {}),
        ("output_padding", (X, WT), {"output_padding": 1}),
        ("output_padding", (X, WT), {"output_padding": -1}),
        ("padding", (X, WT), {"padding": 3}),
        ("method", (X, WT), {"method": "im2col"}),
    ],
)
def test_conv_transpose_names_what_is_wrong(field: str, arrays: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    assert refusal("conv_transpose", *arrays, **keywords).problems[0].path == (field,)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((X, W, np.ones(2)), ("bias", "(2,)", "(4,)")),
        ((X[:, :1], W), ("x", "(1, 1, 4, 4)", "2 channels")),
        ((X, np.ones((4, 2))), ("weight", "(4, 2)", "1 to 3 spatial")),
        ((X, W.astype(np.int32)), ("weight", "int32", "float64")),
    ],
)
def test_messages_name_the_argument_its_shape_and_what_was_expected(
    arrays: tuple[Any, ...], words: tuple[str, ...]
) -> None:
    message = str(refusal("conv", *arrays))
    assert all(word in message for word in words)


@pytest.mark.parametrize("function", kernels.METHODS)
def test_an_unknown_method_lists_the_known_ones(function: str) -> None:
    others: dict[str, tuple[Any, ...]] = {"deform_conv2d": (np.zeros((1, 18, 2, 2)), W)}
    others["deform_roi_pool"] = (np.array([[0.0, 0, 0, 3, 3]]),)
    arrays = (X, *others.get(function.removesuffix("_backward"), (W,)))
    if function.endswith("backward"):
        arrays = (np.ones((1, 2, 1, 1)), *arrays, *([None] if "roi" in function else []))
    keywords = {"output_size": 1} if "roi" in function else {}
    message = str(refusal(function, *arrays, method="magic", **keywords))
    assert all(name in message for name in kernels.METHODS[function])


def test_methods_is_a_mapping_of_the_public_functions() -> None:
    forward = ["conv", "conv_transpose", "deform_conv2d", "deform_roi_pool"]
    assert list(kernels.METHODS) == forward + [f"{name}_backward" for name in forward]
    assert all(callable(getattr(kernels, name)) for name in kernels.METHODS)
    assert {"auto", "loops"} < set(kernels.METHODS["conv"])
    assert package.conv is kernels.conv


def test_numpy_numbers_are_numbers() -> None:
    expected = kernels.conv(X, np.ones((4, 1, 3, 3)), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=1, groups=2)
    found = kernels.conv(
        X,
        np.ones((4, 1, 3, 3)),
        stride=np.array([2, 1], np.int8),  # type: ignore[arg-type]
        padding=np.array([[1, 0], [2, 1]]),  # type: ignore[arg-type]
        dilation=np.int64(1),  # type: ignore[arg-type]
        groups=np.uint8(2),  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(found, expected)
    keywords: dict[str, Any] = {
        "stride": [2, np.int16(1)],
        "padding": ([np.int32(1), 0], (2, np.int64(1))),
        "groups": 2,
    }
    mixed = kernels.conv(X, np.ones((4, 1, 3, 3)), **keywords)
    np.testing.assert_array_equal(mixed, expected)


def test_lists_and_other_byte_orders_are_arrays_too() -> None:
    assert kernels.conv([[1, 2, 3]], [[[1, 1]]]).tolist() == [[3, 5]]
    swapped = kernels.conv(X.astype(">f8"), W.astype(">f8"))
    assert swapped.dtype == np.dtype(">f8")
    np.testing.assert_array_equal(swapped, kernels.conv(X, W))


def test_the_kernels_never_import_torch() -> None:
    code = "import sys, convcli.kernels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
