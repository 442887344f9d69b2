"""The records of a machine: the same, under the paper's names for the arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import Array
from .op import NOTHING, Arrays, Cotangent, State, Tangent

__all__ = ["DualState", "MachineCotangent", "MachineState", "MachineTangent", "cut", "lazy", "machine_state"]


class lazy:
    """An attribute computed when first asked for and then kept: `functools.cached_property` without its lock."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, record: Any, owner: Any = None) -> Any:
        if record is None:
            return self
        value = record.__dict__[self.name] = self.make(record)
        return value


class MachineState(State):
    """The state x = (y, z) of a machine.

    Attributes
    ----------
    y, z : arrays of shape (*batch, *grid, channel)
        Before and after the nonlinearity, over all channels.
    inputs : tuple of arrays
        (y0,) or (y0, z0) as they were given; empty if the state was built from y and z.
    outputs : tuple
        (z,).
    widths : tuple of int
        Channel counts of y0 and z0.
    slope : array or None
        σ′(y), where the sweep had it at hand.
    info : mapping
        What an iterative solver reports; empty for machines of finite depth.
    of : Pointwise or None
        The σ for which z is exactly σ(y), nothing having been added; slopes may then come from z.
    """

    _shown = ("y", "z")
    y: Array
    z: Array
    widths: tuple[int, int]
    slope: Array | None
    info: Mapping[str, Any]
    of: Any

    def __init__(
        self,
        y: Array,
        z: Array,
        *,
        inputs: Arrays = (),
        widths: tuple[int, int] | None = None,
        slope: Array | None = None,
        info: Mapping[str, Any] = NOTHING,
        of: Any = None,
    ) -> None:
        if widths is None:
            widths = (y.shape[-1], y.shape[-1])
        self.__dict__.update({
            "y": y, "z": z, "inputs": inputs, "outputs": (z,), "widths": widths, "slope": slope,
            "info": info, "of": of, "saved": None,
        })  # fmt: skip


class DualState(MachineState):
    """The dual solution (u, v) as y and z, of which u is computed from v when first asked for.

    Gradients of the usual seeds need v alone; u is one array more, and one product over all weights.
    """

    _make_u: Callable[[], Array]

    def __init__(self, make_u: Callable[[], Array], v: Array) -> None:
        width = v.shape[-1]
        object.__setattr__(self, "__dict__", {
            "_make_u": make_u, "z": v, "inputs": (), "outputs": (v,), "widths": (width, width), "slope": None,
            "info": NOTHING, "of": None, "saved": None,
        })  # fmt: skip

    @lazy
    def y(self) -> Array:
        """u = Wᵀ v + u0."""
        return self._make_u()

    def __getstate__(self) -> dict[str, Any]:
        return {"y": self.y, **{k: v for k, v in super().__getstate__().items() if k != "_make_u"}}


def machine_state(
    y: Array, z: Array, inputs: Arrays, widths: tuple[int, int], of: Any, info: Mapping[str, Any] = NOTHING
) -> MachineState:
    """Return a `MachineState` without the ceremony of its constructor, which small machines would feel."""
    state = object.__new__(MachineState)
    object.__setattr__(state, "__dict__", {
        "y": y, "z": z, "inputs": inputs, "outputs": (z,), "widths": widths, "slope": None,
        "info": info, "of": of, "saved": None,
    })  # fmt: skip
    return state


class MachineTangent(Tangent):
    """The derivative (ẏ, ż) of a machine's state, as ``.y`` and ``.z``.

    Attributes
    ----------
    y, z : arrays of shape (*batch, *grid, channel)
    moved : array or None
        The direction of the weight, projected onto its live part.
    """

    _shown = ("y", "z")
    y: Array
    z: Array
    moved: Array | None

    def __init__(
        self, y: Array, z: Array, inputs: Arrays, parameters: Mapping[str, Array], moved: Array | None = None
    ) -> None:
        super().__init__((z,), inputs, parameters)
        self.__dict__.update(y=y, z=z, moved=moved)


class MachineCotangent(Cotangent):
    """The cotangents of a machine's inputs and parameters.

    Attributes
    ----------
    y0, z0 : arrays
        Cotangents of the inputs, with the inputs' own channel counts: the dual solution's v and u.
    weight : array of shape (*lag, in, out), or None from `pullback_inputs`
    bias, slope : array or None
        None where the machine has no bias, or is not linear.
    saved : State
        The dual solution (u, v) over all channels.
    outputs : tuple
        The seeds (on z, on y); `pullback` takes them in this order.
    """

    _shown = ("y0", "z0", "parameters")
    weight: Array | None
    bias: Array | None
    slope: Array | None
    saved: MachineState
    _widths: tuple[int, int]
    _arity: int

    def __init__(
        self,
        saved: MachineState,
        widths: tuple[int, int],
        arity: int,
        seeds: Arrays,
        parameters: Mapping[str, Array],
        slope: Array | None,
    ) -> None:
        object.__setattr__(self, "__dict__", {
            "saved": saved, "outputs": seeds, "parameters": parameters, "weight": parameters.get("weight"),
            "bias": parameters.get("bias"), "slope": slope, "contributions": NOTHING, "_widths": widths,
            "_arity": arity,
        })  # fmt: skip

    @lazy
    def y0(self) -> Array:
        """v, cut to the channels of y0."""
        return cut(self.saved.z, self._widths[0])

    @lazy
    def z0(self) -> Array:
        """u, cut to the channels of z0."""
        return cut(self.saved.y, self._widths[1])

    @lazy
    def inputs(self) -> Arrays:
        """The cotangents of the state's inputs."""
        return (self.y0,) if self._arity == 1 else (self.y0, self.z0)  # z0 may cost a product


def cut(array: Array, width: int) -> Array:
    return array if width == array.shape[-1] else array[(..., slice(0, width))]
