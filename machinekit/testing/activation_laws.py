"""The laws of an activation: its derivatives, its class, its stability, its dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..activations import Activation
from .report import Finding, compare, equal, skipped

__all__ = ["activation_findings"]

_FAR = 1e4
_STEP = 1e-20


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
    for name, function in _orders(a):
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                values = function(points)
        except FloatingPointError as error:
            bad.append(f"{name}: {error}")
            continue
        if not np.all(np.isfinite(values)):
            bad.append(f"{name} at {points[~np.isfinite(values)].tolist()}")
    return [equal("finite and quiet at ±1e4", bad, [])]


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
