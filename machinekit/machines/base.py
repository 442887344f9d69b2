"""Machine: what dense, convolution, recurrent and grid machines share, which is everything but their order."""

from __future__ import annotations

from .jets import Jets

__all__ = ["Machine"]


class Machine(Jets):
    """A machine of finite depth: x = f(x) + x0 with f = W + b + σ on X = Y ⊕ Z.

    Not made directly: see `DenseMachine`, `ConvMachine`, `RecurrentMachine`, `GridMachine`, which
    differ in their order of computation and in nothing else.

    Notes
    -----
    With D = σ′(y) at the solution, one procedure with three inputs (arXiv:2204.12786, §3):

    ========  ================================  ===================
    forward   y = W z + b + y0                  z = σ(y) + z0
    tangent   ẏ = W ż + (Ẇ z + ḃ + ẏ0)          ż = D ẏ + ż0
    dual      u = Wᵀ v + u0                     v = D u + v0
    tangent   u̇ = Wᵀ v̇ + (Ẇᵀ v + u̇0)            v̇ = D u̇ + (Ḋ u + v̇0)
    of dual
    ========  ================================  ===================

    The dual and its tangent sweep the last block first. Each order of a jet, and of its dual, is the tangent, or the
    dual, with another start. A machine is an op (y0, z0) -> z, and immutable.
    """
