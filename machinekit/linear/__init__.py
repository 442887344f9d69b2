"""Linear operators, each with its transpose and the cotangent of its weight; no state.

`grid` is the linear part of a machine; `strided`, on the windows of `taps`, convolutions with stride and
dilation, whose input and output grids differ.
"""

from .grid import accumulate, apply, overlap, rows, sum_to, total_rows, transpose, weight_cotangent

__all__ = ["accumulate", "apply", "overlap", "rows", "sum_to", "total_rows", "transpose", "weight_cotangent"]
