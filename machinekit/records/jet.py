"""The records of a jet: the derivatives of a machine's state along a curve, under the same names, by order."""

from __future__ import annotations

from collections.abc import Mapping

from ..arrays import Array
from .machine import MachineState, MachineTangent, cut, lazy
from .op import Arrays, Cotangent, State, Tangent

__all__ = ["Jet", "JetCotangent", "JetTangent"]


class Jet(State):
    """The derivatives d^k/ds^k of a machine's state along y0(s) = Σ s^k/k! y0_k, z0(s) = Σ s^k/k! z0_k.

    Attributes
    ----------
    order : int
        1 to 3.
    y, z : tuples of arrays of shape (*batch, *grid, channel)
        (y, y_1, …) and (z, z_1, …) up to the order, over all channels.
    y0, z0 : tuples of arrays or None
        (y0, y0_1, …) and (z0, z0_1, …) as they were given, None being zero.
    state : MachineState
        That at s = 0, which every other verb takes.
    widths : pair of tuples of int
        Channel counts of y0, y0_1, … and of z0, z0_1, …; all channels for None.
    inputs, outputs : tuples
        y0 with its directions; z.
    """

    _shown = ("order", "y", "z")
    order: int
    y: Arrays
    z: Arrays
    y0: Arrays
    z0: Arrays
    state: MachineState
    widths: tuple[tuple[int, ...], tuple[int, ...]]

    def __init__(self, state: MachineState, y: Arrays, z: Arrays, y0: Arrays, z0: Arrays) -> None:
        full = state.y.shape[-1]
        widths = tuple(tuple(full if a is None else a.shape[-1] for a in given) for given in (y0, z0))
        self.__dict__.update(
            order=len(y) - 1, y=y, z=z, y0=y0, z0=z0, state=state, widths=widths, inputs=y0, outputs=z, saved=None
        )


class JetTangent(Tangent):
    """The directional derivative of a jet.

    Attributes
    ----------
    y, z : tuples of arrays of shape (*batch, *grid, channel)
        ẏ_k and ż_k by order k.
    y0, z0 : tuples of arrays or None
        The directions of y0_k and of z0_k.
    parameters : mapping of str to array
        The directions of the parameters.
    first : MachineTangent
        That of the state.
    """

    _shown = ("y", "z")
    y: Arrays
    z: Arrays
    y0: Arrays
    z0: Arrays
    first: MachineTangent

    def __init__(self, first: MachineTangent, y: Arrays, z: Arrays, y0: Arrays, z0: Arrays) -> None:
        super().__init__(z, y0, first.parameters)
        self.__dict__.update(y=y, z=z, y0=y0, z0=z0, first=first)


class JetCotangent(Cotangent):
    """The cotangents of a jet's inputs, directions and parameters.

    Attributes
    ----------
    y0, z0 : tuples of arrays
        The cotangents of y0_k and z0_k by order k, with their own channel counts: the dual solutions' v_k and u_k.
    weight : array of shape (*lag, in, out)
    bias, slope : array or None
        None where the machine has no bias, or is not linear.
    saved : tuple of State
        The dual solutions (u_k, v_k) over all channels.
    seeds : pair of tuples of arrays or None
        Those on z_k, and those on y_k.
    """

    _shown = ("y0", "z0", "parameters")
    weight: Array
    bias: Array | None
    slope: Array | None
    saved: tuple[MachineState, ...]
    seeds: tuple[Arrays, Arrays]
    _widths: tuple[tuple[int, ...], tuple[int, ...]]

    def __init__(
        self, jet: Jet, duals: tuple[MachineState, ...], seeds: tuple[Arrays, Arrays],
        parameters: Mapping[str, Array], slope: Array | None,
    ) -> None:  # fmt: skip
        y0 = tuple(cut(dual.z, width) for dual, width in zip(duals, jet.widths[0], strict=True))
        super().__init__(y0, parameters, seeds[0], duals)
        self.__dict__.update(
            weight=parameters["weight"], bias=parameters.get("bias"), slope=slope, seeds=seeds, _widths=jet.widths
        )

    @property
    def y0(self) -> Arrays:
        return self.inputs

    @lazy
    def z0(self) -> Arrays:
        """u_k, cut to the channels of z0_k."""
        return tuple(cut(dual.y, width) for dual, width in zip(self.saved, self._widths[1], strict=True))
