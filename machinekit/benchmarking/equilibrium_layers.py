"""Equilibrium layers to measure: one monotone block with ReLU, its data, and its exact solution."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .equilibrium_peers import textbook

__all__ = ["HARD", "Layer", "Results", "digits", "exact", "hard", "init", "present", "slow", "trained"]

FEATURES = 64
HARD = 1.5
"""Scale of the factors of the hard layer, in units of 1/√n: at n = 200 it makes ‖I − W‖₂ = 9.3."""
_FINE, _COARSE = 1e-6, 3e-6


@dataclass(frozen=True)
class Layer:
    """z = relu(W z + U x + b) with W = (1 − m) I − AᵀA + B − Bᵀ, a batch of inputs and a seed on z.

    Attributes
    ----------
    id : str
    A, B : arrays of shape (n, n)
    U : array of shape (n, features)
    b : array of shape (n,)
    x : array of shape (samples, features)
    seed : array of shape (samples, n)
    margin : float
    """

    id: str
    A: np.ndarray
    B: np.ndarray
    U: np.ndarray
    b: np.ndarray
    x: np.ndarray
    seed: np.ndarray
    margin: float

    def astype(self, dtype: str) -> Layer:
        """Return the same layer in another precision."""
        return replace(self, **{name: getattr(self, name).astype(dtype) for name in ("A", "B", "U", "b", "x", "seed")})

    @property
    def start(self) -> np.ndarray:
        """U x + b, row by row."""
        return self.x @ self.U.T + self.b

    @property
    def W(self) -> np.ndarray:
        """The weight, for column vectors."""
        eye = np.eye(self.A.shape[0], dtype=self.A.dtype)
        return (1.0 - self.margin) * eye - self.A.T @ self.A + self.B - self.B.T

    def machine(self, **options: Any) -> Any:
        """Return the machine; its tolerance, unless given, is `rtol`."""
        from .. import MonotoneMachine

        own: dict[str, Any] = {"margin": self.margin, "A": self.A, "B": self.B, "weight": np.zeros_like(self.A)}
        return MonotoneMachine((self.A.shape[0],), "relu", **own, **{"rtol": self.rtol, **options})

    @property
    def rtol(self) -> float:
        """The tolerance of all competitors: 1e-6, or 3e-6 in single precision, where rounding allows no less."""
        return _FINE if self.A.dtype == np.float64 else _COARSE

    def step(self, machine: Any) -> tuple[Any, Mapping[str, np.ndarray]]:
        """Return (state, cotangents) of one whole step: new weights, inverse, solve, pullback, all cotangents."""
        machine = machine.replace(A=self.A, B=self.B)
        state = machine.solve(self.start)
        cotangent = machine.pullback(state, self.seed)
        return state, self.cotangents(cotangent)

    def cotangents(self, cotangent: Any) -> dict[str, np.ndarray]:
        """Return the cotangents of A, B, U and b."""
        v = cotangent.y0
        own = {name: cotangent.parameters[name] for name in ("A", "B")}
        return {**own, "U": v.T @ self.x, "b": v.sum(axis=0)}


@dataclass(frozen=True)
class Results:
    """What is compared before anything is timed."""

    z: np.ndarray
    v: np.ndarray
    cotangents: Mapping[str, np.ndarray]

    def error(self, z: np.ndarray, dual: bool = False) -> float:
        """Return the largest relative error of a sample of another solution, or of another dual solution."""
        true = self.v if dual else self.z
        return float(np.max(np.linalg.norm(z - true, axis=1) / np.linalg.norm(true, axis=1), initial=0.0))

    def gradient_error(self, cotangents: Mapping[str, np.ndarray]) -> float:
        """Return the relative error of the worst of the cotangents of A, B, U and b."""
        return max(float(np.linalg.norm(cotangents[k] - g) / np.linalg.norm(g)) for k, g in self.cotangents.items())


def digits(samples: int | None = None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return standardised digits, their labels, and what they are; drawn numbers without scikit-learn."""
    if not present("sklearn"):
        drawn = np.random.default_rng(3).standard_normal((samples or 1797, FEATURES))
        return drawn, None, "drawn standard normal, for scikit-learn is not installed"
    data = importlib.import_module("sklearn.datasets").load_digits()
    x, spread = data.data - data.data.mean(axis=0), data.data.std(axis=0)
    x = x / np.where(spread > 0, spread, 1.0)
    return x[:samples], data.target[:samples], "scikit-learn's digits, standardised"


def init(n: int = 200, samples: int = 128) -> Layer:
    """Return a layer as the authors of monotone operator networks initialise it, of margin 1."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1.0, 1.0, (2, n, n)) / np.sqrt(n)
    u, bias = rng.uniform(-1.0, 1.0, (n, FEATURES)) / 8.0, rng.uniform(-1.0, 1.0, n) / 8.0
    return Layer(f"init{n}", a, b, u, bias, digits(samples)[0], rng.standard_normal((samples, n)), 1.0)


def hard(n: int = 200, samples: int = 128) -> Layer:
    """Return a layer of large weights and small margin."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, n, n)) * (HARD / np.sqrt(n))
    return replace(init(n, samples), id=f"hard{n}", A=a, B=b, margin=0.1)


def slow(n: int = 200, samples: int = 128) -> Layer:
    """Return a layer that needs more than a thousand steps: skew but for a margin of 1e-4."""
    layer = init(n, samples)
    return replace(layer, id=f"slow{n}", A=np.zeros_like(layer.A), B=3.0 * layer.B, margin=1e-4)


def trained(n: int = 200, samples: int = 128, epochs: int = 4) -> Layer | None:
    """Return the first layer after some epochs of Adam on the digits; None without scikit-learn."""
    from .. import Affine, Chain, MonotoneMachine, fit

    x, labels, _ = digits()
    if labels is None:
        return None
    layer = init(n, samples)
    head = Affine(n, 10, rng=0)
    body = MonotoneMachine(
        (n,), "relu", margin=layer.margin, A=layer.A, B=layer.B, weight=np.zeros_like(layer.A), rtol=1e-3
    )
    model = Chain([Affine(FEATURES, n, weight=layer.U.T, bias=layer.b), body, head])
    options: dict[str, Any] = {"method": "adam", "learning_rate": 1e-3, "batch_size": samples, "rng": 0}
    found = fit(model, "softmax_cross_entropy", x, np.eye(10)[labels], steps=epochs, progress=False, **options)
    last = found.model.parameters()
    own = {"A": last["1.A"], "B": last["1.B"], "U": last["0.weight"].T.copy(), "b": last["0.bias"]}
    return replace(layer, id=f"digits{n}", **own)


def exact(layer: Layer, rounds: int = 50) -> Results:
    """Return the exact solution and cotangents in double precision, by the active set of each sample.

    Given the set of positive channels, (I − W_SS) z_S = b_S is a linear equation, and its transpose the dual. The
    set is guessed by Peaceman–Rachford and corrected until it repeats.

    Raises
    ------
    ArithmeticError
        If it does not.
    """
    layer = layer.astype("float64")
    W, start, seed = layer.W, layer.start, layer.seed
    guess, _ = textbook(W, start, 1e-9, 1.0, 100_000)()
    z, v = np.zeros_like(start), np.zeros_like(start)
    for row, (b, g) in enumerate(zip(start, seed, strict=True)):
        on = guess[row] > 0
        for _ in range(rounds):
            here = np.flatnonzero(on)
            system = np.eye(here.size) - W[np.ix_(here, here)]
            z[row] = 0.0
            z[row, here] = np.linalg.solve(system, b[here])
            before, on = on, W @ z[row] + b > 0
            if np.array_equal(before, on):
                break
        else:
            raise ArithmeticError(f"the active set of sample {row} does not settle; pass a larger margin")
        v[row, here] = np.linalg.solve(system.T, g[here])
    bar = v.T @ z
    own = {"A": -layer.A @ (bar + bar.T), "B": bar - bar.T, "U": v.T @ layer.x, "b": v.sum(axis=0)}
    return Results(z, v, own)


def present(package: str) -> bool:
    """Tell whether a package can be imported."""
    return importlib.util.find_spec(package) is not None
