"""The laws of an activation: its derivatives, its class, its stability, its dtypes, its proximal operator."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..activations import Activation
from .report import Finding, compare, equal, skipped, tolerance

__all__ = ["activation_findings"]

_FAR = 1e4
_STEP = 1e-20
_ALPHAS = (0.25, 0.7, 1.0, 3.0)
"""Step sizes of proximal operators."""


def activation_findings(a: Activation, rng: np.random.Generator, dtype: str) -> list[Finding]:
    """Return the findings of `check_activation`."""
    y = np.concatenate([3.0 * rng.standard_normal(64), np.linspace(-30, 30, 25), [-_FAR, _FAR]])
    for kink in a.kinks:
        y = y[np.abs(y - kink) > 1e-2]
    return [
        *_derivative("σ′", a.value, a.derivative, y),
        *_if_there("σ″", a.derivative, a.second, y),
        *_if_there("σ‴", a.second, a.third, y),
        *_class(a),
        *_stability(a),
        *_dtypes(a, y, dtype),
        *_proximal(a, rng, dtype),
    ]


def _has(function: Any) -> bool:
    try:
        function(np.zeros(1))
    except TypeError:
        return False
    return True


def _if_there(name: str, lower: Any, upper: Any, y: np.ndarray) -> list[Finding]:
    return _derivative(name, lower, upper, y) if _has(upper) else [skipped(name, "the activation has none")]


def _orders(a: Activation) -> list[tuple[str, Any]]:
    """Return σ and those of its derivatives that it has, by name."""
    orders = [("σ", a.value), ("σ′", a.derivative), ("σ″", a.second), ("σ‴", a.third)]
    return [(name, function) for name, function in orders if _has(function)]


def _derivative(name: str, lower: Any, upper: Any, y: np.ndarray) -> list[Finding]:
    """Compare a derivative with the complex step and with central differences of what it derives."""
    with np.errstate(all="ignore"):  # what is not finite fails below, and "finite and quiet" says why
        return _compared(name, lower, upper, y)


def _compared(name: str, lower: Any, upper: Any, y: np.ndarray) -> list[Finding]:
    exact = upper(y)
    findings = []
    scale = np.abs(exact) + np.abs(lower(y)) / (1.0 + np.abs(y)) + 1e-3
    try:
        step = lower(y + 1j * _STEP).imag / _STEP
        findings.append(compare(f"{name} by the complex step", exact, step, scale, allowed=1e-12 * scale))
    except TypeError as error:
        findings.append(skipped(f"{name} by the complex step", str(error)))
    h = 1e-3
    coarse, fine = ((lower(y + k) - lower(y - k)) / (2.0 * k) for k in (h, h / 2))
    size = np.abs(lower(y)) + np.abs(exact) + 1.0
    law = f"{name} by finite differences"
    findings.append(compare(law, exact, (4.0 * fine - coarse) / 3.0, size, allowed=1e-6 * size))
    return findings


def _class(a: Activation) -> list[Finding]:
    """A map of class C^k has k continuous derivatives: no jump at any declared kink."""
    findings = []
    for kink in a.kinks:
        for order, (name, function) in enumerate(_orders(a)):
            if order > a.smoothness:
                continue
            gap = 1e-9
            left, right = function(np.array([kink - gap])), function(np.array([kink + gap]))
            law = f"{name} is continuous at {kink:g}, as the class C^{a.smoothness} says"
            findings.append(compare(law, left, right, 1.0, allowed=1e-6))
    return findings


def _stability(a: Activation) -> list[Finding]:
    """Values and derivatives at ±1e4 are finite and raise no floating-point warning."""
    points = np.array([-_FAR, -750.0, -40.0, 0.0, 40.0, 750.0, _FAR])
    bad = []
    functions: list[tuple[str, Any]] = _orders(a)
    if a.prox is not None:
        functions += [(f"prox with α = {alpha}", partial(_swapped, alpha, a.prox)) for alpha in _ALPHAS]
    for name, function in functions:
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                values = function(points)
        except FloatingPointError as error:
            bad.append(f"{name}: {error}")
            continue
        if not np.all(np.isfinite(values)):
            bad.append(f"{name} at {points[~np.isfinite(values)].tolist()}")
    return [equal("finite and quiet at ±1e4", bad, [])]


def _swapped(alpha: float, prox: Any, x: np.ndarray) -> np.ndarray:
    return prox(x, alpha)


def _dtypes(a: Activation, y: np.ndarray, dtype: str) -> list[Finding]:
    """Precision in is precision out, real and complex."""
    odd = {}
    kinds = [dtype, "complex64" if dtype == "float32" else "complex128"]
    for kind in kinds:
        for name, function in _orders(a):
            try:
                result = function(np.clip(y, -9, 9).astype(kind))
            except TypeError:
                continue
            if result.dtype.name != kind:
                odd[f"{name} of {kind}"] = result.dtype.name
    return [equal("dtype in is dtype out", odd, {})]


def _proximal(a: Activation, rng: np.random.Generator, dtype: str) -> list[Finding]:
    """σ is prox_f of one convex f, of which `prox` makes prox_{αf} for every α; nothing else is known of f."""
    prox: Any = a.prox
    if prox is None:
        return [skipped("proximal operator", "the activation declares none")]
    u = np.sort(np.concatenate([3.0 * rng.standard_normal(64), np.linspace(-9.0, 9.0, 19), [-_FAR, _FAR]])).astype(
        dtype
    )
    with np.errstate(all="ignore"):
        findings = [compare("proximal operator, prox(x, 1) = σ(x)", prox(u, 1.0), a.value(u), 1.0 + np.abs(u), dtype)]
        for alpha in _ALPHAS:
            findings += _steps(a, prox, u, alpha, dtype)
        return [*findings, *_slopes(a, prox, u.astype("float64")), _manners(prox, u)]


def _steps(a: Activation, prox: Any, u: np.ndarray, alpha: float, dtype: str) -> list[Finding]:
    """With s = prox_{αf}(u), (u − s)/α is a subgradient of f at s, whatever α is: other step sizes find s again."""
    s = prox(u, alpha)
    size = np.abs(u) + np.abs(s)
    over = np.maximum(np.maximum(-np.diff(s), np.diff(s) - np.diff(u)), 0.0)
    allowed = tolerance(dtype, (1.0 + alpha) * (size[1:] + size[:-1]))
    law = f"proximal operator, 0 ≤ prox(u, α) − prox(v, α) ≤ u − v for u ≥ v, α = {alpha}"
    findings = [compare(law, over, np.zeros_like(over), size[1:] + size[:-1], allowed=allowed)]
    g = (u - s) / alpha
    size = (size + np.abs(g)) * (1.0 + 1.0 / alpha)
    law = f"proximal operator, σ(s + g) = s with s = prox(u, α), g = (u − s)/α, α = {alpha}"
    findings.append(compare(law, a.value(s + g), s, size, dtype))
    for beta in _ALPHAS:
        law = f"proximal operator, prox(s + βg, β) = s with s = prox(u, α), g = (u − s)/α, α = {alpha}, β = {beta}"
        findings.append(compare(law, prox(s + beta * g, beta), s, (1.0 + beta) ** 2 * size, dtype))
    return findings


def _slopes(a: Activation, prox: Any, u: np.ndarray) -> list[Finding]:
    """The derivative of prox_{αf} at x is D/(D + α (1 − D)) with D = σ′(s + g); complex numbers must see it."""
    law = "proximal operator by the complex step"
    findings = []
    for alpha in _ALPHAS:
        s = prox(u, alpha)
        p = s + (u - s) / alpha
        away = np.all([np.abs(p - kink) > 1e-2 for kink in a.kinks] or [p == p], axis=0)
        d = a.derivative(p)
        try:
            step = prox(u + 1j * _STEP, alpha).imag / _STEP
        except TypeError as error:
            return [skipped(law, str(error))]
        exact = d / (d + alpha * (1.0 - d))
        findings.append(compare(f"{law}, α = {alpha}", step[away], exact[away], 1.0, allowed=1e-10))
    return findings


def _manners(prox: Any, u: np.ndarray) -> Finding:
    """Precision in is precision out, x is not written to, and the result is a new array."""
    bad = []
    for kind in (u.dtype.name, "complex64" if u.dtype.name == "float32" else "complex128"):
        x = u.astype(kind)
        given = x.copy()
        for alpha in _ALPHAS:
            try:
                s = prox(x, alpha)
            except TypeError:
                continue
            told = (s.dtype == kind, s.shape == x.shape, np.array_equal(x, given), not np.shares_memory(s, x))
            if not all(told):
                bad.append(f"α = {alpha}, {kind}: dtype, shape, x unchanged, memory of its own {told}")
    return equal("proximal operator, dtype and shape as of x, which is left alone", bad, [])
