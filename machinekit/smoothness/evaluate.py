"""A structure's bounds, at both levels, the smaller returned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .blocks import derivatives
from .bounds import Bounds, Row
from .composition import Local, localise
from .recursion import by_block, shared
from .structure import Structure, hyp

__all__ = ["FORMS", "LEVELS", "WHICH", "evaluate"]

WHICH = ("inputs", "parameters", "joint")
FORMS = ("sharp", "sums", "ball")
LEVELS = ("best", "block", "scalar")

Pair = tuple[float, float]


def evaluate(
    structure: Structure,
    which: str = "joint",
    form: str = "sharp",
    level: str = "best",
    of: str | Sequence[str] = "all",
    shown: Sequence[str] | None = None,
) -> Bounds:
    """Return size, Lipschitz and smoothness bounds of a structure's blocks.

    Parameters
    ----------
    structure : Structure
    which : {"inputs", "parameters", "joint"}
        What the derivatives are taken in.
    form : {"sharp", "sums", "ball"}
        ``"sums"`` is the published form. ``"ball"`` is the sharp form with the exact suprema of pieces on balls, where
        they are known.
    level : {"best", "block", "scalar"}
        A matrix of sources per block, or a pair (l, L); by default both, and the smaller numbers. The published form
        has the scalar level only; the sharp scalar level cannot share parameters between blocks.
    of : str or sequence of str
        ``"all"`` blocks together, the ``"last"``, the name of one, or the names of some, together.
    shown : sequence of str, optional
        The blocks that ``"all"``, ``"last"`` and the table mean; by default every one.

    Returns
    -------
    Bounds
        Upper bounds, up to rounding. Where smoothness is infinite, `rough` names the pieces to blame.

    Raises
    ------
    ValueError
        Unknown options; a level that the form or the structure does not have; a structure out of order.

    Notes
    -----
    All blocks together have m = (Σ_i m_i²)^½, and l and L likewise at the scalar level; at the block level
    l = ‖(D_i)_i‖ and L = ‖[S_1, S_2, …]‖. These are at most those where each map reads one block.

    Examples
    --------
    >>> from machinekit.smoothness.structure import BiAffine, Layer, Structure, Term
    >>> weight = BiAffine(bilinear=1.0)
    >>> layers = [Layer(k + 1, (Term(weight, (k,), k, 1.0),)) for k in range(4)]
    >>> line = Structure(tuple("abcde"), (1.0, 0.0, 0.0, 0.0, 0.0), tuple(layers))
    >>> found = evaluate(line, "parameters", of="last")  # four linear layers: √4 and 4 − 1, both attained
    >>> found.size, round(found.lipschitz, 9), round(found.smoothness, 9)
    (1.0, 2.0, 3.0)
    """
    names = structure.names if shown is None else tuple(shown)
    asked = _read(structure, of, names)
    _check(structure, which, form, level)
    with np.errstate(over="ignore"):
        sizes, local = localise(structure, form)
        pairs: dict[str, list[Pair]] = {}
        whole: dict[str, Pair] = {}
        if form == "sums" or level == "scalar" or (level == "best" and not shared(structure)):
            pairs["scalar"] = found = by_block(structure, local, which, form)
            whole["scalar"] = hyp(*(found[i][0] for i in asked)), hyp(*(found[i][1] for i in asked))
        if form != "sums" and level != "scalar":
            matrices = derivatives(structure, local).of(which)
            pairs["block"], whole["block"] = matrices.pairs(), matrices.whole(asked)
    places = [structure.names.index(name) for name in names]
    return Bounds(
        size=hyp(*(sizes[i] for i in asked)),
        lipschitz=min(slope for slope, _ in whole.values()),
        smoothness=min(smooth for _, smooth in whole.values()),
        table=tuple(
            Row(structure.names[i], sizes[i], *(min(p[i][k] for p in pairs.values()) for k in (0, 1))) for i in places
        ),
        which=which,
        form=form,
        level=min(whole, key=lambda name: whole[name][::-1]),
        rough=_rough(structure, local),
        of=of if isinstance(of, str) else ", ".join(of),
    )


def _rough(structure: Structure, local: Sequence[Local]) -> tuple[str, ...]:
    """Return the pieces of infinite smoothness, each name once, of layers that have it."""
    bad = [la for la, c in zip(structure.layers, local, strict=True) if math.isinf(c.smoothness)]
    return tuple(dict.fromkeys(p.name for la in bad for p in la.pieces if math.isinf(p.smoothness)))


def _read(structure: Structure, of: str | Sequence[str], shown: tuple[str, ...]) -> list[int]:
    """Return the numbers of the blocks that are asked for."""
    names = structure.names
    for name in shown:
        if name not in names:
            raise ValueError(f"shown has {name!r}; choose from the blocks {', '.join(names)}")
    if not shown:
        raise ValueError("no block is shown; give at least one")
    wanted = {"all": shown, "last": shown[-1:]}.get(of, (of,)) if isinstance(of, str) else tuple(of)
    for name in wanted:
        if name not in names:
            raise ValueError(f"of is {of!r}; choose all, last, or of the blocks {', '.join(names)}")
    if not wanted:
        raise ValueError("of names no block; give at least one")
    return [names.index(name) for name in wanted]


def _check(structure: Structure, which: str, form: str, level: str) -> None:
    for name, given, options in (("which", which, WHICH), ("form", form, FORMS), ("level", level, LEVELS)):
        if given not in options:
            raise ValueError(f"{name} is {given!r}; choose from {', '.join(options)}")
    if form == "sums" and level == "block":
        raise ValueError('form="sums" has no block level; choose level="scalar", or form="sharp"')
    count = len(structure.names)
    if not count == len(structure.starts) == len(structure.inputs):
        raise ValueError(
            f"the structure has {count} names, {len(structure.starts)} starts and {len(structure.inputs)} inputs; give "
            "one of each per block"
        )
    for layer in structure.layers:
        for j in (j for term in layer.terms for j in term.parents):
            if not 0 <= j < layer.target < count:
                raise ValueError(
                    f"a layer into block {layer.target} reads block {j} of {count}; it may read those before its "
                    "target only"
                )
