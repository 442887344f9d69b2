"""Hypergraph: a sum of ops on named spaces, run in the order of its levels; itself an op."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any, Self

from ..machines.equilibrium import read_options
from ..records import State
from ..solvers import Equilibrium
from .components import schedule, valid_groups
from .edge import Edge
from .linearized import Adjoint, Linearized, turn
from .op import parameters
from .portrait import Memory, counted, describe, memory, to_dot
from .reading import Shape, check_samples, read_cycles, read_edges, read_spaces, read_terminals, try_edges
from .sharing import Sharing
from .verbs import NetworkVerbs

__all__ = ["Hypergraph"]


class Hypergraph(NetworkVerbs):
    """A network: x = Σ_e f_e(x) + x0 on a sum of named spaces.

    Parameters
    ----------
    spaces : mapping of str to int or tuple of int
        The shape of a sample in each space: a number of channels, or grid extents and channels. Batch axes
        lead, any number of them, the same everywhere.
    edges : iterable of Edge
        Ops between spaces. Several edges into one space add. One op object on several edges shares its weights.
    signature : str, optional
        ``"x1 x2 -> x8"``: the inputs and outputs as an op. By default the spaces that no edge writes to, and
        those that no edge reads, in the order of `spaces`.
    cycles : Equilibrium, optional
        Lets spaces feed back on themselves: each strongly connected component of edges is solved as an equilibrium,
        in all sweeps, in the way that these options tell.
    executor : concurrent.futures.Executor, optional
        Runs the edges of a level side by side; sums stay in the order of declaration, so that results do not
        change. It is not pickled.

    Attributes
    ----------
    levels : list of tuple of str
        The edges by the earliest step at which all that they read is final; the edges of a component run together.
    depth : int
        The number of levels: with f_k the sum of the edges of level k, R_f = R_{f_d} ⋯ R_{f_1}.
    components : list of tuple of str
        The edges that are solved together, as one equilibrium each.

    Raises
    ------
    CycleError
        If a space feeds back on itself and `cycles` is not given; ``.cycle`` names the edges.
    ValueError
        A space or edge name that is no word, occurs twice or is unknown; an edge between spaces whose shapes do
        not fit its op (built-in ops and machines are tried on one sample of zeros, a user's own when it runs).
    TypeError
        Parameters in two libraries or precisions; an op of another kind.

    Notes
    -----
    An edge of level k reads only spaces that are final before it: each edge does not depend on itself and on
    later ones, so that by Theorem 2 of Vertechi & Bergomi (arXiv:2204.12786) the sum is a machine whose
    resolvent runs each edge once, ``h ← h + f_e h``. Its tangent and its dual are sums of linear edges on the
    same spaces, with arrows reversed for the dual: λ_s = x̄_s + Σ_e J_eᵀ λ over the edges e that read s
    (Fleuret, EE-559 §4.1); the derivative of the dual is λ̇_s = x̄˙_s + Σ_e (J_eᵀ λ)˙, once more the same sum.
    Parameters are named ``"f1.weight"``, deeper ``"f1.0.weight"``.

    A strongly connected component is one such step too, whose resolvent is not one run but a fixed point. Its
    unknowns are the values of a few spaces that cut all its cycles; g runs its edges once. Tangent, dual and tangent
    of the dual are linear fixed points of the same size (the implicit function theorem), in memory that does not
    depend on the number of iterations.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> double = mk.Affine(1, 1, bias=False, weight=np.array([[2.0]]))
    >>> net = mk.Hypergraph({"a": 1, "b": 1, "c": 1}, [
    ...     mk.Edge("f", double, "a -> b"), mk.Edge("g", double, "b -> c"), mk.Edge("skip", double, "a -> c")])
    >>> state = net.solve({"a": np.array([[3.0]])})
    >>> state["c"], net.depth, net.levels
    (array([[18.]]), 2, [('f', 'skip'), ('g',)])
    >>> cotangent = net.pullback(state, {"c": np.array([[1.0]])})
    >>> cotangent.inputs["a"], cotangent.parameters["f.weight"], cotangent.contributions["skip.weight"]
    (array([[6.]]), array([[15.]]), array([[3.]]))
    >>> half = mk.Affine(1, 1, bias=False, weight=np.array([[0.5]]))
    >>> loop = mk.Hypergraph({"h": 1}, [mk.Edge("f", half, "h -> h")], "h -> h", cycles=mk.Equilibrium())
    >>> loop(np.array([[3.0]])).round(6)  # h = h/2 + 3
    array([[6.]])
    """

    levels: list[tuple[str, ...]]
    _what = "network"

    def __init__(
        self,
        spaces: Mapping[str, int | Sequence[int]],
        edges: Iterable[Edge],
        signature: str | None = None,
        *,
        cycles: Equilibrium | None = None,
        executor: Executor | None = None,
    ) -> None:
        shapes = read_spaces(spaces)
        given = read_edges(edges, shapes)
        inputs, outputs = read_terminals(signature, shapes, given)
        self._fill(shapes, given, inputs, outputs, executor, read_cycles(cycles))
        try_edges(shapes, given)

    def _fill(
        self,
        shapes: dict[str, Shape],
        edges: tuple[Edge, ...],
        inputs: Any,
        outputs: Any,
        executor: Executor | None,
        cycles: Equilibrium | None,
    ) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        levels, groups, components = schedule(sizes, edges, cycles is not None)
        check_samples(edges, components)
        self.__dict__.update(
            spaces=shapes,
            inputs=inputs,
            outputs=outputs,
            levels=levels,
            groups=groups,
            executor=executor,
            cycles=cycles,
            _components=components,
            **_contents(edges),
        )

    def __repr__(self) -> str:
        spaces = ", ".join(f"{name}: {'×'.join(map(str, shape)) or 'scalar'}" for name, shape in self.spaces.items())
        cycles = f", {counted(self)}" if self._components else ""
        return f"Hypergraph({{{spaces}}}, {len(self.edges)} edges, depth {self.depth}{cycles}, {self.signature!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "executor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._fill(state["spaces"], state["edges"], state["inputs"], state["outputs"], None, state["cycles"])

    @property
    def signature(self) -> str:
        """Inputs and outputs as an op, ``"x1 x2 -> x8"``."""
        return f"{' '.join(self.inputs)} -> {' '.join(self.outputs)}"

    @property
    def depth(self) -> int:
        """The number of levels."""
        return len(self.levels)

    @property
    def components(self) -> list[tuple[str, ...]]:
        """The edges of each strongly connected component, which are solved as one equilibrium."""
        return [c.names for c in self._components]

    def is_schedule(self, groups: Iterable[Iterable[str]]) -> bool:
        """Tell whether groups of edge names, in this order, each edge once, read only what is final.

        The edges of a component belong into one group.

        >>> import machinekit as mk
        >>> net = mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("f", mk.Affine(1, 1, rng=0), "a -> b")])
        >>> net.is_schedule([("f",)])
        True
        """
        return valid_groups(self.edges, self._components, groups)

    def depends_on(self, other: Hypergraph) -> bool:
        """Tell from the structure whether this depends on `other`: reads a space that `other` writes to (Def. 4)."""
        written = {t for e in other.edges for t in e.targets}
        return any(s in written for e in self.edges for s in e.sources)

    def __add__(self, other: Any) -> Hypergraph:
        """Return the sum on the union of the spaces, with all edges (Theorem 2), and the `cycles` of either.

        Raises
        ------
        ValueError
            A space of two shapes, an edge name in both, or two different `cycles`.
        CycleError
            If the sum is not of finite depth and neither has `cycles`.
        """
        if not isinstance(other, Hypergraph):
            return NotImplemented
        for name, shape in other.spaces.items():
            if self.spaces.get(name, shape) != shape:
                raise ValueError(
                    f"the space {name!r} is {self.spaces[name]} in one network and {shape} in the other; "
                    "give it one shape, or two names"
                )
        if None not in (self.cycles, other.cycles) and self.cycles != other.cycles:
            raise ValueError(
                f"cycles is {self.cycles} in one network and {other.cycles} in the other; give both the same, as with "
                "with_options"
            )
        spaces, edges = {**self.spaces, **other.spaces}, (*self.edges, *other.edges)
        return Hypergraph(spaces, edges, cycles=self.cycles or other.cycles, executor=self.executor)

    def with_options(self, **options: Any) -> Self:
        """Return the same network with other options of `cycles`, those of `mk.Equilibrium`.

        >>> import machinekit as mk
        >>> net = mk.Hypergraph({"a": 1}, [mk.Edge("f", mk.Affine(1, 1, rng=0), "a -> a")], cycles=mk.Equilibrium())
        >>> net.with_options(rtol=1e-9).cycles.rtol
        1e-09
        """
        new = object.__new__(type(self))
        kept = {} if self.cycles is None else asdict(self.cycles)
        new.__dict__.update(self.__dict__, cycles=read_cycles(read_options({**kept, **options})))
        return new

    def with_parts(self, parts: Mapping[str, Any]) -> Self:
        """Return the same network with other ops on its edges."""
        new = object.__new__(type(self))
        edges = tuple(Edge(e.name, parts[e.name], e.signature) for e in self.edges)
        check_samples(edges, self._components)
        new.__dict__.update(self.__dict__, **_contents(edges))
        return new

    def tangent(self, state: State) -> Hypergraph:
        """Return the derivative at a state: the same network with `Linearized` edges."""
        return self._linear(Linearized, state, turned=False)

    def dual(self, state: State) -> Hypergraph:
        """Return the dual at a state: the network with its arrows reversed and `Adjoint` edges.

        ``net.dual(state).solve({"x8": g})["x1"]`` is ``net.pullback(state, {"x8": g}).inputs["x1"]``.
        """
        return self._linear(Adjoint, state, turned=True)

    def _linear(self, kind: Any, state: State, turned: bool) -> Hypergraph:
        edges = tuple(
            Edge(e.name, kind(e.op, inner), turn(e.signature) if turned else e.signature)
            for e, inner in zip(self.edges, state.saved, strict=True)
        )
        new = object.__new__(Hypergraph)
        ends = (self.outputs, self.inputs) if turned else (self.inputs, self.outputs)
        new._fill(self.spaces, edges, *ends, self.executor, self.cycles)
        return new

    def memory(self, batch: int | Shape = 1) -> Memory:
        """Return how many bytes a state holds for a batch: values of spaces, and what the edges keep besides.

        >>> import machinekit as mk
        >>> mk.Hypergraph({"a": 2, "b": 3}, [mk.Edge("f", mk.Affine(2, 3, rng=0), "a -> b")]).memory(10)
        Memory(inputs=160, spaces=240, edges={'f': 0})
        """
        return memory(self, batch)

    def describe(self) -> str:
        """Return spaces, levels, cycles and parameters as text."""
        return describe(self)

    def to_dot(self) -> str:
        """Return the network in the language of Graphviz: spaces are ellipses, edges boxes, a rank per level.

        A component is framed as a cluster.
        """
        return to_dot(self)


def _contents(edges: tuple[Edge, ...]) -> dict[str, Any]:
    """Return what changes when only the ops do."""
    like = next((a for e in edges for a in parameters(e.op).values()), None)
    return {"edges": edges, "sharing": Sharing({e.name: e.op for e in edges}), "like": like}
