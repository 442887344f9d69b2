"""The one tolerance rule, and comparisons that print what failed."""

from __future__ import annotations

import itertools

import numpy as np

from machinekit.arrays import backend_of, to_host

PARITY = 1e-12
"""Agreement with the explicit-matrix oracle in double precision, relative to the scale."""


def eps(dtype) -> float:
    """Return the unit of rounding of a real or complex dtype."""
    return float(np.finfo(np.dtype(dtype)).eps)


def tolerance(dtype, scale) -> np.ndarray:
    """Return 64 eps · scale, scale being the sum of absolute values that entered the expression."""
    return 64 * eps(dtype) * np.asarray(scale)


def parity(dtype, scale) -> np.ndarray:
    """Return 1e-12 · scale in double precision, the one tolerance rule in single."""
    return PARITY * np.asarray(scale) if eps(dtype) < 1e-10 else tolerance(dtype, scale)


def assert_close(what, got, want, bound, *context) -> None:
    """Compare on the host, elementwise |got − want| ≤ bound; equal shapes; nothing that is not finite."""
    got, want = to_host(got), np.asarray(want)
    bound = np.asarray(bound)
    lines = "\n".join(f"  {c!r}" for c in context)
    if got.shape != want.shape:
        raise AssertionError(f"{what}: shape {got.shape}, expected {want.shape}\n{lines}")
    wrong = ~(np.abs(got - want) <= bound)
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, np.abs(got - want), -1.0)), got.shape)
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {wrong.size} entries differ, the most at {tuple(map(int, worst))}: "
            f"{got[worst]!r} against {want[worst]!r}, allowed {np.broadcast_to(bound, got.shape)[worst]!r}\n"
            f"got\n{got}\nexpected\n{want}\nallowed\n{bound}\n{lines}"
        )


def assert_equal(what, got, want, *context) -> None:
    """Compare on the host, bit for bit (0 equals −0)."""
    got, want = to_host(got), to_host(want)
    lines = "\n".join(f"  {c!r}" for c in context)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}\n{lines}"
    assert np.array_equal(got, want), f"{what}: got\n{got}\nexpected\n{want}\n{lines}"


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a copy that cannot be written to."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def locked(backend, array):
    """Move to the backend; on NumPy the array cannot be written to."""
    moved = backend.from_host(array)
    if isinstance(moved, np.ndarray):
        moved.flags.writeable = False
    return moved


def shares_memory(a, b) -> bool:
    """Tell whether two arrays of one library overlap in memory."""
    if hasattr(a, "_array") and hasattr(b, "_array"):  # array_api_strict wraps a NumPy array
        a, b = a._array, b._array
    xp = np if isinstance(a, np.ndarray) else backend_of(a).xp
    return bool(xp.shares_memory(a, b))


def assert_no_shared_memory(arrays, *context) -> None:
    """Check all pairs of a mapping of name to array."""
    given = {name: a for name, a in arrays.items() if a is not None}
    for (name, a), (other, b) in itertools.combinations(given.items(), 2):
        assert not shares_memory(a, b), f"{name} and {other} share memory; {context!r}"
