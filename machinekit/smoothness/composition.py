"""One layer: the constants of its pieces, one after the other, on a ball, and of its bi-affine maps.

Sources: Roulet and Harchaoui, *An elementary approach to convergence guarantees of optimization algorithms for deep
networks*, Allerton 2019, and arXiv:2002.09051, whose forms are called ``"sums"`` here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .structure import BiAffine, Piece, Structure, hyp, times

__all__ = ["Local", "affine", "compose", "localise"]


class Local(NamedTuple):
    """What one layer a ∘ Σ_e b_e is where its inputs and parameters are.

    Attributes
    ----------
    size, lipschitz, smoothness : float
        m_a, l_a and L_a of its pieces, on the ball that the maps reach.
    terms : tuple of (float, float)
        lˣ_b and lᵛ_b of each of its maps.
    """

    size: float
    lipschitz: float
    smoothness: float
    terms: tuple[tuple[float, float], ...] = ()


def compose(pieces: Sequence[Piece], radius: float, form: str = "sharp") -> Local:
    """Return m, l and L of a_J ∘ … ∘ a_1 on the ball ‖x‖ ≤ `radius`.

    Parameters
    ----------
    pieces : sequence of Piece
        The first acts first; none is the identity.
    radius : float
    form : {"ball", "sharp", "sums"}
        With ``"ball"`` the exact suprema on the ball are used as well, of the pieces that know them.

    Notes
    -----
    From λ_0 = 1, Λ_0 = 0, μ_0 = `radius`: l̃_j = min(l_j, ‖Da_j(0)‖ + L_j μ_{j−1}), Λ_j = Λ_{j−1} l̃_j + L_j λ_{j−1}²,
    λ_j = λ_{j−1} l̃_j and μ_j = min(m_j, ‖a_j(0)‖ + l̃_j μ_{j−1}); the chain rule for D²(a ∘ f)[h, h]
    = Da[D²f[h, h]] + D²a[Df h, Df h], and the mean value theorem on the ball.

    Examples
    --------
    >>> import math
    >>> from machinekit.smoothness.structure import Piece
    >>> square = Piece(lipschitz=math.inf, smoothness=2.0, slope=0.0, name="square")
    >>> compose([square, square], 1.0)[:3]
    (8.0, 8.0, 16.0)
    """
    mu, lam, curved = radius, 1.0, 0.0
    for piece in pieces:
        smooth, slope = piece.smoothness, piece.lipschitz
        if form == "ball" and piece.ball is not None and math.isfinite(mu):
            here = piece.ball(mu)
            slope, smooth = min(slope, here[0]), min(smooth, here[1])
        slope = min(slope, piece.slope + times(smooth, mu))
        curved = times(curved, slope) + times(times(smooth, lam), lam)
        lam = times(lam, slope)
        mu = min(piece.size, piece.value + times(slope, mu))
    return Local(mu, lam, curved)


def affine(b: BiAffine, size: float, radius: float, form: str = "sharp") -> tuple[float, float, float]:
    """Return lˣ_b, lᵛ_b and m_b of b(v, z) on ‖z‖ ≤ `size`, ‖v‖ ≤ `radius`.

    Notes
    -----
    lˣ_b = L_b R + lˣ. Where β and βᵛ read disjoint coordinates of v, lᵛ_b = (L_b² m² + lᵛ²)^½, since then
    ‖β(v, z) + βᵛ v‖ ≤ L_b m ‖v_1‖ + lᵛ ‖v_2‖; else, and in the form ``"sums"``, L_b m + lᵛ. m_b = R lᵛ_b + lˣ m + ‖β⁰‖.
    The algorithm as printed counts the bilinear term twice in m_b.

    Examples
    --------
    >>> from machinekit.smoothness.structure import BiAffine
    >>> dense = BiAffine(bilinear=1.0, bias=4.0)
    >>> affine(dense, 3.0, 2.0), affine(dense, 3.0, 2.0, "sums")
    ((2.0, 5.0, 10.0), (2.0, 7.0, 14.0))
    """
    grown = times(b.bilinear, size)
    of_v = hyp(grown, b.bias) if b.disjoint and form != "sums" else grown + b.bias
    of_z = times(b.bilinear, radius) + b.linear
    return of_z, of_v, times(radius, of_v) + times(b.linear, size) + b.constant


def localise(structure: Structure, form: str = "sharp") -> tuple[tuple[float, ...], tuple[Local, ...]]:
    """Return m_i of each block, ‖x_i‖ ≤ m_i, and what each layer is there.

    Notes
    -----
    m_i = ρ_i + Σ_t m_t over the layers into i, each on the ball of radius Σ_e m_{b_e}; a map that reads several
    blocks reads their concatenation, of norm ≤ (Σ_j m_j²)^½.
    """
    sizes = list(structure.starts)
    found: dict[int, Local] = {}
    for k in sorted(range(len(structure.layers)), key=lambda k: structure.layers[k].target):
        layer = structure.layers[k]
        terms = [affine(t.map, hyp(*(sizes[j] for j in t.parents)), t.radius, form) for t in layer.terms]
        found[k] = compose(layer.pieces, sum(m for _, _, m in terms), form)._replace(
            terms=tuple((of_z, of_v) for of_z, of_v, _ in terms)
        )
        sizes[layer.target] += found[k].size
    return tuple(sizes), tuple(found[k] for k in range(len(structure.layers)))
