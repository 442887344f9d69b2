"""Losses: a mean over samples, with gradient and Hessian product by hand.

Every loss is a sum over channels of ℓ(p, t), and the mean of that over the samples (batch × grid)
that the mask counts, weighted if weights are given. The mean is here and nowhere else: cotangents
are sums. All formulas are analytic in p, with branches on the real part, so that the complex step
sees true derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from ..activations.smooth import logistic_pair, softplus
from ..arrays import Array, astype, backend_of, dtype_name, every, namespace, near, real
from .options import positive
from .samples import Samples, read_samples

__all__ = ["Loss", "get_loss", "huber", "logistic", "softmax_cross_entropy", "squared_error"]


class Loss(ABC):
    """A loss L(p, t) = (1/N) Σ ℓ(p, t) over the N counted samples, for predictions p and targets t.

    Not made directly: see `squared_error`, `softmax_cross_entropy`, `logistic`, `huber`. They are
    immutable objects without state.

    Examples
    --------
    >>> import numpy as np
    >>> from machinekit.training import losses
    >>> p, t = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 2.0], [np.nan, 0.0]])
    >>> losses.squared_error.value(p, t, np.array([True, False]))
    0.5
    >>> losses.squared_error.gradient(p, t, np.array([True, False]))
    array([[1., 0.],
           [0., 0.]])
    """

    name: str
    _takes_labels = False

    def value(
        self, p: Array, t: Array, mask: Array | None = None, weights: Array | None = None, *, count: int | None = None
    ) -> Any:
        """Return L as a Python float; complex if p or t is.

        Parameters
        ----------
        p : array of shape (*batch, *grid, channel), real or complex floating
            Predictions.
        t : array of the shape and precision of p
            Targets. `softmax_cross_entropy` also takes integer labels of shape (*batch, *grid).
        mask : bool array of shape (*batch, *grid), optional
            True = counted. A masked sample may hold anything, NaN included.
        weights : array of shape (*batch, *grid), real floating of the precision of p, optional
            At least 0; only their ratios matter. A sample of weight 0 is masked.
        count : int, optional
            What `check` has returned for these targets and this mask: neither is then looked at again, for which a
            GPU would have to be waited for.

        Raises
        ------
        TypeError
            Lists or objects; mixed libraries, devices or precisions; a mask that is not bool; complex weights.
        ValueError
            Shapes that disagree; no sample is counted; a counted target out of range, a weight negative or not finite.
        """
        s = self._read(p, t, mask, None, weights, count=count)
        return s.mean(self._terms(s.p, s.t))

    def check(self, p: Array, t: Array, mask: Array | None = None) -> int:
        """Raise what `value` raises; return how many samples are counted."""
        return int(self._read(p, t, mask, None).count)

    def gradient(
        self, p: Array, t: Array, mask: Array | None = None, weights: Array | None = None, *, count: int | None = None
    ) -> Array:
        """Return ∂L/∂p, of the shape, library and precision of p; exactly zero where masked.

        Parameters and exceptions are those of `value`.
        """
        s = self._read(p, t, mask, None, weights, count=count)
        return s.shares(self._slopes(s.p, s.t))

    def hessp(
        self,
        p: Array,
        t: Array,
        d: Array,
        mask: Array | None = None,
        weights: Array | None = None,
        *,
        count: int | None = None,
    ) -> Array:
        """Return ∂²L/∂p² d, of the shape, library and precision of p; exactly zero where masked.

        `d` is a direction of p, of its shape and precision; the rest as for `value`.
        """
        s = self._read(p, t, mask, d, weights, count=count)
        return s.shares(self._curves(s.p, s.t, s.d))

    def _read(self, p: Array, t: Array, *rest: Array | None, count: int | None = None) -> Samples:
        """Check the arguments; the rest is mask, d and weights. What is counted has been checked before."""
        return read_samples(p, t, *rest, labels=self._takes_labels, count=count)

    @abstractmethod
    def _terms(self, p: Array, t: Array) -> Array:
        """Return ℓ channel by channel, of the shape of p."""

    @abstractmethod
    def _slopes(self, p: Array, t: Array) -> Array:
        """Return ∂ℓ/∂p."""

    @abstractmethod
    def _curves(self, p: Array, t: Array, d: Array) -> Array:
        """Return ∂²ℓ/∂p² d."""


@dataclass(frozen=True)
class _SquaredError(Loss):
    """ℓ = ½ Σ (p − t)² over channels; gradient p − t, Hessian product d."""

    name: str = "squared_error"

    def _terms(self, p: Array, t: Array) -> Array:
        r = p - t
        return 0.5 * (r * r)

    def _slopes(self, p: Array, t: Array) -> Array:
        return p - t

    def _curves(self, p: Array, t: Array, d: Array) -> Array:
        return d


@dataclass(frozen=True)
class _SoftmaxCrossEntropy(Loss):
    """ℓ = Σ_c t_c (log Σ_k e^{p_k} − p_c), for probabilities, one-hot rows, or integer labels.

    With s = softmax p and τ = Σ t (1 for probabilities): gradient τ s − t, Hessian product
    τ s ⊙ (d − Σ s d). The largest real part is taken off first, so ±1e4 is harmless.
    """

    name: str = "softmax_cross_entropy"
    _takes_labels = True

    def _read(self, p: Array, t: Array, *rest: Array | None, count: int | None = None) -> Samples:
        s = super()._read(p, t, *rest, count=count)
        if not p.shape[-1]:
            raise ValueError(f"p has shape {tuple(p.shape)}, no channel to choose from; pass at least one")
        if "int" in dtype_name(s.t):
            return replace(s, t=s.drop(_one_hot(s.t, s.p, count is None)))
        return s

    def _terms(self, p: Array, t: Array) -> Array:
        xp = namespace(p)
        low = _lowered(p)
        return t * (xp.log(xp.sum(xp.exp(low), axis=-1, keepdims=True)) - low)

    def _slopes(self, p: Array, t: Array) -> Array:
        return namespace(p).sum(t, axis=-1, keepdims=True) * _softmax(p) - t

    def _curves(self, p: Array, t: Array, d: Array) -> Array:
        xp = namespace(p)
        s = _softmax(p)
        return xp.sum(t, axis=-1, keepdims=True) * s * (d - xp.sum(s * d, axis=-1, keepdims=True))


def _lowered(p: Array) -> Array:
    """Return p less its largest real part: a constant shift, which no derivative notices."""
    return p - namespace(p).max(real(p), axis=-1, keepdims=True)


def _softmax(p: Array) -> Array:
    xp = namespace(p)
    e = xp.exp(_lowered(p))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _one_hot(labels: Array, p: Array, check: bool) -> Array:
    home, channels = backend_of(p), p.shape[-1]
    wide = astype(labels, home.dtype("int64"))
    if check and not every((wide >= 0) & (wide < channels)):
        raise ValueError(
            f"t holds labels outside 0 … {channels - 1}, the {channels} channels of p; "
            "mend the labels, or mask those samples"
        )
    hit = wide[..., None] == home.arange(channels)
    return astype(hit, real(p).dtype)


@dataclass(frozen=True)
class _Logistic(Loss):
    """ℓ = Σ t log(1 + e^{−p}) + (1 − t) log(1 + e^p) over channels: Bernoulli, p the log odds, t in [0, 1].

    With s = 1/(1 + e^{−p}): gradient s − t, Hessian product s (1 − s) d.
    """

    name: str = "logistic"

    def _read(self, p: Array, t: Array, *rest: Array | None, count: int | None = None) -> Samples:
        s = super()._read(p, t, *rest, count=count)
        level = real(s.t)
        if count is None and not every((level >= 0) & (level <= 1)):
            raise ValueError(
                "t has entries outside [0, 1] (or NaN), which are no probabilities; "
                "rescale the targets, or mask those samples"
            )
        return s

    def _terms(self, p: Array, t: Array) -> Array:
        return t * softplus(-p) + (1.0 - t) * softplus(p)

    def _slopes(self, p: Array, t: Array) -> Array:
        s, c = logistic_pair(p)
        return (1.0 - t) * s - t * c

    def _curves(self, p: Array, t: Array, d: Array) -> Array:
        s, c = logistic_pair(p)
        return s * c * d


@dataclass(frozen=True)
class _Huber(Loss):
    """ℓ = Σ over channels of ½ r² where |r| ≤ δ, else δ (|r| − ½ δ), for r = p − t.

    Gradient r, else ±δ; Hessian product d, else 0. At |r| = δ, where the second derivative jumps,
    it is that of the inside. Calling the loss returns the one of another δ.
    """

    delta: float = 1.0
    name: str = "huber"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", positive("delta", self.delta))

    def __call__(self, delta: float) -> _Huber:
        """Return the Huber loss that turns linear at `delta`."""
        return _Huber(delta)

    def _pieces(self, r: Array, inside: Array, above: Array, below: Array) -> Array:
        xp = namespace(r)
        return xp.where(real(r) > self.delta, above, xp.where(real(r) < -self.delta, below, inside))

    def _terms(self, p: Array, t: Array) -> Array:
        r, half = p - t, 0.5 * self.delta
        return self._pieces(r, 0.5 * (r * r), self.delta * (r - half), self.delta * (-r - half))

    def _slopes(self, p: Array, t: Array) -> Array:
        r = p - t
        level = namespace(r).full_like(r, self.delta)
        return self._pieces(r, r, level, -level)

    def _curves(self, p: Array, t: Array, d: Array) -> Array:
        flat = namespace(d).zeros_like(d)
        return self._pieces(p - t, d, flat, flat)


squared_error = _SquaredError()
softmax_cross_entropy = _SoftmaxCrossEntropy()
logistic = _Logistic()
huber = _Huber()


def get_loss(loss: Any) -> Any:
    """Return a loss from its name, or the object itself if it is one.

    Parameters
    ----------
    loss : str or object
        ``"squared_error"``, ``"softmax_cross_entropy"``, ``"logistic"``, ``"huber"``, or any object with
        the methods ``value(p, t, mask)`` and ``gradient(p, t, mask)``.

    Raises
    ------
    ValueError
        For an unknown name; the message lists near ones.
    TypeError
        For anything else.

    Examples
    --------
    >>> from machinekit.training.losses import get_loss, huber
    >>> get_loss("huber") is huber
    True
    """
    known = {each.name: each for each in (squared_error, softmax_cross_entropy, logistic, huber)}
    if isinstance(loss, str):
        if loss not in known:
            raise ValueError(f"loss={loss!r} is unknown; {near(loss, known)}")
        return known[loss]
    if isinstance(loss, type) or not (callable(getattr(loss, "value", None)) and hasattr(loss, "gradient")):
        raise TypeError(
            f"loss is {loss!r}; pass a name ({', '.join(known)}) "
            "or an object with value(p, t, mask) and gradient(p, t, mask)"
        )
    return loss
