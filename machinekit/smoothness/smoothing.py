"""Automatic smoothing: a model without kinks that differs from the one given by no more than is asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..activations import Activation, Blockwise, Diagonal
from ..arrays import namespace, real
from ..graph import MaxPool, Pointwise
from ..graph.op import parts
from ..machines import Machine
from .entry import build
from .of_machine import build_machine
from .pieces import smoothed_relu
from .structure import Piece, Structure, times

__all__ = ["Smoothed", "smoothed"]


class Smoothed(NamedTuple):
    """What `smoothed` returns.

    Attributes
    ----------
    model : op
        With the same parameters, and smoothed ReLUs in place of ReLUs.
    widths : dict of str to float
        The ν of each, by its name.
    constants : dict of str to Piece
        For `bounds` of that model.
    """

    model: Any
    widths: dict[str, float]
    constants: dict[str, Piece]


def smoothed(
    model: Any, accuracy: float, *, radius: Any = None, input_bound: Any = None, batch: int = 1, **options: Any
) -> Smoothed:
    """Return a model of class C¹ whose outputs differ by at most `accuracy` from those of one with ReLUs.

    Parameters
    ----------
    model : Machine, Chain, Hypergraph or op
    accuracy : float
        μ, of the norm over the whole batch, for all parameters within `radius`.
    radius, input_bound, batch, **options
        As for `bounds`.

    Returns
    -------
    Smoothed
        Its ``constants`` are for ``bounds(found.model, constants=found.constants, …)``.

    Raises
    ------
    ValueError
        An accuracy that is not positive; max pooling, and maps of infinite Lipschitz constant.
    TypeError, ValueError
        As `bounds`.

    Notes
    -----
    The ReLU smoothed to t²/(4ν) on [0, 2ν] and t − ν beyond differs from it by at most ν. Of n places, place j, with η
    coordinates, gets ν_j = μ/(n √η G_j), where G_j bounds how errors grow from there to the outputs: the products of
    Lipschitz constants along all paths, summed (Roulet and Harchaoui, *On the smoothing of deep networks*, CISS 2021).

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.smoothness.smoothing import smoothed
    >>> net = mk.Chain([mk.Affine(2, 4, rng=0), mk.Pointwise("relu"), mk.Affine(4, 1, rng=0)])
    >>> found = smoothed(net, 0.25, radius=2.0, input_bound=1.0)
    >>> found.widths  # 0.25 / (1 · √4 · 2)
    {'smoothed_relu 1': 0.0625}
    >>> x = np.linspace(-1.0, 1.0, 2)[None, :]
    >>> bool(np.linalg.norm(found.model(x) - net(x)) <= 0.25)
    True
    """
    if isinstance(accuracy, bool | str) or not hasattr(accuracy, "__float__"):
        raise TypeError(f"accuracy is {accuracy!r}; pass a positive number")
    if not (math.isfinite(accuracy) and accuracy > 0):
        raise ValueError(f"accuracy is {accuracy}; pass a positive finite number")
    given = dict(options.pop("constants", None) or {})
    marks: dict[str, Piece] = {}

    def mark(path: str) -> Activation:
        name = f"smoothed_relu {path}"
        marks[name] = Piece(value=1.0, name=name)  # on η coordinates √η
        return Activation(abs, abs, abs, name=name)

    probe = _replaced(model, mark, {}, "")
    if isinstance(model, Machine):
        builder = build_machine(
            probe, radius=radius, input_bound=input_bound, batch=batch, constants={**given, **marks}, **options
        )
        outputs: tuple[str, ...] = tuple(builder.shown)
    else:
        builder, outputs = build(probe, radius, input_bound, batch, constants={**given, **marks}, **options)
    structure = builder.structure()
    growth = _growth(structure, [structure.names.index(name) for name in outputs])
    places = [(p, g) for p, g in _places(structure, growth) if p.name in marks]
    widths: dict[str, float] = {}
    for piece, grown in places:
        if math.isinf(grown):
            raise ValueError(f"behind {piece.name} there is a map of infinite Lipschitz constant; no width is known")
        reach = times(piece.value, grown)
        width = accuracy / (len(places) * reach) if reach else accuracy
        widths[piece.name] = min(widths.get(piece.name, math.inf), width)
    constants = {name: smoothed_relu(width) for name, width in widths.items()}
    new = _replaced(model, lambda path: _smooth(f"smoothed_relu {path}", widths), {}, "")
    return Smoothed(new, widths, {**given, **constants})


def _replaced(op: Any, make: Any, made: dict[int, Any], path: str) -> Any:
    """Return an op with other activations in place of its ReLUs; what was one leaf stays one leaf."""
    inside = parts(op)
    if inside:
        return op.with_parts(
            {name: _replaced(part, make, made, f"{path}.{name}" if path else name) for name, part in inside.items()}
        )
    if isinstance(op, MaxPool):
        raise ValueError(f"{path or 'the model'} is {op!r}, for which there is no smooth op; use mk.AvgPool")
    if id(op) in made:
        return made[id(op)]
    new = op
    if isinstance(op, Pointwise) and op.activation.name == "relu":
        new = Pointwise(make(path or "op"))
    elif isinstance(op, Machine) and not isinstance(op.pointwise, Diagonal):
        each = tuple(
            make(f"{path}.{k}" if path else str(k)) if a.name == "relu" else a
            for k, a in enumerate(op.pointwise.activations)
        )
        if each != op.pointwise.activations:
            new = op._derive(sigma=Blockwise(each, op.partition.blocks))
    made[id(op)] = new
    return new


def _smooth(name: str, widths: Mapping[str, float]) -> Activation:
    """Return the smoothed ReLU."""
    nu = widths.get(name, 1.0)

    def value(y: Any) -> Any:
        xp = namespace(y)
        return xp.where(real(y) < 2 * nu, xp.where(real(y) > 0, y * y / (4 * nu), 0 * y), y - nu)

    def derivative(y: Any) -> Any:
        xp = namespace(y)
        return xp.where(real(y) < 2 * nu, xp.where(real(y) > 0, y / (2 * nu), 0 * y), 0 * y + 1)

    def second(y: Any) -> Any:
        xp = namespace(y)
        return xp.where((real(y) > 0) & (real(y) < 2 * nu), 0 * y + 1 / (2 * nu), 0 * y)

    return Activation(value, derivative, second, name=name, smoothness=1, kinks=(0.0, 2 * nu))


def _growth(structure: Structure, outputs: list[int]) -> list[float]:
    """Return for each block by how much an error in it grows at most on the way to the outputs."""
    growth = [float(k in outputs) for k in range(len(structure.names))]
    for layer in sorted(structure.layers, key=lambda layer: -layer.target):
        behind = times(math.prod(piece.lipschitz for piece in layer.pieces), growth[layer.target])
        for term in layer.terms:
            for j in set(term.parents):
                growth[j] += times(times(term.map.bilinear, term.radius) + term.map.linear, behind)
    return growth


def _places(structure: Structure, growth: list[float]) -> list[tuple[Piece, float]]:
    """Return each piece, with the growth of an error in what it returns."""
    found = []
    for layer in structure.layers:
        grown = growth[layer.target]
        for piece in reversed(layer.pieces):
            found.append((piece, grown))
            grown = times(piece.lipschitz, grown)
    return found
