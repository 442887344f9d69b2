"""linear_operator: the Jacobian of a model at a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...arrays import Array, backend_of, dtype_name, near
from ...errors import DerivativeError
from ...graph.op import check_op_kind, live_masks, parameters, parts, pullback, pullback_inputs, pushforward
from ...records import MachineState, State
from .vectors import Space, as_operator

__all__ = ["linear_operator"]

_WORDS = ("inputs", "parameters")
Wrt = str | int | Sequence[str | int]


def linear_operator(model: Any, state: State, wrt: Wrt = "inputs") -> Any:
    """Return the Jacobian J of a model at a state as a linear operator: ``matvec`` the tangent, ``rmatvec`` the dual.

    Parameters
    ----------
    model : op
        A machine, an op, a `Chain` or a `Hypergraph`.
    state : State
        What ``model.solve`` returned.
    wrt : "inputs", "parameters", the name of a parameter, the position of an input, or a sequence of those
        What the columns stand for; inputs first, then parameters, in the order of the model.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Of shape (m, n): m the entries of all outputs over the whole batch, n those of what `wrt` names, each flat in C
        order. Of parameters only the live entries count, so that "parameters" are ordered as ``objective.theta0``.
        For arrays of CuPy it is that of cupyx.

    Raises
    ------
    TypeError
        No op, no state, another library; where the model stops its dual early (`dual_steps`), which is then no adjoint.
    ValueError
        A `wrt` that the model does not have.

    Notes
    -----
    ``matvec(d)`` is J d by `pushforward`, ``rmatvec(v)`` is Jᴴ v = conj(Jᵀ conj(v)) by `pullback`, which is not
    conjugated by itself. Vectors are cast to the precision of the state, as SciPy's users expect of a matrix; a
    complex one goes through a real J in two parts. No matrix is formed; with n ≈ m ≈ 1000 and more, that is what
    makes `svds`, `lsqr` and `eigsh` of Jᵀ J possible.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> from machinekit.interop.scipy import linear_operator
    >>> machine = mk.DenseMachine((1, 1), "square", weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> J = linear_operator(machine, machine.solve(np.array([3.0])))  # z = (x², (2 x²)²)
    >>> J.shape, J @ np.array([1.0]), J.T @ np.array([0.0, 1.0])
    ((2, 1), array([  6., 432.]), array([432.]))
    >>> linear_operator(machine, machine.solve(np.array([3.0])), "weight") @ np.array([1.0])  # (w x²)², by w
    array([  0., 324.])
    """
    check_op_kind(model, "model")
    if not isinstance(state, State):
        raise TypeError(f"state is a {type(state).__name__}; pass what model.solve returned")
    _check_dual(model)
    found = _Jacobian(model, state, wrt)
    return as_operator(
        (found.outputs.size, found.columns.size), found.forward, found.transpose, found.home, found.dtype
    )


def _check_dual(model: Any) -> None:
    """Refuse a model whose pullback is not the transpose of its tangent."""
    for options in (getattr(model, "options", None), getattr(model, "cycles", None)):
        if getattr(options, "dual_steps", None) is not None:
            raise DerivativeError(
                f"dual_steps={options.dual_steps} stops the dual early, so that it is no adjoint; "  # type: ignore[union-attr]
                "use with_options(dual_steps=None), for a Hypergraph other cycles="
            )
    for part in parts(model).values():
        _check_dual(part)


class _Jacobian:
    """A model at a state, with what its columns and its rows stand for."""

    def __init__(self, model: Any, state: State, wrt: Wrt) -> None:
        self._model, self._state = model, state
        inputs = list(state.inputs)
        if not inputs and isinstance(state, MachineState):  # made from y and z: all channels
            inputs = [state.y, state.z]
        named = parameters(model)
        self._inputs, self._names = _chosen(wrt, inputs, list(named))
        self._count = len(inputs)
        columns = [inputs[k] for k in self._inputs] + [named[name] for name in self._names]
        rows = list(state.outputs)
        every = [a for a in (*rows, *inputs, *named.values()) if a is not None]
        self.home = backend_of(every[0], "the state")
        single = any(dtype_name(a) in ("float32", "complex64") for a in every)
        kind = "complex" if any(dtype_name(a).startswith("complex") for a in every) else "float"
        self.dtype = f"{kind}{(32 if single else 64) * (2 if kind == 'complex' else 1)}"
        live = live_masks(model)
        masks = [None] * len(self._inputs) + [live.get(name) for name in self._names]
        self.columns = Space([tuple(a.shape) for a in columns], masks, self.home, self.dtype)
        self.outputs = Space([tuple(a.shape) for a in rows], [None] * len(rows), self.home, self.dtype)

    def forward(self, vector: Array) -> Array:
        """Return J d."""
        arrays = self.columns.unpack(vector)
        inputs: list[Any] = [None] * self._count
        for k, array in zip(self._inputs, arrays, strict=False):
            inputs[k] = array
        named = dict(zip(self._names, arrays[len(self._inputs) :], strict=True))
        if not self._inputs:  # then no direction tells the batch, and the state does
            inputs = []
        return self.outputs.pack(pushforward(self._model, self._state, inputs, named).outputs)

    def transpose(self, vector: Array) -> Array:
        """Return Jᵀ v."""
        verb = pullback if self._names else pullback_inputs
        cotangent = verb(self._model, self._state, tuple(self.outputs.unpack(vector)))
        inputs = cotangent.inputs if self._inputs else ()
        found = [inputs[k] for k in self._inputs] + [cotangent.parameters.get(name) for name in self._names]
        return self.columns.pack(found)


def _chosen(wrt: Any, inputs: list[Any], names: list[str]) -> tuple[list[int], list[str]]:
    """Return the positions of inputs and the names of parameters that are meant, in the order of the model."""
    words = [wrt] if isinstance(wrt, str | int) else list(wrt)
    known = [k for k, a in enumerate(inputs) if a is not None]
    chosen: set[Any] = set()
    for word in words:
        if word == "inputs":
            chosen |= set(known)
        elif word == "parameters":
            chosen |= set(names)
        elif (type(word) is int and word in known) or word in names:
            chosen.add(word)
        else:
            raise ValueError(f"wrt has {word!r}; {near(word, (*_WORDS, *names))}, or the position of an input: {known}")
    if not chosen:
        raise ValueError(f"wrt={wrt!r} names nothing that this model has; its parameters are {names or 'none'}")
    return [k for k in known if k in chosen], [name for name in names if name in chosen]
