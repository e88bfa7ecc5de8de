"""Laws of products in pieces: they are the product, whatever the pieces, and no piece is larger than said."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import integers, law

from convcli.kernels import products
from convcli.kernels.products import NARROW, ROWS, UNPACKED, product

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

MACHINES = {"pieces": True, "whole": False}  # whether its kernels pack nothing


def matrix(shape: tuple[int, ...], *, turned: bool) -> Array:
    """Small whole numbers in float32: every sum of them is exact; turned: the last axis is not the one in memory."""
    if turned:
        return np.swapaxes(integers((*shape[:-2], shape[-1], shape[-2]), np.float32), -1, -2)
    return integers(shape, np.float32)


@law(
    st.sampled_from(["pieces", "whole"]),
    st.sampled_from([(), (1,), (2, 3)]),
    st.sampled_from([ROWS, 4 * ROWS, 9 * ROWS, ROWS + 1]),
    st.one_of(st.integers(1, NARROW), st.sampled_from([300, 1023])),
    st.one_of(st.integers(1, NARROW), st.sampled_from([300, 611])),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_pieces_make_the_product(
    machine: str, lead: tuple[int, ...], rows: int, k: int, columns: int, a_turned: bool, b_turned: bool, given: bool
) -> None:
    a, b = matrix((*lead[-1:], rows, k), turned=a_turned), matrix((*lead, k, columns), turned=b_turned)
    out = np.full((*lead, rows, columns), np.nan, np.float32) if given else None
    with patch.object(products, "unpacked", lambda: MACHINES[machine]):
        y = product(a, b, out)
    assert out is None or y is out
    np.testing.assert_array_equal(y, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.parametrize(
    ("rows", "k", "columns"), [(512, 4608, 49), (2048, 512, 49), (2048, 49, 512), (64, 9000, NARROW)]
)
def test_no_piece_is_packed(rows: int, k: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "unpacked", lambda: True)
    sizes: list[int] = []

    class Counted(np.ndarray[Any, Any]):
        """Notes the multiplications of every product that it takes part in."""

        def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
            plain = [np.asarray(one) for one in inputs]
            if ufunc is np.matmul:
                sizes.append(prod(plain[0].shape[-2:]) * plain[1].shape[-1])
            if "out" in keywords:
                keywords["out"] = tuple(np.asarray(one) for one in keywords["out"])
            return getattr(ufunc, method)(*plain, **keywords)

    a, b = integers((rows, k), np.float32), integers((k, columns), np.float32)
    np.testing.assert_array_equal(product(a.view(Counted), b), a.astype(np.int64) @ b.astype(np.int64))
    assert sizes
    assert max(sizes) <= UNPACKED
