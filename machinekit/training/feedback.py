"""‖D W‖²_F of a machine at a state, in closed form, with its derivatives in y and W."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..activations import Diagonal
from ..arrays import Array, backend_of, namespace
from ..graph.op import Op
from ..linear import apply, weight_cotangent
from ..machines import Machine
from ..records import Cotangent, MachineState, MachineTangent, State, Tangent
from .samples import total

__all__ = ["Feedback", "Seeded"]


class Feedback:
    """P = c Σ_{g,i} d_{g,i}² R_{g,i}: the squared Frobenius norms of D W, summed over samples.

    Parameters
    ----------
    machine : Machine
    state : MachineState
    factor : float
        c.

    Attributes
    ----------
    curved : bool
        Whether D depends on y, other than in jumps: an activation that is not made of linear pieces.

    Notes
    -----
    R_{g,i} = Σ W[ℓ, j, i]² over the lags ℓ for which g − ℓ is on the grid, which is the machine's convolution of ones
    with the kernel W². Its transpose, the cotangent Z[ℓ, j, i] = Σ d_{g,i}² over the same positions and the batch, is
    that of a weight which meets ones. With y˙ and Ẇ a direction,

        ∂P/∂y = 2c d σ″ R                  ∂P/∂W = 2c W Z
        (…)˙  = 2c ((σ″² + d σ‴) R ẏ + d σ″ Ṙ)     (…)˙  = 2c (Ẇ Z + W Ż) ,

    of which the Gauss–Newton part, that of the entries d W as they are, lacks d σ‴ and halves Ṙ and Ż.
    """

    def __init__(self, machine: Machine, state: MachineState, factor: float) -> None:
        self.machine, self.state, self.factor = machine, state, factor
        self._sigma: Any = machine.pointwise
        sigma = machine.pointwise
        self.curved = not isinstance(sigma, Diagonal) and not all(
            a.piecewise_linear for a, n in zip(sigma.activations, machine.sizes, strict=True) if n
        )
        xp, p = namespace(state.y), machine.partition
        self._slope = xp.broadcast_to(machine.slope(state), state.y.shape)
        shape = (*p.grid(state.y.shape), p.channels)
        self._ones = backend_of(state.y).zeros(shape, machine.weight.dtype) + 1.0
        self._batch = tuple(range(state.y.ndim - len(shape)))

    def value(self) -> Any:
        """Return P as a Python float; complex if anything is."""
        return self.factor * total(self._rows * self._over_batch(self._slope * self._slope))

    def seed(self) -> Array:
        """Return ∂P/∂y; 0 almost everywhere, and not to be asked for, if not `curved`."""
        return (2.0 * self.factor) * self._slope * self._second * self._rows

    def kernel(self) -> Array:
        """Return ∂P/∂W where y stays."""
        return (2.0 * self.factor) * self.machine.kernel * self._taps

    def seed_along(self, tangent: MachineTangent, gauss_newton: bool) -> Array:
        """Return the derivative of `seed`, or its Gauss–Newton part."""
        d, second = self._slope, self._second
        bent = second * second * self._rows * tangent.y
        if not gauss_newton:
            bent = bent + d * self._sigma.third(self.state.y, self._image) * self._rows * tangent.y
        if tangent.moved is not None:
            rows = self._sum(self.machine.kernel * tangent.moved)
            bent = bent + (1.0 if gauss_newton else 2.0) * d * second * rows
        return (2.0 * self.factor) * bent

    def kernel_along(self, tangent: MachineTangent, gauss_newton: bool) -> Array:
        """Return the derivative of `kernel`, or its Gauss–Newton part."""
        found = namespace(self.state.y).zeros_like(self.machine.kernel)
        if tangent.moved is not None:
            found = tangent.moved * self._taps
        if self.curved:
            moved = self._over_batch(self._slope * self._second * tangent.y)
            found = found + (1.0 if gauss_newton else 2.0) * self.machine.kernel * self._met(moved)
        return (2.0 * self.factor) * found

    @cached_property
    def _second(self) -> Array:
        return self._sigma.second(self.state.y, self._image)

    @property
    def _image(self) -> Array | None:
        """σ(y), if that is what z is."""
        return self.state.z if self.state.of is self._sigma else None

    @cached_property
    def _rows(self) -> Array:
        """R of shape (*grid, channel)."""
        return self._sum(self.machine.kernel * self.machine.kernel)

    @cached_property
    def _taps(self) -> Array:
        """Z of shape (*lag, in, out)."""
        return self._met(self._over_batch(self._slope * self._slope))

    def _sum(self, kernel: Array) -> Array:
        return apply(self.machine.partition, kernel, self._ones)

    def _met(self, v: Array) -> Array:
        return weight_cotangent(self.machine.partition, self._ones, v)

    def _over_batch(self, array: Array) -> Array:
        return namespace(array).sum(array, axis=self._batch) if self._batch else array


class Seeded(Op):
    """A machine whose pullback has seeds on y too, one for each of its states.

    Parameters
    ----------
    machine : Machine
    seeds : mapping of int to array
        By the `id` of a state.
    bent : mapping of int to array, optional
        How they change along a tangent.
    """

    machine: Any
    _seeds: Mapping[int, Array]
    _bent: Mapping[int, Array]

    def __init__(self, machine: Any, seeds: Mapping[int, Array], bent: Mapping[int, Array] | None = None) -> None:
        self.__dict__.update(machine=machine, _seeds=seeds, _bent={} if bent is None else bent)

    def parameters(self) -> dict[str, Array]:
        """Return those of the machine."""
        return self.machine.parameters()

    def replace(self, **parameters: Array) -> Seeded:
        """Return the same with another machine."""
        return Seeded(self.machine.replace(**parameters), self._seeds, self._bent)

    def solve(self, *inputs: Array) -> State:
        """Return the machine's own state."""
        return self.machine.solve(*inputs)

    def pullback(self, state: State, z: Array | None = None) -> Cotangent:
        """Return the cotangents, those of trainable parameters alone."""
        return self._outer(self.machine.pullback(state, z, y=self._seeds[id(state)]))

    def pullback_inputs(self, state: State, z: Array | None = None) -> Cotangent:
        """Return the machine's own."""
        return self.machine.pullback_inputs(state, z, y=self._seeds[id(state)])

    def pullback_tangent(
        self, state: State, cotangent: Cotangent, tangent: Tangent, z: Array | None = None
    ) -> Cotangent:
        """Return the derivative of `pullback`."""
        return self._outer(self.machine.pullback_tangent(state, cotangent, tangent, z, y=self._bent[id(state)]))

    def _outer(self, inner: Cotangent) -> Cotangent:
        known = self.parameters()
        found = {name: array for name, array in inner.parameters.items() if name in known}
        return Cotangent(inner.inputs, found, inner.outputs, inner)
