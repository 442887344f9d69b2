"""BatchNorm: the normalisation whose statistics couple the samples of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from ..arrays import Array, Backend, backend_of, check_alike, namespace, pick_backend, to_host
from ..machines.build import cast, integer, read_dtype
from ..records import State
from .normalisation import Normalisation, Statistics, read_gains

__all__ = ["BatchNorm"]


class BatchNorm(Normalisation):
    """Normalise each channel over batch and grid, then scale and shift.

    Parameters
    ----------
    channels : int
    form, epsilon, dtype, backend
        As for `LayerNorm`.
    scale, bias : bool or array of shape (channels,)
        True: ones and zeros, trained. False: none. An array: a copy of that.
    mean, variance : arrays of shape (channels,), optional
        Fixed statistics, both or none. With them the op is affine. They are coefficients, not parameters.

    Attributes
    ----------
    mean, variance : arrays or None
    couples_samples : bool
        Whether the statistics are those of the batch; a cycle of a network cannot have that.

    Raises
    ------
    ValueError, TypeError
        As for `LayerNorm`; one of `mean` and `variance` without the other.

    Notes
    -----
    The formulas of `LayerNorm`, with the groups over all axes but the channel: μ and σ² are functions of the
    whole batch, and both derivatives have their terms. The op does not change when it is run: the statistics of
    a batch are in ``state.saved`` (mean, variance, number of entries), and ``with_statistics(state)`` returns
    the op that uses them for any later batch. There n = (x − mean)/d is affine in x, ṅ = ẋ/d, x̄ = n̄/d and
    x̄˙ = n̄˙/d. A batch of one position has y = bias.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> op = mk.BatchNorm(1, form="eps+sigma", epsilon=1.0)
    >>> state = op.solve(np.array([[1.0], [7.0]]))
    >>> state.outputs[0][:, 0]
    array([-0.75,  0.75])
    >>> ready = op.with_statistics(state)
    >>> ready(np.array([[8.0]])), ready.mean, ready.variance
    (array([[1.]]), array([4.]), array([9.]))
    """

    mean: Array | None
    variance: Array | None
    constants: Mapping[str, Array | None]

    def __init__(
        self, channels: int, *, form: str = "sqrt", epsilon: float = 1e-5, scale: bool | Array = True,
        bias: bool | Array = True, mean: Array | None = None, variance: Array | None = None, dtype: Any = None,
        backend: Any = None,
    ) -> None:  # fmt: skip
        shape = (integer("channels", channels, 0),)
        if (mean is None) != (variance is None):
            raise ValueError(f"{'mean' if mean is None else 'variance'} is missing; pass both statistics or none")
        gains, fixed = read_gains(shape, scale, bias, {"mean": mean, "variance": variance}, dtype, backend)
        self._build(shape, gains, channels=shape[0], form=form, epsilon=epsilon)
        self._fix(fixed)

    def _fix(self, fixed: Mapping[str, Array]) -> Self:
        """Set the fixed statistics of an op that nobody has seen yet."""
        for array in fixed.values():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        constants = {"mean": fixed.get("mean"), "variance": fixed.get("variance")}
        self.__dict__.update(constants, constants=constants)
        return self

    def _held(self) -> dict[str, Array]:
        return {name: array for name, array in self.constants.items() if array is not None}

    @property
    def couples_samples(self) -> bool:
        """Whether the statistics are those of the batch, so that its samples know of each other."""
        return self.mean is None

    def _axes(self, x: Array) -> tuple[int, ...]:
        return tuple(range(x.ndim - 1))

    def _fixed(self) -> Statistics | None:
        return None if self.mean is None else Statistics(self.mean, self.variance, 0)

    def _measure(self, x: Array) -> Statistics:
        mean, variance, entries = super()._measure(x)
        reshape = namespace(x).reshape
        return Statistics(reshape(mean, self.last), reshape(variance, self.last), entries)

    def _told(self) -> str:
        return super()._told() + (", fixed statistics" if self.mean is not None else "")

    def _alike(self, inputs: Sequence[Array]) -> None:
        super()._alike(inputs)
        if self.mean is not None and not self._parameters:
            check_alike("op", self.mean, {f"inputs[{k}]": x for k, x in enumerate(inputs)})

    @property
    def backend(self) -> str | None:
        """Name of the library that holds the arrays; None without any."""
        return next((backend_of(a).name for a in (*self._parameters.values(), *self._held().values())), None)

    def to(self, backend: str | Backend) -> Self:
        """Return a copy on another backend, fixed statistics included; see `Machine.to`."""
        home = pick_backend(backend)
        return super().to(home)._fix({name: home.from_host(to_host(a)) for name, a in self._held().items()})

    def astype(self, dtype: Any) -> Self:
        """Return a copy in another precision or kind, fixed statistics included; see `Machine.astype`."""
        name = read_dtype(dtype)
        for key, array in self._held().items():
            if "complex" in str(array.dtype) and not name.startswith("complex"):
                raise TypeError(f"{key} is {array.dtype} and would lose its imaginary part as {name}")
        return super().astype(name)._fix({key: cast(a, name) for key, a in self._held().items()})

    def with_statistics(self, *states: State, momentum: float | None = None) -> Self:
        """Return the op that uses the statistics of batches it has seen, whatever it is called with.

        Parameters
        ----------
        *states : State
            What `solve` returned while statistics were those of the batch. Several are pooled as if they were
            one batch: means and mean squares are weighted by the counts. None at all: back to the batch's own.
        momentum : float, optional
            From 0 to 1: the share of the new statistics, (1 − momentum) · old + momentum · new, where this op
            has statistics already. By default 1.

        Raises
        ------
        TypeError
            A state without the statistics of a batch, in another library or precision; no number.
        ValueError
            A state of an empty batch or of other channels; a momentum outside [0, 1], or without old statistics.

        Notes
        -----
        Variances are means of squares, divided by the count and not by one less.

        Examples
        --------
        >>> import numpy as np, machinekit as mk
        >>> op = mk.BatchNorm(1)
        >>> one, two = (op.solve(np.array([[a], [b]])) for a, b in ((0.0, 2.0), (4.0, 6.0)))
        >>> ready = op.with_statistics(one)
        >>> ready.with_statistics(two, momentum=0.25).mean
        array([2.])
        >>> pooled = op.with_statistics(one, two)
        >>> pooled.mean, pooled.variance
        (array([3.]), array([5.]))
        """
        found = [self._statistics_of(f"states[{k}]", state) for k, state in enumerate(states)]
        share = self._share(momentum, states)
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        if not found:
            return new._fix({})
        total = sum(s.entries for s in found)
        mean = _sum([s.mean * (s.entries / total) for s in found])
        spread = [(s.variance + (s.mean - mean) * (s.mean - mean)) * (s.entries / total) for s in found]
        fresh = {"mean": mean, "variance": _sum(spread)}
        if share is not None:
            fresh = {name: (1.0 - share) * self._held()[name] + share * a for name, a in fresh.items()}
        return new._fix(fresh)

    def _statistics_of(self, name: str, state: Any) -> Statistics:
        saved = getattr(state, "saved", None)
        if not isinstance(saved, Statistics):
            raise TypeError(
                f"{name} is {state!r}, which holds no statistics of a batch; pass what solve of an op without fixed "
                "statistics returned"
            )
        if tuple(saved.mean.shape) != self.last:
            raise ValueError(f"{name} has statistics of shape {tuple(saved.mean.shape)} but this op {self.last}")
        if not saved.entries:
            raise ValueError(f"{name} is of an empty batch, which has no statistics; pass one with a position")
        held = {**self._parameters, **self._held()}
        check_alike("op", next(iter(held.values()), saved.mean), {f"the mean of {name}": saved.mean})
        return saved

    def _share(self, momentum: Any, states: Sequence[State]) -> float | None:
        if momentum is None:
            return None
        if isinstance(momentum, bool) or not isinstance(momentum, int | float | np.floating):
            raise TypeError(f"momentum is {momentum!r}; pass a number from 0 to 1")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}; pass a number from 0 to 1")
        if self.mean is None or not states:
            what = "this op has no statistics yet" if states else "no state is given"
            raise ValueError(f"momentum is {momentum} but {what}; leave momentum out")
        return float(momentum)


def _sum(arrays: Sequence[Array]) -> Array:
    return sum(arrays[1:], arrays[0])
