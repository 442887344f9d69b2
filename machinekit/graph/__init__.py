"""Ops and networks of ops."""

from .affine import Affine
from .chain import Chain
from .op import Op, live_masks
from .sharing import Sharing

__all__ = ["Affine", "Chain", "Op", "Sharing", "live_masks"]
