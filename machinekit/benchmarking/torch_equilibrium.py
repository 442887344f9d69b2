"""Whole steps of an equilibrium layer in PyTorch: the published monotone solvers, and Broyden's with torchdeq."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .equilibrium_layers import Layer

__all__ = ["MonLayer", "TorchdeqLayer"]

_LIMIT = 1000
_PAIRS = 100
"""Steps of torchdeq's Broyden, which keeps two states for each."""


class _TorchLayer:
    def __init__(self, layer: Layer, threads: int) -> None:
        self.torch = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        self.margin, self.rtol = layer.margin, layer.rtol
        names = ("A", "B", "U", "b", "x", "seed")
        self.A, self.B, self.U, self.b, self.x, self.seed = (self.torch.tensor(getattr(layer, k)) for k in names)
        self.eye = self.torch.eye(self.A.shape[0], dtype=self.A.dtype)
        self.steps = (0, 0)

    def weight(self) -> Any:
        """Return W for column vectors."""
        return (1.0 - self.margin) * self.eye - self.A.T @ self.A + self.B - self.B.T

    def step(self) -> tuple[Any, ...]:
        """Return z and the cotangents of A, B, U and b."""
        raise TypeError("a layer of torch says how it steps")

    def results(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return z and the cotangents as NumPy arrays."""
        z, *rest = self.step()
        return z.detach().numpy(), {k: g.numpy() for k, g in zip("ABUb", rest, strict=True)}


class MonLayer(_TorchLayer):
    """Forward and backward Peaceman–Rachford of Winston & Kolter with α = 1, as their code has them.

    The loops, the stop rule, the slope that is divided by and the product with W by its factors are theirs
    (arXiv:2006.08591); the cotangents are products instead of automatic differentiation, which is faster.
    """

    alpha = 1.0

    def step(self) -> tuple[Any, ...]:
        """Return z and the cotangents of A, B, U and b."""
        torch, alpha = self.torch, self.alpha
        inverse = torch.inverse((1.0 + alpha) * self.eye - alpha * self.weight())
        start = self.x @ self.U.T + self.b
        first, forward = self._iterate(inverse.T, alpha * start, start, torch.relu)
        z = torch.relu(start + self._product(first, self.B.T - self.B))
        slope = (z > 0).to(z.dtype)
        v, off = slope * self.seed, slope == 0
        d = (1.0 - slope) / slope

        def resolve(u: Any) -> Any:
            new = (u + alpha * (1.0 + d) * v) / (1.0 + alpha * d)
            new[off] = v[off]
            return new

        p, backward = self._iterate(inverse, 0.0, start, resolve)
        v = slope * (self.seed + self._product(p, self.B - self.B.T))
        self.steps = (forward, backward)
        bar = v.T @ z
        return z, -self.A @ (bar + bar.T), bar - bar.T, v.T @ self.x, v.sum(0)

    def _product(self, z: Any, skew: Any) -> Any:
        return (1.0 - self.margin) * z - (z @ self.A.T) @ self.A + z @ skew

    def _iterate(self, inverse: Any, added: Any, like: Any, resolve: Any) -> tuple[Any, int]:
        z, u = self.torch.zeros_like(like), self.torch.zeros_like(like)
        step, change = 0, 1.0
        while change > self.rtol and step < _LIMIT:
            half = 2.0 * z - u
            middle = (half + added) @ inverse
            u = 2.0 * middle - half
            new = resolve(u)
            change = (new - z).norm().item() / (1e-6 + new.norm().item())
            z = new
            step += 1
        return z, step


class TorchdeqLayer(_TorchLayer):
    """torchdeq with Broyden's method and the implicit-function theorem, relative tolerances."""

    def __init__(self, layer: Layer, threads: int) -> None:
        super().__init__(layer, threads)
        tolerances = {"f_tol": self.rtol, "b_tol": self.rtol, "f_stop_mode": "rel", "b_stop_mode": "rel"}
        budget = {"f_max_iter": _PAIRS, "b_max_iter": _PAIRS}
        deq = importlib.import_module("torchdeq").get_deq
        self.deq = deq(ift=True, f_solver="broyden", b_solver="broyden", **budget, **tolerances)
        for parameter in (self.A, self.B, self.U, self.b):
            parameter.requires_grad_()

    def step(self) -> tuple[Any, ...]:
        """Return z and the cotangents of A, B, U and b."""
        torch = self.torch
        kernel, start = self.weight().T, self.x @ self.U.T + self.b
        (*_, z), info = self.deq(lambda z: torch.relu(z @ kernel + start), torch.zeros_like(start))
        self.steps = (int(info["nstep"].max()), 0)
        return z, *torch.autograd.grad(z, (self.A, self.B, self.U, self.b), self.seed)
