"""What can be saved: one table of kinds, each with its class and the two functions between op and spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..activations import NAMES, Activation, get_activation
from ..arrays import Array, Backend, to_host
from ..graph import (
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Chain,
    Concatenate,
    Conv,
    ConvTranspose,
    Edge,
    Embed,
    Hypergraph,
    JetOp,
    LayerNorm,
    MaxPool,
    Norm,
    Pointwise,
    Reshape,
    Select,
    Softmax,
    Upsample,
)
from ..graph.leaf import Leaf
from ..machines import (
    ConvMachine,
    DenseMachine,
    EquilibriumMachine,
    GridMachine,
    MonotoneMachine,
    RecurrentMachine,
)
from ..solvers import Equilibrium
from ..training import Represented
from .machine_kinds import (
    equilibrium_from,
    equilibrium_spec,
    machine_from,
    machine_spec,
    monotone_from,
    monotone_spec,
)

__all__ = ["Reader", "Writer", "own_names"]

Spec = dict[str, Any]


class Writer:
    """Collects the specs of ops, children before parents, and the arrays; an op met twice is listed once."""

    def __init__(self) -> None:
        self.nodes: list[Spec] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._places: dict[int, int] = {}
        self._own: dict[str, Activation] = {}

    def add(self, op: Any, where: str) -> int:
        """Return the number of an op in the list."""
        if id(op) in self._places:
            return self._places[id(op)]
        kind = next((kind for kind, entry in _KINDS.items() if entry.cls is type(op)), None)
        if kind is None:
            raise TypeError(
                f"{where} is a {type(op).__name__}, which cannot be saved; the kinds are {', '.join(_KINDS)}. "
                "Save its parameters() with numpy.savez and build it anew"
            )
        spec = {"kind": kind, **_KINDS[kind].to_spec(op, self)}
        self.nodes.append(spec)
        self._places[id(op)] = len(self.nodes) - 1
        return self._places[id(op)]

    def array(self, name: str, array: Array | None) -> str | None:
        """Store one array of the op under way; return its key."""
        if array is None:
            return None
        key = f"{len(self.nodes)}.{name}"
        self.arrays[key] = np.array(to_host(array), order="C")
        return key

    def activation(self, activation: Activation) -> Spec:
        """Return the spec of one activation."""
        if _is_built_in(activation):
            return {"name": activation.name, "options": dict(activation.options)}
        if self._own.setdefault(activation.name, activation) != activation:
            raise ValueError(
                f"two different activations are named {activation.name!r}, and load could not tell them apart; "
                "name them: mk.Activation(…, name='…')"
            )
        return {"name": activation.name, "own": True}


class Reader:
    """Makes ops from specs, each once."""

    def __init__(self, nodes: Any, arrays: dict[str, np.ndarray], home: Backend, own: dict[str, Activation]) -> None:
        self._nodes, self._arrays, self._home, self._own = nodes, arrays, home, own
        self._made: dict[int, Any] = {}

    def op(self, number: int, parent: int | None = None) -> Any:
        """Return the op of a number; a part has a smaller number than its container."""
        if not 0 <= number < (len(self._nodes) if parent is None else parent):
            raise ValueError(f"there is no op {number}")
        if number not in self._made:
            spec = self._nodes[number]
            kind = _KINDS[spec["kind"]]
            self._made[number] = kind.from_spec(kind.cls, spec, self, number)
        return self._made[number]

    def array(self, key: str | None) -> Array | None:
        """Return an array on the backend asked for."""
        return None if key is None else self._home.from_host(self._arrays[key])

    def host(self, key: str) -> np.ndarray:
        return self._arrays[key]

    def activation(self, spec: Spec) -> Activation:
        return self._own[spec["name"]] if spec.get("own") else get_activation(spec["name"], **spec["options"])


def _affine_spec(op: Any, writer: Writer) -> Spec:
    return {name: writer.array(name, getattr(op, name)) for name in ("weight", "bias")}


def _affine_from(cls: type[Affine], spec: Spec, reader: Reader, number: int) -> Affine:
    weight, bias = reader.array(spec["weight"]), reader.array(spec["bias"])
    n_in, n_out = weight.shape  # type: ignore[union-attr]
    return cls(n_in, n_out, weight=weight, bias=False if bias is None else bias)


def _leaf_spec(op: Any, writer: Writer) -> Spec:
    """Return the spec of a leaf that its constructor makes anew from keywords.

    These are its options, its parameters, False where absent, and its constants, None where absent.
    """
    constants = getattr(op, "constants", {})
    options = {name: value for name, value in op._options.items() if not isinstance(value, Activation)}
    absent = [n for n, value in vars(op).items() if value is None and n not in op._options and n not in constants]
    spec: Spec = {"options": options}
    spec["parameters"] = {name: writer.array(name, getattr(op, name)) for name in (*op.parameters(), *absent)}
    spec["constants"] = {name: writer.array(name, array) for name, array in constants.items()}
    if len(options) < len(op._options):
        spec["activation"] = writer.activation(op.activation)
    return spec


def _leaf_from(cls: type[Leaf], spec: Spec, reader: Reader, number: int) -> Leaf:
    given: Spec = {name: _frozen(value) for name, value in spec["options"].items()}
    given.update({name: False if key is None else reader.array(key) for name, key in spec["parameters"].items()})
    given.update({name: reader.array(key) for name, key in spec["constants"].items()})
    if "activation" in spec:
        given["activation"] = reader.activation(spec["activation"])
    return cls(**given)


def _frozen(value: Any) -> Any:
    """Return what was a tuple before it was written as JSON."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _chain_spec(op: Any, writer: Writer) -> Spec:
    return {"ops": [writer.add(part, f"ops[{k}] of the chain") for k, part in enumerate(op.ops)]}


def _chain_from(cls: type[Chain], spec: Spec, reader: Reader, number: int) -> Chain:
    return cls([reader.op(part, number) for part in spec["ops"]])


def _network_spec(op: Any, writer: Writer) -> Spec:
    edges = [[e.name, e.signature, writer.add(e.op, f"the op of the edge {e.name!r}")] for e in op.edges]
    spec: Spec = {"spaces": {name: list(shape) for name, shape in op.spaces.items()}, "edges": edges}
    # an empty side is none that one may ask for, it comes of the edges
    spec["ends"] = op.signature if op.inputs and op.outputs else None
    return spec if op.cycles is None else {**spec, "cycles": asdict(op.cycles)}


def _network_from(cls: type[Hypergraph], spec: Spec, reader: Reader, number: int) -> Hypergraph:
    edges = [Edge(name, reader.op(part, number), signature) for name, signature, part in spec["edges"]]
    cycles = Equilibrium(**spec["cycles"]) if "cycles" in spec else None
    return cls({name: tuple(shape) for name, shape in spec["spaces"].items()}, edges, spec["ends"], cycles=cycles)


def _represented_spec(op: Any, writer: Writer) -> Spec:
    spec: Spec = {"op": writer.add(op.op, "the op that is represented"), "axis": op.axis}
    theta = op.parameters()
    spec["bases"] = {name: writer.array(f"basis.{name}", basis) for name, basis in op.bases.items()}
    spec["coefficients"] = {name: writer.array(f"coefficients.{name}", theta[name]) for name in op.bases}
    return spec


def _represented_from(cls: type[Represented], spec: Spec, reader: Reader, number: int) -> Represented:
    bases = {name: reader.host(key) for name, key in spec["bases"].items()}
    theta = {name: reader.array(key) for name, key in spec["coefficients"].items()}
    return cls(reader.op(spec["op"], number), axis=spec["axis"], **bases).replace(**theta)


def _jet_spec(op: Any, writer: Writer) -> Spec:
    return {"machine": writer.add(op.machine, "the machine of the jet"), "order": op.order}


def _jet_from(cls: type[JetOp], spec: Spec, reader: Reader, number: int) -> JetOp:
    return cls(reader.op(spec["machine"], number), spec["order"])


class _Kind(NamedTuple):
    cls: Any
    to_spec: Callable[[Any, Writer], Spec]
    from_spec: Callable[[Any, Spec, Reader, int], Any]


_LEAVES = (
    Add, AvgPool, BatchNorm, Concatenate, Conv, ConvTranspose, Embed, LayerNorm, MaxPool, Norm, Pointwise, Reshape,
    Select, Softmax, Upsample,
)  # fmt: skip
"""Leaves that their constructor makes anew from their options and parameters."""

_KINDS: Mapping[str, _Kind] = {
    "DenseMachine": _Kind(DenseMachine, machine_spec, machine_from),
    "ConvMachine": _Kind(ConvMachine, machine_spec, machine_from),
    "RecurrentMachine": _Kind(RecurrentMachine, machine_spec, machine_from),
    "GridMachine": _Kind(GridMachine, machine_spec, machine_from),
    "EquilibriumMachine": _Kind(EquilibriumMachine, equilibrium_spec, equilibrium_from),
    "MonotoneMachine": _Kind(MonotoneMachine, monotone_spec, monotone_from),
    "Affine": _Kind(Affine, _affine_spec, _affine_from),
    "Represented": _Kind(Represented, _represented_spec, _represented_from),
    "Chain": _Kind(Chain, _chain_spec, _chain_from),
    "JetOp": _Kind(JetOp, _jet_spec, _jet_from),
    "Hypergraph": _Kind(Hypergraph, _network_spec, _network_from),
    **{cls.__name__: _Kind(cls, _leaf_spec, _leaf_from) for cls in _LEAVES},
}


def _is_built_in(activation: Activation) -> bool:
    """Whether the name and options alone give this very activation."""
    if activation.name not in NAMES:
        return False
    try:
        made = get_activation(activation.name, **dict(activation.options))
    except (TypeError, ValueError):
        return False
    roles = ("value", "derivative", "second", "third", "prox")
    return all(_same(getattr(activation, role), getattr(made, role)) for role in roles)


def _same(f: Any, g: Any) -> bool:
    if isinstance(f, partial) and isinstance(g, partial):
        return (f.func, f.args, f.keywords) == (g.func, g.args, g.keywords)
    return bool(f == g)


def own_names(nodes: list[Spec]) -> set[str]:
    """Return the names of the activations that are not built in."""
    names = set()
    for node in nodes:
        given = node.get("activation", [])
        names |= {each["name"] for each in (given if isinstance(given, list) else [given]) if each.get("own")}
    return names
