"""How machines are saved: partition, activations, options and arrays, from which they are made anew."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..activations import Diagonal
from ..machines import EquilibriumMachine, Machine, MonotoneMachine
from ..machines.build import Given, read_order, read_padding, read_sizes
from ..machines.monotone_form import MonotoneForm
from ..partitions import Partition
from ..solvers import Equilibrium

if TYPE_CHECKING:
    from .kinds import Reader, Spec, Writer

__all__ = ["equilibrium_from", "equilibrium_spec", "machine_from", "machine_spec", "monotone_from", "monotone_spec"]


def machine_spec(machine: Any, writer: Writer) -> Spec:
    p, sigma = machine.partition, machine.activation
    spec = {key: getattr(p, key) for key in ("sizes", "padding", "scan", "reverse", "time_block")}
    if isinstance(sigma, Diagonal):
        spec["diagonal"] = writer.array("diagonal", sigma.array)
    elif isinstance(sigma, tuple):
        spec["activation"] = [writer.activation(each) for each in sigma]
    else:
        spec["activation"] = writer.activation(sigma)
    live = machine.live
    spec["live"] = None if np.array_equal(live, p.live()) else writer.array("live", live)
    return {**spec, "weight": writer.array("weight", machine.weight), "bias": writer.array("bias", machine.bias)}


def machine_from(cls: type[Machine], spec: Spec, reader: Reader, number: int) -> Machine:
    """Make a machine from its partition: a dual has an order that its class's own constructor does not offer."""
    return _pruned(_made(cls, spec, reader, feedback=False), spec, reader)


def _made(cls: type[Machine], spec: Spec, reader: Reader, feedback: bool) -> Machine:
    padding = read_padding(spec["padding"]) if spec["padding"] else ()
    order = read_order(len(padding), spec["scan"], spec["reverse"], spec["time_block"])
    partition = Partition(read_sizes(spec["sizes"]), padding, **order, feedback=feedback)
    if "diagonal" in spec:
        sigma: Any = Diagonal(reader.array(spec["diagonal"]))
    elif isinstance(spec["activation"], list):
        sigma = [reader.activation(each) for each in spec["activation"]]
    else:
        sigma = reader.activation(spec["activation"])
    bias = reader.array(spec["bias"])
    machine = cls.__new__(cls)
    given = Given(sigma, weight=reader.array(spec["weight"]), bias=False if bias is None else bias)
    Machine.__init__(machine, partition, given)
    return machine


def _pruned(machine: Any, spec: Spec, reader: Reader) -> Any:
    return machine if spec["live"] is None else machine.prune(reader.host(spec["live"]))


def equilibrium_spec(machine: Any, writer: Writer) -> Spec:
    spec = machine_spec(machine, writer)
    return {**spec, "options": dataclasses.asdict(machine.options), "turned": machine._turned}


def equilibrium_from(cls: type[EquilibriumMachine], spec: Spec, reader: Reader, number: int) -> EquilibriumMachine:
    machine = _made(cls, spec, reader, feedback=True)
    machine.__dict__.update(options=Equilibrium(**spec["options"]), _turned=bool(spec["turned"]))
    return _pruned(machine, spec, reader)


def monotone_spec(machine: Any, writer: Writer) -> Spec:
    form = machine._form
    own = {name: writer.array(name, getattr(machine, name)) for name in ("A", "B", "margin", "raw_margin")}
    return {**equilibrium_spec(machine, writer), **own, "form": dataclasses.asdict(form)}


def monotone_from(cls: type[MonotoneMachine], spec: Spec, reader: Reader, number: int) -> MonotoneMachine:
    machine = _made(cls, spec, reader, feedback=True)
    own = {name: reader.array(spec[name]) for name in ("A", "B", "margin", "raw_margin")}
    form = spec["form"]
    padding = tuple(tuple(pair) for pair in form["padding"])
    machine.__dict__.update(
        options=Equilibrium(**spec["options"]),
        _turned=bool(spec["turned"]),
        _form=MonotoneForm(**{**form, "sizes": tuple(form["sizes"]), "padding": padding}),
        **own,
    )
    return _pruned(machine, spec, reader)
