"""The function f itself, of which a machine's states are the solutions of x = f(x) + x0."""

from __future__ import annotations

from ..arrays import Array
from ..linear import apply
from ..records import MachineState, State
from .checks import check_signals, check_state, widen
from .linearised import Linearised

__all__ = ["Endofunction"]


class Endofunction(Linearised):
    """A machine's f, and what a state leaves of its equation."""

    def apply(self, y: Array, z: Array) -> MachineState:
        """Return the endofunction f(y, z) = (W z + b, σ(y)) itself.

        Parameters
        ----------
        y, z : arrays of shape (*batch, *grid, channel)
            Either may stop at a block boundary.

        Raises
        ------
        ValueError, TypeError
            As `solve`.
        """
        lead, _ = check_signals(self, {"y": y, "z": z})
        wide_y, wide_z = widen(self, y, lead), widen(self, z, lead)
        image = apply(self.partition, self.kernel, wide_z)
        return MachineState(image if self.bias is None else image + self.bias, self._sigma.value(wide_y))

    def residual(self, state: State, y0: Array | None, z0: Array | None = None) -> MachineState:
        """Return x − f(x) − x0, which vanishes exactly at the solution.

        Parameters
        ----------
        state : State
            Any x = (y, z), not only a solution.
        y0, z0 : as for `solve`

        Raises
        ------
        ValueError, TypeError
            As `solve`.
        """
        state = check_state(self, state)
        lead = tuple(state.y.shape[:-1])
        check_signals(self, {"y0": y0, "z0": z0}, lead)
        image = self.apply(state.y, state.z)
        return MachineState(state.y - image.y - widen(self, y0, lead), state.z - image.z - widen(self, z0, lead))
