"""Nilpotent operators, exactly: index, Neumann series and transients against powers in plain Python integers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit import theory

from .edges import fractions, nilpotent, unimodular
from .strategies import seeds

WIDE = 10**12
"""Squares of it are too large for 64 bits."""


def product(a, b):
    """Of two matrices as nested lists, the integers of Python having no bound."""
    return [[sum(row[k] * b[k][j] for k in range(len(b))) for j in range(len(b))] for row in a]


def identity(n):
    return [[int(i == j) for j in range(n)] for i in range(n)]


def powers(matrix):
    """1, M, M², …, Mⁿ: if the last is not 0, none is."""
    found = [identity(len(matrix))]
    for _ in matrix:
        found.append(product(found[-1], matrix))
    return found


def index_of(matrix):
    return next((k for k, power in enumerate(powers(matrix)) if not any(map(any, power))), math.inf)


def times(matrix, x):
    return [sum(a * b for a, b in zip(row, x, strict=True)) for row in matrix]


def series(matrix):
    """The sum of all powers, entry by entry."""
    n = len(matrix)
    return [[sum(p[i][j] for p in powers(matrix)) for j in range(n)] for i in range(n)]


@st.composite
def matrices(draw, least=0):
    """Small matrices, nilpotent in a general basis two times in three, with entries as large as 10³⁶."""
    n, rng = draw(st.integers(least, 5)), np.random.default_rng(draw(seeds()))
    size = draw(st.sampled_from([1, 1, WIDE, WIDE**3]))
    if draw(st.integers(0, 2)):
        matrix = nilpotent(n, rng)[0]
    else:
        matrix = rng.integers(-2, 3, (n, n)) * (rng.random((n, n)) < 0.3)
    return [[size * k for k in row] for row in matrix.tolist()]


def as_array(matrix):
    return np.array(matrix, dtype=object).reshape((len(matrix),) * 2)


@given(matrix=matrices())
def test_the_index_is_that_of_plain_powers(matrix):
    want, array = index_of(matrix), as_array(matrix)
    transposed = [list(row) for row in zip(*matrix, strict=True)]
    third = [[Fraction(k, 3) for k in row] for row in matrix]
    assert theory.nilpotency_index(array) == theory.nilpotency_index(matrix or array) == want
    assert theory.nilpotency_index(as_array(transposed)) == theory.nilpotency_index(as_array(third)) == want
    assert isinstance(theory.nilpotency_index(array), float if want == math.inf else int)
    assert want == math.inf or want <= len(matrix)


@given(matrix=matrices())
def test_the_series_is_the_sum_of_plain_powers_and_inverts_1_less_m(matrix):
    """In fractions, whatever was given; the argument is not written to."""
    array, n = as_array(matrix), len(matrix)
    kept = array.copy()
    if index_of(matrix) == math.inf:
        with pytest.raises(ValueError, match=rf"matrix of shape \({n}, {n}\) is not nilpotent, its power {n} not"):
            theory.neumann(array)
        return
    found = theory.neumann(array)
    assert found.dtype == object
    assert all(type(k) is Fraction for k in found.ravel())
    assert found.tolist() == series(matrix)
    less = [[int(i == j) - k for j, k in enumerate(row)] for i, row in enumerate(matrix)]
    assert product(less, found.tolist()) == product(found.tolist(), less) == identity(n)
    assert array.tolist() == kept.tolist()
    halves = theory.neumann(as_array([[Fraction(k, 2) for k in row] for row in matrix])).tolist()
    assert halves == series([[Fraction(k, 2) for k in row] for row in matrix])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "bool", "object"])
def test_what_would_overflow_is_not_lost(dtype):
    """16⁴ and (2³²)² are 0 in the dtype given, and 1 + 1 is 1 among booleans."""
    large = {"int8": 16, "uint8": 16, "int32": 2**16, "int64": 2**32, "uint64": 2**32, "object": 10**30}.get(dtype, 1)
    matrix = [[0, 0, 0, 0], [large, 0, 0, 0], [large, large, 0, 0], [large, large, large, 0]]
    array = np.array(matrix, dtype=dtype)
    assert theory.nilpotency_index(array) == index_of(matrix) == 4
    assert theory.neumann(array).tolist() == series(matrix)
    assert theory.neumann(array)[3, 0] == large + 2 * large**2 + large**3
    full = np.full((2, 2), large, dtype=dtype)
    assert theory.nilpotency_index(full) == math.inf


@given(n=st.integers(1, 6), seed=seeds())
def test_blocks_have_the_largest_index_and_every_index_is_attained(n, seed):
    """Jordan blocks of any sizes in a general basis: the index is the size of the largest."""
    rng = np.random.default_rng(seed)
    cuts = sorted({0, n, *rng.integers(0, n + 1, 2).tolist()})
    inside = [k for k in range(1, n) if k not in cuts]
    matrix = np.zeros((n, n), dtype=int)
    matrix[inside, [k - 1 for k in inside]] = 1
    change, inverse = unimodular(n, rng)
    want = max(b - a for a, b in pairwise(cuts))
    assert theory.nilpotency_index(change @ matrix @ inverse) == index_of(matrix.tolist()) == want


@given(matrix=matrices(least=1), seed=seeds())
def test_remark_2_a_linear_map_has_finite_depth_iff_it_is_nilpotent(matrix, seed):
    """The resolvent is then the Neumann series; else iteration, cofiltration and series all have no end."""
    f, index = theory.Endofunction.linear(fractions(as_array(matrix))), index_of(matrix)
    x0 = np.random.default_rng(seed).integers(-9, 10, len(matrix)).tolist()
    units = list(fractions(np.eye(len(matrix), dtype=int)))
    if index == math.inf:
        assert theory.depth(f, method="iteration", rng=seed) == math.inf
        with pytest.raises(ValueError, match="f has no finite depth"):
            theory.tighten(f, units, seed)
        return
    assert theory.depth(f, method="iteration", rng=seed) == theory.tighten(f, units, seed).length == index - 1
    assert theory.resolvent(f, fractions(x0)).tolist() == times(series(matrix), x0)


def test_an_inverse_of_1_less_m_is_not_enough():
    """1 − 2 = −1 has one, and so has 1 − M for the golden ratio's M; neither is of finite depth."""
    for matrix in ([[2]], [[0, 1], [1, 1]], [[0, 1], [-1, 0]]):
        f = theory.Endofunction.linear(fractions(np.array(matrix)))
        assert theory.depth(f, method="iteration") == theory.nilpotency_index(matrix) == math.inf
        with pytest.raises(ValueError, match="has not stood still after 30 steps"):
            theory.depth_sequence(f, fractions(np.ones(len(matrix), int)), most=30)


@given(matrix=matrices(least=1), seed=seeds(), sparse=st.booleans())
def test_a_constant_takes_as_many_steps_as_powers_do_not_kill_it(matrix, seed, sparse):
    """V_i of L + c is spanned by Lⁱ c and Im Lⁱ⁺¹: the depth is where both are 0, the index for most c."""
    index = index_of(matrix)
    if index == math.inf:
        return
    rng = np.random.default_rng(seed)
    c = rng.integers(-3, 4, len(matrix)) * (rng.random(len(matrix)) < (0.3 if sparse else 1))
    f = theory.Endofunction.linear(fractions(as_array(matrix))) + theory.Endofunction.constant(fractions(c))
    alive = next(k for k, p in enumerate(powers(matrix)) if not any(times(p, c.tolist())))
    want = max(index - 1, alive)
    assert theory.depth(f, method="iteration", rng=seed) == want
    points = [fractions(np.zeros(len(matrix), int)), *fractions(np.eye(len(matrix), dtype=int))]
    assert theory.tighten(f, points, seed).length == want


@given(matrix=matrices(least=1), seed=seeds())
def test_the_transient_is_that_of_plain_powers(matrix, seed):
    """After k steps the error is Mᵏ (x0 + φ − x), its largest entry to the last digit; then it is 0 for good."""
    if index_of(matrix) == math.inf:
        return
    rng, n = np.random.default_rng(seed), len(matrix)
    x0, phi = (rng.integers(-3, 4, n).tolist() for _ in range(2))
    f = theory.Endofunction.linear(fractions(as_array(matrix)))
    profile = theory.transient_profile(f, fractions(x0), fractions(phi))
    solution = times(series(matrix), x0)
    gap = [a + b - c for a, b, c in zip(x0, phi, solution, strict=True)]
    errors = [max(map(abs, times(power, gap))) for power in powers(matrix)]
    assert profile == tuple(map(float, errors[: len(profile)]))
    assert profile[-1] == 0
    assert not any(errors[len(profile) :])
    assert 0 not in profile[:-1]


@pytest.mark.parametrize("gain", [2, 10, -3, 1])
@pytest.mark.parametrize("n", range(1, 7))
def test_along_a_chain_the_error_grows_by_the_gain_and_vanishes_at_once(n, gain):
    """The solution with a wrong first entry: 1, g, g², …, gⁿ⁻¹, and 0 after n steps."""
    f = theory.Endofunction.linear(fractions(gain * np.eye(n, k=-1, dtype=int)))
    first = fractions(np.eye(n, dtype=int)[0])
    want = (*(abs(float(gain)) ** k for k in range(n)), 0.0)
    for x0 in (0 * first, 5 - 3 * first):
        beside = theory.resolvent(f, x0) - x0
        assert theory.transient_profile(f, x0, beside + first) == want
        assert theory.transient_profile(f, x0, beside) == (0.0,)
    assert theory.depth(f, method="iteration") == n - 1
