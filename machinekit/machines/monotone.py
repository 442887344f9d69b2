"""Monotone operator networks as machines: diagonal blocks that are monotone whatever their parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np

from ..activations import Diagonal
from ..activations.smooth import sigmoid, sigmoid_slope, softplus
from ..arrays import Array, as_array, astype, namespace, real, to_host
from ..linear import transpose, weight_cotangent
from ..partitions import Partition
from ..records import MachineState, MachineTangent
from .build import Given, read_bias, read_generator, read_padding, read_sizes, read_slope
from .checks import check_direction
from .equilibrium import EquilibriumMachine, document_equilibrium, read_options
from .monotone_build import check_positive, read_couplings, read_factors, read_margin, softplus_inverse
from .monotone_form import MonotoneForm

__all__ = ["MonotoneMachine"]


@document_equilibrium
class MonotoneMachine(EquilibriumMachine):
    """An equilibrium machine whose blocks have exactly one equilibrium, which splitting methods always find.

    Parameters
    ----------
    sizes : sequence of int
        Channels of the blocks, in order.
    activation : str, Activation, Diagonal, or a sequence of the first two with one entry per block
        Proximal operators: nondecreasing, slopes at most 1. Others are refused.
    margin : float, or one per block
        m above 0: I − W_ii ⪰ m I on the symmetric part, so that z is (1/m)-Lipschitz in y0.
    learn_margin : bool
        Whether the margin is trained: the parameter is then ``raw_margin``, m = softplus(raw_margin), one or per block.
    A, B : arrays of shape (*lag, channel, channel), optional
        In the column convention, A z = Σ_j A[j] z[g − (j − after)]; copied, and projected onto their diagonal blocks.
        By default drawn, N(0, 1/(3 fan-in)). For a convolution, ``padding`` tells their lags −after … before.
    weight : array of shape (*lag, in, out), optional
        The couplings between blocks, of any size, in the layout of every machine: [in, out], lags −s … s with
        s = before + after. By default drawn, N(0, 1/fan-in).
    tiers : bool
        The multi-tier form of the paper: A has a first block subdiagonal too, and blocks are coupled by −2 AᵀA as well.
    {shared}
    Notes
    -----
    With S = AᵀA in the column convention, the diagonal blocks of W are (1 − m) I − S_ii + B_ii − B_iiᵀ, so that
    sym(I − W_ii) = m I + S_ii ⪰ m I; with ``tiers`` the coupling of block j < i is −2 S_ij more. The cotangents follow
    from that of W: with Σ = W̄ + W̄ᵀ for one block, Ā = −A Σ, B̄ = W̄ − W̄ᵀ, m̄ = −tr W̄. `Cotangent.parameters` always
    has A, B and margin (Winston & Kolter, arXiv:2006.08591, §4; couplings below the diagonal need no monotonicity,
    for blocks are resolved one after the other: arXiv:2204.12786, Theorem 2).

    A convolution is zero outside the grid. Its resolvent is taken on a larger, circular grid, by the fast Fourier
    transform, where the proximal operator holds everything outside at zero.

    Attributes
    ----------
    kernel : array of shape (*lag, in, out)
        All of W, couplings and diagonal blocks.

    Examples
    --------
    >>> import numpy as np, machinekit as mk
    >>> m = mk.MonotoneMachine((1,), margin=1.0, A=np.array([[1.0]]), B=np.array([[0.0]]), rtol=1e-12)
    >>> m.kernel
    array([[-1.]])
    >>> state = m.solve(np.array([[3.0]]))
    >>> cotangent = m.pullback(state, np.array([[1.0]]))
    >>> [round(cotangent.parameters[name].item(), 9) for name in ("A", "margin")]
    [-1.5, -0.75]
    """

    A: Array
    B: Array
    margin: Array
    raw_margin: Array | None
    _form: MonotoneForm

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "relu",
        *,
        margin: float | Sequence[float] = 0.1,
        learn_margin: bool = False,
        A: Array | None = None,
        B: Array | None = None,
        weight: Array | None = None,
        tiers: bool = False,
        bias: bool | Array = False,
        padding: Sequence[tuple[int, int]] | None = None,
        rng: Any = None,
        dtype: Any = None,
        backend: Any = None,
        **options: Any,
    ) -> None:
        read = read_options(options)
        form = MonotoneForm(read_sizes(sizes), () if padding is None else read_padding(padding), bool(tiers))
        partition = Partition(form.sizes, form.lags, feedback=True)
        rng = read_generator(rng)
        A, B = read_factors(form, A, B, weight, bias, rng, dtype, backend)
        weight, live, given = read_couplings(partition, A, Given(activation, weight, bias), rng)
        sigma = read_slope(given, weight, partition)
        self._fill(partition, weight, read_bias(partition, given, weight), sigma, live)
        level = read_margin(margin, form, A)
        raw = softplus_inverse(level) if learn_margin else None
        self.__dict__.update(options=read, _turned=False, _form=form, A=A, B=B, margin=level, raw_margin=raw)
        self._demand_proximal()
        self._check_solver()

    def _demand_proximal(self) -> None:
        if isinstance(self._sigma, Diagonal):
            return
        for activation, size in zip(self._sigma.activations, self.sizes, strict=True):
            if size and activation.prox is None:
                raise ValueError(
                    f"activation {activation.name!r} is not known to be a proximal operator (nondecreasing, slopes at "
                    "most 1), which a monotone machine needs; use relu, tanh, softplus or the like, give "
                    "mk.Activation(…, prox=…), or use mk.EquilibriumMachine"
                )

    @cached_property
    def kernel(self) -> Array:
        """W of shape (*lag, in, out): the diagonal blocks made of A, B and the margin, and the couplings."""
        return self.weight + self._form.kernel(self.A, self.B, self.margin)

    def _margins(self) -> tuple[float, ...]:
        margin = to_host(real(self.margin))
        return tuple(float(m) for m in np.broadcast_to(margin, (len(self.sizes),)))

    def _derive(self, **changes: Any) -> Self:
        mine = {name: changes.pop(name, self.__dict__[name]) for name in ("A", "B", "margin", "raw_margin", "_form")}
        kernel = changes.pop("kernel", None)
        made = "weight" in changes
        new = object.__new__(type(self))
        new.__dict__.update(mine)
        if kernel is None and not made and "kernel" in self.__dict__:
            kernel = self.kernel
        if kernel is not None:
            new.__dict__["kernel"] = kernel
        return self._derived(new, changes)

    def _mirror(self) -> Self:
        kernel = transpose(self.partition, self.kernel)
        form = self._form.mirrored()
        flipped = {name: transpose(self.partition, getattr(self, "_" + name)) for name in ("live", "live_here")}
        weight = transpose(self.partition, self.weight)
        new = self._derive(
            partition=self.partition.dual(), weight=weight, bias=None, B=-self.B, _form=form, kernel=kernel, **flipped
        )
        new.__dict__.update(_turned=not self._turned, _blocks=self._blocks.mirrored(new.partition, kernel))
        return new

    # Parameters ------------------------------------------------------------------------------

    def parameters(self) -> dict[str, Array]:
        """Return the trainable arrays by name: A, B, weight, raw_margin if the margin is learned, bias if any."""
        own = {"A": self.A, "B": self.B, "weight": self.weight}
        own |= {} if self.raw_margin is None else {"raw_margin": self.raw_margin}
        return own if self.bias is None else {**own, "bias": self.bias}

    def directions(self) -> dict[str, Array | None]:
        raw = {} if self.raw_margin is None else {"raw_margin": self.raw_margin}
        return {"A": self.A, "B": self.B, "margin": self.margin, **raw, **super().directions()}

    def more_rows(self) -> list[str]:
        masks = self.live_masks()
        counts = ", ".join(f"{int(masks[name].sum())} live entries of {name}" for name in ("A", "B"))
        learned = "" if self.raw_margin is None else ", learned"
        margins = ", ".join(f"{m:g}" for m in dict.fromkeys(self._margins()))
        return [f"             {counts}", f"margin       {margins}{learned}", *super().more_rows()]

    def reads(self) -> np.ndarray:
        p = self.partition
        return self._live | (p.live() & ~p.strict.live())

    @property
    def parameter_count(self) -> int:
        """Live entries of A, B and the couplings, the margins if they are learned, the bias."""
        masks = self.live_masks()
        return sum(int(masks[n].sum()) if n in masks else math.prod(a.shape) for n, a in self.parameters().items())

    def live_masks(self) -> Mapping[str, np.ndarray]:
        """Return the masks of the parameters that are not live throughout."""
        return {"A": self._form.live_A, "B": self._form.live_B, "weight": self._live}

    def project(self, weight: Array) -> Array:
        """Return couplings with their dead entries set to exact zero."""
        return namespace(weight).where(self._live_here, weight, namespace(weight).zeros_like(weight))

    def replace(self, **parameters: Any) -> Self:
        """Return the same machine with other parameters.

        Parameters
        ----------
        A, B, weight, bias, slope : arrays, optional
            As for every machine; projected onto their live parts.
        margin, raw_margin : arrays, optional
            Of their own shape; `raw_margin` only where the margin is learned, and then either.

        Raises
        ------
        ValueError
            Wrong shape; a margin that is not above 0.
        TypeError
            Another library, device or precision; a name that is none of these.
        """
        own = {name: parameters.pop(name) for name in ("A", "B", "margin", "raw_margin") if name in parameters}
        for name, array in own.items():
            check_direction(self, name, as_array(array, name))
        if {"margin", "raw_margin"} <= set(own):
            raise TypeError("margin and raw_margin are both given; pass one, for m = softplus(raw_margin)")
        changes: dict[str, Any] = {}
        for name, project in (("A", self._form.project_A), ("B", self._form.project_B)):
            if name in own:
                changes[name] = project(own[name])
        if "raw_margin" in own:
            changes["raw_margin"] = astype(own["raw_margin"])
            changes["margin"] = _array(softplus(own["raw_margin"]))
            check_positive(changes["margin"])
        elif "margin" in own:
            check_positive(own["margin"])
            changes["margin"] = astype(own["margin"])
            changes["raw_margin"] = None if self.raw_margin is None else softplus_inverse(own["margin"])
        new = super().replace(**parameters)
        return new._derive(weight=new.weight, **changes) if changes else new

    def _map(self, move: Any, live_here: Array) -> Self:
        sigma = Diagonal.trusted(move(self._sigma.array)) if isinstance(self._sigma, Diagonal) else self._sigma
        own = {n: move(getattr(self, n)) for n in ("A", "B", "margin", "weight")}
        raw = None if self.raw_margin is None else move(self.raw_margin)
        bias = None if self.bias is None else move(self.bias)
        return self._derive(**own, raw_margin=raw, bias=bias, sigma=sigma, live_here=live_here)

    # Derivatives -----------------------------------------------------------------------------

    def _moves(self, along: Mapping[str, Array | None]) -> tuple[Array | None, Array | None, Array | None]:
        """Return the directions of A, B and the margin."""
        a, b = along.get("A"), along.get("B")
        margin, raw = along.get("margin"), along.get("raw_margin")
        if raw is not None:
            moved = sigmoid(self.raw_margin) * raw
            margin = moved if margin is None else margin + moved
        form = self._form
        return None if a is None else form.project_A(a), None if b is None else form.project_B(b), margin

    def _moved_kernel(self, along: Mapping[str, Array | None]) -> Array | None:
        weight = super()._moved_kernel(along)
        own = self._form.pushforward(self.A, self.B, self.margin, *self._moves(along))
        if weight is None or own is None:
            return own if weight is None else weight
        return weight + own

    def _cleared(self, kernel: Array) -> Array:
        return kernel

    def _named(self, kernel: Array, bias: Array | None) -> dict[str, Array]:
        a, b, margin = self._form.pullback(self.A, self.B, self.margin, kernel)
        return self._gathered(a, b, margin, kernel, bias, lambda: sigmoid(self.raw_margin) * margin)

    def _gathered(self, a: Array, b: Array, margin: Array, kernel: Array, bias: Array | None, raw: Any) -> dict:
        found = {"A": a, "B": b, "margin": margin, "weight": self.project(kernel)}
        if self.raw_margin is not None:
            found["raw_margin"] = _array(raw())
        return found if bias is None else {**found, "bias": bias}

    def _bent_named(
        self, state: MachineState, v: Array, tangent: MachineTangent, kernel: Array, bias: Array | None
    ) -> dict[str, Array]:
        return self._bent_from(weight_cotangent(self.partition, state.z, v), tangent, kernel, bias)

    def _bent_from(self, before: Array, tangent: MachineTangent, kernel: Array, bias: Array | None) -> dict[str, Array]:
        moves = self._moves(tangent.parameters)
        own = (self.A, self.B, self.margin)
        a, b, margin = self._form.pullback_tangent(*own, before, *moves, kernel)

        def raw() -> Array:
            first = self._form.pullback(*own, before)[2]
            moved = tangent.parameters.get("raw_margin")
            bent = sigmoid(self.raw_margin) * margin
            return bent if moved is None else bent + sigmoid_slope(self.raw_margin) * moved * first

        return self._gathered(a, b, margin, kernel, bias, raw)


def _array(value: Array) -> Array:
    """NumPy turns a 0-d array that was computed with into a scalar; turn it back."""
    return np.asarray(value) if isinstance(value, np.generic) else value
