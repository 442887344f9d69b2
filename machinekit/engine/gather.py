"""Which weights one step of a schedule multiplies, gathered once per weight into one matrix per block.

A block reads a list of pieces, each a range of lags and of input channels. Side by side they are the
columns of one matrix, so that the linear step of an index set is a single product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Columns", "Piece"]


@dataclass(frozen=True)
class Piece:
    """Columns that come from one box of a kernel.

    Attributes
    ----------
    index : tuple of slice
        Into a weight of shape (*lag, in, out).
    order : tuple of int
        The axes of that box in the order (out, then as the columns run).
    start, stop : int
        The columns.
    """

    index: tuple[slice, ...]
    order: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Columns:
    """The columns of one block: its pieces, and where an identity for its own start may stand.

    Attributes
    ----------
    rows : int
        Channels of the block.
    width : int
        Columns in all, the identity's included.
    identity : int or None
        First column of an identity that adds the start to the product; None: there is none.
    """

    rows: int
    width: int
    pieces: tuple[Piece, ...]
    identity: int | None = None

    def read(self, weight: np.ndarray, matrix: np.ndarray) -> None:
        """Fill ``matrix`` of shape (rows, width) from a weight."""
        for piece in self.pieces:
            box = weight[piece.index].transpose(piece.order)
            matrix[:, piece.start : piece.stop] = box.reshape(self.rows, piece.stop - piece.start)
        if self.identity is not None:
            matrix[:, self.identity : self.identity + self.rows] = np.eye(self.rows, dtype=matrix.dtype)

    def add_back(self, matrix: np.ndarray, weight: np.ndarray) -> None:
        """Add the pieces of a matrix to where `read` takes them from."""
        for piece in self.pieces:
            box = weight[piece.index].transpose(piece.order)
            box += matrix[:, piece.start : piece.stop].reshape(box.shape)
