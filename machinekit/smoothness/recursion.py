"""The recursions with one pair (l, L) per layer or block: of chains, and of machines with shortcuts.

Sources: Roulet and Harchaoui, Allerton 2019 and arXiv:2002.09051, for chains in the published form. The sharp form
knows that the parameters of a layer and all that is before it are disjoint coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from .composition import Local
from .extended import product, spectral
from .structure import Structure, hyp, times

__all__ = ["by_block", "chain", "shared"]


def chain(lipschitz: Sequence[float], smoothness: Sequence[float], form: str = "sharp") -> tuple[float, float]:
    """Return l and L, in the parameters, of z_k = φ_k(v_k, z_{k−1}), z_0 fixed, from those of the layers.

    Parameters
    ----------
    lipschitz, smoothness : sequences of float, as long as the chain
        l_k and L_k of φ_k jointly in (v_k, z_{k−1}); may be infinite.
    form : {"sharp", "published"}

    Returns
    -------
    lipschitz, smoothness : float
        Of (v_1, …, v_k) ↦ z_k.

    Raises
    ------
    ValueError
        If the sequences differ in length or hold what is no number at least 0; if `form` is none.

    Notes
    -----
    Published: l ← l_k + l l_k, L ← L l_k + L_k (1 + l)². Sharp: l ← l_k max(1, l), L ← max(L_k, l_k L + L_k l²), with l
    and L on the right from the layer before, both 0 at the start: v_k and (v_1, …, v_{k−1}) are disjoint coordinates,
    so that (v_k, z_{k−1}) has a Jacobian of norm max(1, l). The sharp form is never the larger.

    Examples
    --------
    >>> from machinekit.smoothness.recursion import chain
    >>> chain([2, 1, 0.5], [1, 0.5, 2]), chain([2, 1, 0.5], [1, 0.5, 2], form="published")
    ((1.0, 9.5), (2.0, 34.75))
    """
    if form not in ("sharp", "published"):
        raise ValueError(f"form is {form!r}; choose from sharp, published")
    if len(lipschitz) != len(smoothness):
        raise ValueError(
            f"lipschitz has {len(lipschitz)} numbers but smoothness {len(smoothness)}; give one of each per layer"
        )
    for name, numbers in (("lipschitz", lipschitz), ("smoothness", smoothness)):
        for k, number in enumerate(numbers):
            if not number >= 0:
                raise ValueError(f"{name}[{k}] is {number!r}; give a number at least 0, or math.inf")
    total, curved = 0.0, 0.0
    for slope, smooth in zip(map(float, lipschitz), map(float, smoothness), strict=True):
        if form == "published":
            curved = times(curved, slope) + times(smooth, (1 + total) * (1 + total))
            total = slope + times(total, slope)
        else:
            curved = max(smooth, times(slope, curved) + times(smooth, total * total))
            total = times(slope, max(1.0, total))
    return total, curved


def shared(structure: Structure) -> tuple[tuple[str, ...], ...]:
    """Return the names of the blocks that share a parameter, for each that several blocks have."""
    blocks: dict[Hashable, set[int]] = {}
    for layer in structure.layers:
        for term in layer.terms:
            if term.varies:
                blocks.setdefault(term.parameter, set()).add(layer.target)
    return tuple(tuple(structure.names[k] for k in sorted(found)) for found in blocks.values() if len(found) > 1)


def by_block(
    structure: Structure, local: Sequence[Local], which: str = "joint", form: str = "sharp"
) -> list[tuple[float, float]]:
    """Return l_i and L_i of each block, of its value as a function of the sources that vary.

    Parameters
    ----------
    structure : Structure
    local : sequence of Local
        What `localise` found, in the same form.
    which : {"inputs", "parameters", "joint"}
    form : {"sharp", "ball", "sums"}

    Raises
    ------
    ValueError
        In another form than sums, if blocks share a parameter.

    Notes
    -----
    With A and B the norms of l_j and L_j over the blocks that a map reads, and one index for all earlier variables
    and one for each parameter of the block::

        J_t = ( Σ_e lˣ_e A_e ; lᵛ_e )        H_t = [[ Σ_e lˣ_e B_e , L_e A_e ], [ · , 0 ]]

    l_i = ([ξ_i varies] + ‖Σ_t l_t J_t‖²)^½ and L_i = λ_max(Σ_t L_t J_t J_tᵀ + l_t H_t). In the form sums both
    are sums of all entries; that asks for no disjoint coordinates, and so holds for shared parameters too.
    """
    if form != "sums" and (common := shared(structure)):
        raise ValueError(
            f"the blocks {common[0][0]!r} and {common[0][1]!r} share a parameter, which the scalar level allows in the "
            'form sums only; use level="block"'
        )
    found: list[tuple[float, float]] = []
    for i in range(len(structure.names)):
        layers = [(la, c) for la, c in zip(structure.layers, local, strict=True) if la.target == i]
        terms = [t for la, _ in layers for t in la.terms if t.varies]
        own = {p: k for k, p in enumerate(dict.fromkeys(t.parameter for t in terms), start=1)}
        first, second = np.zeros(len(own) + 1), np.zeros((len(own) + 1,) * 2)
        for layer, c in layers:
            jacobian, hessian = np.zeros_like(first), np.zeros_like(second)
            for term, (of_z, of_v) in zip(layer.terms, c.terms, strict=True):
                slope, smooth = (hyp(*(found[j][k] for j in term.parents)) for k in (0, 1))
                jacobian[0] += times(of_z, slope)
                hessian[0, 0] += times(of_z, smooth)
                if term.varies and which != "inputs":
                    k = own[term.parameter]
                    jacobian[k] += of_v
                    hessian[0, k] += times(term.map.bilinear, slope)
            hessian[1:, 0] = hessian[0, 1:]
            squares = product(jacobian[:, None], jacobian[None, :])
            first += product(c.lipschitz, jacobian)
            second += product(c.smoothness, squares) + product(c.lipschitz, hessian)
        start = float(structure.inputs[i] and which != "parameters")
        if form == "sums":
            found.append((start + math.fsum(first), float(second.sum())))
        else:
            found.append((hyp(start, *first), spectral(second)))
    return found
