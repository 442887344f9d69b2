"""Lipschitz bounds of a machine at given weights, from its resolvent (I − D W)⁻¹ and the slopes that D may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import near
from .multipliers import multipliers
from .structure import Piece
from .system import System, block_norms, norm, part_of
from .system_reading import read_system
from .vertices import exact

__all__ = ["METHODS", "centred_norms", "resolvent_bound", "system_bound"]


def resolvent_bound(
    weight: Any,
    sizes: Any = None,
    *,
    slopes: Any = None,
    method: str = "centred",
    of: Any = "all",
    grid: Any = (),
    constants: Mapping[str, Piece] | None = None,
) -> float:
    """Return a bound on the Lipschitz constant of z0 ↦ z for z = σ(W z + b + y0) + z0, whatever the slopes of σ.

    Parameters
    ----------
    weight : array of shape (n, n), real floating, or Machine
        W in the layout [in, out], strictly block triangular; or a machine of finite depth, unrolled over `grid`.
    sizes : sequence of int
        Units of the blocks of an array; not for a machine.
    slopes : pair of numbers, or of arrays of shape (n,), for a machine (*grid, channel)
        The least and the largest slope of σ. By default (0, 1) for an array, those of its activations for a machine.
    method : str
        "exact", "multipliers", "block-multipliers", "centred", "block", "product", or one of the baselines "plain",
        "unit", "frobenius", "geometric"; see the notes.
    of : "all" or pair of int
        (i, j) asks for the block of Dz that tells how block i depends on the start of block j. Blocks are counted in
        the order of computation; of a machine that scans a grid they are its index sets.
    grid : tuple of int
        Extents of a machine's grid.
    constants : mapping of str to Piece, optional
        Of a machine's own activations, as for `bounds`.

    Returns
    -------
    float
        An upper bound on ‖Dz‖, up to rounding, attained by some slopes if the method is "exact".

    Raises
    ------
    ValueError
        A weight that is not square, not finite or not strictly block triangular; sizes, slopes, grid or `of` that do
        not fit; an unknown method; a machine with unbounded slopes; "exact" with more than 16 hidden units.
    TypeError
        No array, a complex one, sizes missing.

    Notes
    -----
    Dz = (I − D W)⁻¹ with W here [out, in], D = σ′(y) diagonal between the slopes α ≤ β, and |·| the matrix of the
    spectral norms of blocks. From the tightest on:

    ==================  =============================================================================================
    exact               the largest norm at a corner of the box of slopes, 2ʰ of them for h hidden units
    multipliers         ‖Dz‖² ≤ γ by the S-procedure, one multiplier per unit, the best ones; a few dozen O(n³) steps
    block-multipliers   the same, one per block
    centred             ‖ |M| + X ‖ or, if that is less, ‖M‖ + ‖X‖, with X = |Mh| (I − |hKh|)⁻¹ |hK|, M = (I − C W)⁻¹,
                        K = W M, C = (α + β)/2, h = √((β − α)/2)
    block               ‖(I − |β W|)⁻¹‖, the sum over all paths of products of norms
    product             Π ½(w_i + √(w_i² + 4)), w_i the norm of all that block i reads, times its largest slope
    plain               Π (1 + w_i)
    unit                block, the blocks being units
    frobenius           block with Frobenius norms
    geometric           Σ ‖β W‖ᵏ
    ==================  =============================================================================================

    With D = C + E and |E| ≤ h² the resolvent is M + M E (I − K E)⁻¹ K, which gives the centred bound. For slopes in
    [0, 1] it is at most the block bound, entry by entry; for a chain it equals the constant of averaged operators with
    2^(k−1) terms (Combettes & Pesquet, SIAM J. Math. Data Sci. 2 (2020), 529–557) at the price of one inverse,
    for α = β it is exact. Every entry of Dz is affine in each slope, so that the largest norm is at a corner; it is
    the Lipschitz constant over all y0 and z0 if σ′ comes close to both slopes at every unit. The factor
    ½(w + √(w² + 4)) is the norm of I + E_i W_i.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> weight = np.array([[0.0, 2.0, -3.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])  # three units, all shortcuts
    >>> for method in ("exact", "centred", "block", "product"):
    ...     print(method, round(resolvent_bound(weight, (1, 1, 1), method=method), 6))
    exact 3.451968
    centred 4.056699
    block 5.698904
    product 8.333787
    >>> m = mk.RecurrentMachine((1,), "tanh", memory=1, weight=np.full((2, 1, 1), 0.5))
    >>> round(resolvent_bound(m, grid=(3,), of=(2, 0)), 9)  # z[0] reaches z[2] by one path
    0.25
    """
    system = read_system(weight, sizes, slopes, grid=grid, constants=constants)
    return system_bound(system, method, of)


def system_bound(system: System, method: str, of: Any) -> float:
    """Return the bound of a system by a method of `METHODS`, all of it or of one block."""
    if method not in METHODS:
        raise ValueError(f"method={method!r} is unknown; {near(method, METHODS)}")
    wanted = part_of(system, of)
    return wanted if isinstance(wanted, float) else METHODS[method](wanted)


def centred_norms(system: System) -> tuple[np.ndarray, np.ndarray]:
    """Return M = (I − C W)⁻¹ and X = |Mh| (I − |hKh|)⁻¹ |hK|, C the middle of the slopes, K = W M."""
    middle, root = 0.5 * (system.least + system.most), np.sqrt(0.5 * (system.most - system.least))
    inner = system.resolvent(middle)
    outer = system.matrix @ inner
    first, loop, last = (
        block_norms(a, system.sizes)
        for a in (inner * root, root[:, None] * outer * root, root[:, None] * outer)
    )  # fmt: skip
    return inner, first @ np.linalg.solve(np.eye(len(loop)) - loop, last)


def _centred(system: System) -> float:
    inner, more = centred_norms(system)
    if system.corner:
        return norm(inner[system.rows, system.columns]) + float(more[-1, 0])
    return min(norm(block_norms(inner, system.sizes) + more), norm(inner) + norm(more))


def _paths(system: System, frobenius: bool) -> float:
    loop = block_norms(system.steepest[:, None] * system.matrix, system.sizes, frobenius=frobenius)
    found = np.linalg.inv(np.eye(len(loop)) - loop)
    return float(found[-1, 0]) if system.corner else norm(found)


def _unit(system: System) -> float:
    found = np.linalg.inv(np.eye(len(system.matrix)) - np.abs(system.steepest[:, None] * system.matrix))
    return norm(found[system.rows, system.columns])


def _factors(system: System) -> list[float]:
    """Return w_i: the norm of all that a block reads, for every block but the first."""
    scaled = system.steepest[:, None] * system.matrix
    return [norm(scaled[rows]) for rows in system.blocks[1:]]


def _product(system: System) -> float:
    factors = _factors(system)
    refined = [0.5 * (w + math.hypot(w, 2.0)) for w in factors]
    # of one block, the last factor is that of the block read off alone, without what passes by it
    return math.prod(refined[:-1]) * factors[-1] if system.corner else math.prod(refined)


def _plain(system: System) -> float:
    factors = _factors(system)
    last = factors[-1] if system.corner else 1.0
    return math.prod(1.0 + w for w in (factors[:-1] if system.corner else factors)) * last


def _geometric(system: System) -> float:
    size = norm(system.steepest[:, None] * system.matrix)
    return sum(size**k for k in range(int(system.corner), len(system.sizes)))


METHODS: dict[str, Any] = {
    "exact": exact,
    "multipliers": multipliers,
    "block-multipliers": lambda system: multipliers(system, per_block=True),
    "centred": _centred,
    "block": lambda system: _paths(system, False),
    "product": _product,
    "plain": _plain,
    "unit": _unit,
    "frobenius": lambda system: _paths(system, True),
    "geometric": _geometric,
}
"""Bounds of a system by name, the tightest first."""
