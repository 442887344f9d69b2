"""The bounds of a model: what is asked for is read, the model becomes a structure, and that is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..arrays import dtype_name, integer, namespace, near
from ..graph import Affine, Chain, Hypergraph, Reshape
from ..graph.op import check_op_kind, parameters
from ..machines import Machine
from .bounds import Bounds, Row
from .builder import Builder
from .evaluate import evaluate
from .local_reading import local_structure
from .of_machine import build_machine
from .of_network import Flattened, names_of_parameters
from .radii import read_bound, read_bounds, read_radius
from .structure import Piece

__all__ = ["bounds", "build", "smaller"]


def bounds(
    model: Any,
    *,
    radius: Any = None,
    input_bound: Any = None,
    batch: int = 1,
    which: str = "joint",
    form: str = "sharp",
    level: str = "best",
    of: str | Sequence[str] = "all",
    at: Any = None,
    shape: Sequence[int] | None = None,
    grid: Sequence[int] = (),
    block_radius: Any = None,
    bias_radius: Any = None,
    start_bound: Any = None,
    constants: Mapping[str, Piece] | None = None,
) -> Bounds:
    """Return bounds of the size, the Lipschitz constant and the smoothness of a model and of all that is inside.

    Parameters
    ----------
    model : Machine, Chain, Hypergraph, or an op that they are made of
        Of finite depth.
    radius : float or mapping of str to float
        R with ‖(weight, bias)‖ ≤ R in the Frobenius norm, of each op with parameters. The keys of a mapping are the
        names of ops, as in ``model.parameters()`` before the last dot; a shared op is listed once.
    input_bound : float, or one for each input
        ‖x‖ ≤ input_bound, of the whole batch. For several inputs a sequence or, of a hypergraph, a mapping of space to
        bound, which may name any space; of a machine that of y0, see `of_machine`.
    batch : int
        Samples in a batch, which all norms are of.
    which : {"joint", "inputs", "parameters"}
        What the derivatives are taken in.
    form : {"sharp", "sums", "ball"}
        ``"sums"`` is the published form, never smaller. ``"ball"`` uses the exact suprema of activations on balls as
        well.
    level : {"best", "block", "scalar"}
        A matrix over all sources for each block, a pair of numbers, or the smaller of both.
    of : str or sequence of str
        ``"all"`` that the table has, together; ``"last"``, the outputs; or rows of the table: spaces of a hypergraph,
        ops of a chain, named by their places, blocks of a machine. A block of a machine that scans a grid stands for
        it at all positions.
    at : State or array, optional
        Of a machine, or of a chain of Affine and Pointwise: what its ``solve`` returned, or its input. The bounds then
        hold where each parameter is within `radius` of the model's and each input within `input_bound` (and
        `start_bound`) of that. The number of samples is that of the state.
    shape : tuple of int, optional
        Of a sample of the input of a chain or op, where its first op does not tell.
    grid, block_radius, bias_radius, start_bound : optional
        For a machine, see `of_machine`.
    constants : mapping of str to Piece, optional
        Of activations of your own, see `activation_piece`.

    Returns
    -------
    Bounds

    Raises
    ------
    TypeError
        A missing radius or input bound; no op, or one of an unknown class; complex parameters; what are no numbers;
        options of machines for something else.
    ValueError
        Unknown options or names; numbers below 0; a machine of infinite depth; a level that the form or shared
        parameters do not allow.
    CycleError
        A network with a cycle.

    Notes
    -----
    With x_i = ξ_i + Σ_t a_t(Σ_e b_e(v_e, x_P(e))) block by block, bounds of ‖x_i‖, ‖Dx_i‖ and ‖D²x_i‖ are computed from
    those of the blocks before: Roulet and Harchaoui (Allerton 2019, arXiv:2002.09051) for chains, with sharper forms,
    and the same for shortcuts and shared parameters. Only shapes are read, and no parameter, unless `at` is given.
    Pieces that are not C¹ have infinite smoothness, and are named by ``rough``.

    Examples
    --------
    >>> import machinekit as mk
    >>> from machinekit.smoothness.entry import bounds
    >>> net = mk.Chain([mk.Affine(3, 4, rng=0), mk.Pointwise("tanh"), mk.Affine(4, 2, rng=0), mk.Pointwise("tanh")])
    >>> found = bounds(net, radius=1.0, input_bound=1.0, which="parameters", level="scalar", of="last")
    >>> round(found.size, 6), round(found.lipschitz, 6), round(found.smoothness, 6)
    (1.414214, 2.236068, 6.016505)
    """
    options = {"block_radius": block_radius, "bias_radius": bias_radius, "start_bound": start_bound}
    check_op_kind(model, "model")
    _check_real(model)
    samples = integer("batch", batch, 0)
    if isinstance(model, Machine):
        if shape is not None:
            raise TypeError("shape is for chains and ops; pass grid, the extents of the machine's grid axes")
        options.update(radius=radius, input_bound=input_bound)
    else:
        given = [name for name, value in (*options.items(), ("grid", grid or None)) if value is not None]
        if given:
            raise TypeError(f"{given[0]} is for machines, and model is a {type(model).__name__}; leave it out")
    if at is not None:
        if shape is not None or tuple(grid):
            raise TypeError("shape and grid are given with at, which tells them; leave them out")
        return _around(model, at, (which, form, level, of), radius, input_bound, options, constants)
    if isinstance(model, Machine):
        builder = build_machine(model, grid=grid, batch=samples, constants=constants, **options)
        outputs: tuple[str, ...] = tuple(builder.shown[-1:])
    else:
        builder, outputs = build(model, radius, input_bound, samples, shape, constants)
    return _evaluate(builder, outputs, which, form, level, of)


def build(
    model: Any,
    radius: Any,
    input_bound: Any,
    batch: int = 1,
    shape: Sequence[int] | None = None,
    constants: Mapping[str, Piece] | None = None,
) -> tuple[Builder, tuple[str, ...]]:
    """Return the structure of a network in the making, and the names of its outputs; see `bounds`."""
    model = model if isinstance(model, Chain | Hypergraph) else Chain([model])
    names = names_of_parameters(model)
    flat = Flattened(names, read_radius(radius, tuple(dict.fromkeys(names.values()))), batch, constants)
    if input_bound is None:
        raise TypeError("input_bound is missing; pass a bound of the norm of the inputs, over the whole batch")
    if isinstance(model, Hypergraph):
        outputs = flat.outermost(model, _starts(model, input_bound))
    else:
        shapes = _shapes(model, shape)
        bound = read_bounds("input_bound", input_bound, len(shapes), "inputs")
        outputs = flat.line(model, shapes, bound)
    return flat.builder, tuple(flat.builder.names[k] for k in outputs)


def smaller(one: Bounds, other: Bounds) -> Bounds:
    """Return the smaller of two bounds of the same, number by number; rows are matched by name."""
    known = {row.name: row for row in other.table}
    rows = tuple(Row(row.name, *map(min, row[1:], known.get(row.name, row)[1:])) for row in one.table)
    best = min(one, other, key=lambda b: (b.smoothness, b.lipschitz))
    return replace(best, size=min(one.size, other.size), lipschitz=min(one.lipschitz, other.lipschitz), table=rows)


def _evaluate(builder: Builder, outputs: Sequence[str], which: str, form: str, level: str, of: Any) -> Bounds:
    names = builder.shown
    asked = _named(of, names, outputs)
    found = evaluate(builder.structure(), which, form, level, asked, names)
    return replace(found, of=of if isinstance(of, str) else ", ".join(of))


def _named(of: Any, names: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the blocks that are asked for; a block of a machine that scans stands for all its positions."""
    if isinstance(of, str):
        if of == "all" or of in names:
            return of
        if of == "last":
            return tuple(outputs)
    elif not isinstance(of, Iterable):
        raise TypeError(f"of is {of!r}; pass 'all', 'last' or names of blocks")
    found: list[str] = []
    for name in (of,) if isinstance(of, str) else of:
        same = [n for n in names if n == name or n.startswith(f"{name}@")]
        if not same:
            raise ValueError(f"of is {name!r}; {near(str(name), ['all', 'last', *names])}")
        found += same
    return tuple(dict.fromkeys(found))


def _check_real(model: Any) -> None:
    """Refuse complex parameters: the constants of activations are those on real numbers."""
    for name, array in parameters(model).items():
        if namespace(array).isdtype(array.dtype, "complex floating"):
            raise TypeError(f"{name} of the model is {dtype_name(array)}; bounds are of real models: pass real arrays")


def _starts(model: Hypergraph, given: Any) -> dict[str, float]:
    """Return the bounds of the inputs of a network by space."""
    if not isinstance(given, Mapping):
        return dict(zip(model.inputs, read_bounds("input_bound", given, len(model.inputs), "inputs"), strict=True))
    for name in given:
        if name not in model.spaces:
            raise ValueError(f"input_bound has {name!r}, which is no space; {near(str(name), list(model.spaces))}")
    return {name: read_bound(f"input_bound[{name!r}]", value) for name, value in given.items()}


def _shapes(model: Any, shape: Sequence[int] | None) -> list[tuple[int, ...]]:
    """Return the shape of a sample of each input."""
    if shape is not None:
        if isinstance(shape, str) or not isinstance(shape, Iterable):
            raise TypeError(f"shape is {shape!r}; pass that of a sample, as a tuple of integers")
        return [tuple(integer(f"shape[{k}]", n, 0) for k, n in enumerate(shape))]
    first = model
    while isinstance(first, Chain):
        first = first.ops[0]
    if isinstance(first, Hypergraph):
        return [first.spaces[name] for name in first.inputs]
    if isinstance(first, Affine):
        return [(int(first.weight.shape[0]),)]
    if isinstance(first, Reshape):
        return [first.before]
    if isinstance(first, Machine) and not first.partition.axes:
        return [(first.partition.channels,)]
    raise TypeError(f"shape is missing, and {first!r} does not tell what it reads; pass the shape of a sample")


def _around(
    model: Any,
    at: Any,
    asked: tuple[Any, ...],
    radius: Any,
    input_bound: Any,
    options: Mapping[str, Any],
    constants: Mapping[str, Piece] | None,
) -> Bounds:
    """Return the smaller of the bounds around a point and of those in the balls that contain what is around it."""
    near_by, everywhere = local_structure(model, at, radius, input_bound, options, constants)
    found = [_evaluate(b, b.shown[-1:], *asked) for b in (near_by, everywhere)]
    return smaller(*found)
