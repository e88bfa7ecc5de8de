"""Laws of the columns that a kernel's rows share: both forms are the definition, in any rank, stride and dilation."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import strategies as st
from kernel_cases import Case, conv_cases, integers, law

from convcli import kernels
from convcli.kernels import rows
from convcli.kernels.arguments import convolution_call

FLOATS = (np.float32, np.float64)


@law(conv_cases(), st.sampled_from(FLOATS), st.sampled_from([1, 500, 2**20]))
def test_both_forms_are_the_definition(case: Case, dtype: Any, room: int) -> None:
    """room: the bytes of a block, from less than a row to all of the layer."""
    x, w = integers(case.x_shape, dtype), integers((case.groups * case.outs, case.channels, *case.kernel), dtype, 1)
    dy = integers(case.y_shape, dtype, 2)
    sliding = {key: value for key, value in case.keywords.items() if key != "groups"}
    call = convolution_call(x, w, None, case.groups, "zeros", **sliding)
    with patch.object(rows, "COLUMN_BYTES", room):
        y, dw = rows.by_rows(call), rows.weight_by_rows(call, dy)
    np.testing.assert_array_equal(y, kernels.conv(x, w, **case.keywords, method="loops"))
    np.testing.assert_array_equal(dw, kernels.conv_backward(dy, x, w, **case.keywords, method="taps")[1])


def test_grouped_layers_of_some_size_share_columns() -> None:
    """The form above is what `auto` takes: three copies of the input, not nine, are what it holds."""
    x, w = integers((1, 64, 56, 56), np.float32), integers((64, 4, 3, 3), np.float32, 1)
    with patch("convcli.kernels.conv.by_rows", side_effect=rows.by_rows) as form:
        y = kernels.conv(x, w, padding=1, groups=16)
    form.assert_called_once()
    np.testing.assert_array_equal(y, kernels.conv(x, w, padding=1, groups=16, method="taps"))
