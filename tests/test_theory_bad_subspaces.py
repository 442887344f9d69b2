"""Sums, exact matrices, subspaces and cofiltrations refuse what is wrong: the argument, both values, a remedy."""

from __future__ import annotations

import math
from fractions import Fraction

import array_api_strict
import numpy as np
import pytest

import machinekit as mk
from machinekit import theory

from .helpers import read_only

E, C, T = theory.Endofunction, theory.Cofiltration, theory
X2, X3, EYE = read_only(np.zeros(2)), read_only(np.zeros(3)), read_only(np.eye(2))
GAP, HOLE = read_only(np.array([0.0, math.nan])), read_only(np.array([[1.0], [math.inf]]))
F = E.linear(read_only(np.array([[0.0, 0.0], [1.0, 0.0]])))
BURST = E(lambda x: x / X2, 2, name="burst")
H = theory.shortcut_graph(3)
M = mk.DenseMachine((1, 2), rng=0)
ZERO, FULL = C([EYE[:, :0]]), C([EYE, EYE[:, :0]])
STRANGE = array_api_strict.zeros(2)


def independent(*given, **more):
    return lambda: T.is_independent(*given, **more)


def lowers(outer, inner, points, f=F, **more):
    return lambda: T.lowers(f, outer, inner, points, **more)


def check(flag, points, f=F, **more):
    return lambda: T.check_cofiltration(f, flag, points, **more)


def sets(given, n):
    return lambda: C.of_index_sets(given, n)


SUMS = {
    "method": (independent(F, F, method="probing"), TypeError, ["method='probing'", "structure, points, derivative"]),
    "f1": (independent(np.tanh, F), TypeError, ["f1 is <ufunc", "theory.Endofunction(f1, sizes)"]),
    "f2": (independent(F, M), TypeError, ["f2 is DenseMachine", "theory.endofunction(f2, grid)"]),
    "two spaces": (independent(F, H), ValueError, ["x1[2]", "x0[1]", "no common space", "same sizes"]),
    "no structure": (independent(F, F, method="structure"), TypeError, ["<L", "edges", "method='points'"]),
    "trials": (independent(F, F, trials=1), ValueError, ["trials is 1", "at least 2"]),
    "half a trial": (independent(F, F, trials=2.5), TypeError, ["trials is 2.5", "whole number"]),
    "one point": (independent(F, F, points=[X2]), ValueError, ["points has 1", "at least 2"]),
    "no points": (independent(F, F, points=[]), ValueError, ["points has 0", "at least 2"]),
    "points a number": (independent(F, F, points=3), TypeError, ["points is 3, a int", "sequence of vectors"]),
    "a point": (independent(F, F, points=[X2, X3]), ValueError, ["points[1] has shape (3,)", "shape (2,)"]),
    "a point elsewhere": (independent(F, F, points=[X2, STRANGE]), TypeError, ["points[1] is in array_api_strict"]),
    "a point of NaN": (independent(F, F, points=[X2, GAP]), ValueError, ["points[1] is nan at (1,)", "finite"]),
    "tolerance": (independent(F, F, tolerance=-1), ValueError, ["tolerance is -1", "not negative"]),
    "tolerance of NaN": (independent(F, F, tolerance=math.nan), ValueError, ["tolerance is nan", "not negative"]),
    "tolerance a word": (independent(F, F, tolerance="1"), TypeError, ["tolerance is '1'", "give a number"]),
    "tolerance a flag": (independent(F, F, tolerance=True), TypeError, ["tolerance is True", "give a number"]),
    "rng": (independent(F, F, rng="a"), TypeError, ["rng is 'a'"]),
    "order of two spaces": (lambda: T.sum_order(F, H), ValueError, ["no common space", "same sizes"]),
    "order of no f1": (lambda: T.sum_order(M, F), TypeError, ["f1 is DenseMachine", "theory.endofunction(f1, grid)"]),
    "a sum of no f1": (lambda: T.resolvent_of_sum(abs, F, X2), TypeError, ["f1 is <built-in", "theory.Endofunction"]),
    "a sum of no f2": (lambda: T.resolvent_of_sum(F, abs, X2), TypeError, ["f2 is <built-in", "theory.Endofunction"]),
    "a sum at x0": (lambda: T.resolvent_of_sum(F, F, X3), ValueError, ["x0 has shape (3,)", "shape (2,)"]),
    "a sum at NaN": (lambda: T.resolvent_of_sum(F, F, GAP), ValueError, ["x0 is nan at (1,)", "finite"]),
    "no order": (lambda: T.resolvent_of_sum(H, H, X3), ValueError, ["f1, <f", "f2, <f", "take the resolvent of"]),
}  # fmt: skip

EXACT = {
    "a float": (lambda: T.exact([0.5]), TypeError, ["array[0] is 0.5", "fractions.Fraction"]),
    "floats": (lambda: T.exact(X2), TypeError, ["array is float64", "fractions.Fraction"]),
    "a complex number": (lambda: T.exact([[1, 1j]]), TypeError, ["array[0, 1] is 1j", "fractions.Fraction"]),
    "index of floats": (lambda: T.nilpotency_index(EYE), TypeError, ["matrix is float64", "fractions.Fraction"]),
    "index of a float": (lambda: T.nilpotency_index([[0, 0.5], [0, 0]]), TypeError, ["matrix[0, 1] is 0.5"]),
    "index of nothing": (lambda: T.nilpotency_index(None), TypeError, ["matrix is None", "fractions.Fraction"]),
    "index of a map": (lambda: T.nilpotency_index(F), TypeError, ["matrix is <L", "fractions.Fraction"]),
    "index of no square": (lambda: T.nilpotency_index([[0, 1]]), ValueError, ["matrix has shape (1, 2)", "square"]),
    "index of a vector": (lambda: T.nilpotency_index([0]), ValueError, ["matrix has shape (1,)", "square"]),
    "index of rows": (lambda: T.nilpotency_index([[0, 1], [0]]), TypeError, ["matrix[0] is [0, 1]"]),
    "series of floats": (lambda: T.neumann(EYE), TypeError, ["matrix is float64", "fractions.Fraction"]),
    "series of no square": (lambda: T.neumann([[0, 1]]), ValueError, ["matrix has shape (1, 2)", "square"]),
    "no end": (lambda: T.neumann([[Fraction(1, 2)]]), ValueError, ["matrix of shape (1, 1)", "solve (1 − M) x = x0"]),
    "two shapes": (lambda: T.inner_product(X2, X3), ValueError, ["x has shape (2,), y (3,)", "one space"]),
    "x a list": (lambda: T.inner_product([0], X2), TypeError, ["x is a list", "numpy.asarray(x"]),
    "y a list": (lambda: T.inner_product(X2, [0]), TypeError, ["y is a list", "numpy.asarray(y"]),
    "span of a vector": (lambda: T.span(X2), ValueError, ["vectors has shape (2,)", "in columns"]),
    "span of nothing": (lambda: T.span(None), ValueError, ["vectors has shape ()", "in columns"]),
    "span of ∞": (lambda: T.span(HOLE), ValueError, ["vectors is inf at (1, 0)", "finite"]),
    "span of words": (lambda: T.span(np.array([["a"]])), TypeError, ["vectors has dtype <U1", "give numbers"]),
    "vectors of 3": (lambda: T.contains(EYE, np.eye(3)), ValueError, ["vectors has columns of 3", "the space 2"]),
    "vectors of ∞": (lambda: T.contains(EYE, HOLE), ValueError, ["vectors is inf at (1, 0)", "finite"]),
    "a basis of ∞": (lambda: T.contains(HOLE, EYE), ValueError, ["basis is inf at (1, 0)", "finite"]),
    "a vector as basis": (lambda: T.contains(X2, EYE), ValueError, ["basis has shape (2,)", "in columns"]),
    "annihilator": (lambda: T.annihilator(X2), ValueError, ["basis has shape (2,)", "in columns"]),
    "annihilator of ∞": (lambda: T.annihilator(HOLE), ValueError, ["basis is inf at (1, 0)", "finite"]),
}  # fmt: skip

COFILTRATIONS = {
    "no bases": (lambda: C([]), ValueError, ["bases is empty", "shape (n, 0)"]),
    "bases a number": (lambda: C(3), TypeError, ["bases is 3, a int", "sequence of bases"]),
    "a vector": (lambda: C([X2]), ValueError, ["bases[0] has shape (2,)", "in columns"]),
    "of ∞": (lambda: C([EYE, HOLE]), ValueError, ["bases[1] is inf at (1, 0)", "finite"]),
    "two spaces": (lambda: C([EYE, np.eye(3)[:, :0]]), ValueError, ["V_1 is in 3 dimensions, V_0 in 2", "one space"]),
    "not inside": (lambda: C([EYE[:, :1], EYE[:, 1:]]), ValueError, ["V_1 is not inside V_0", "decreases"]),
    "not inside, exactly": (lambda: C([np.array([[1], [0]]), np.array([[1], [1]])]), ValueError, ["V_1 is not inside"]),
    "not down to 0": (lambda: C([EYE]), ValueError, ["last subspace has dimension 2", "V_d = 0"]),
    "an index twice": (sets([[0], [0, 1]], 2), ValueError, ["0 … 1 exactly once", "[[0], [0, 1]]"]),
    "an index too large": (sets([[0], [2]], 2), ValueError, ["0 … 1 exactly once", "[[0], [2]]"]),
    "an index below 0": (sets([[-1]], 1), ValueError, ["sets[0] is -1", "at least 0"]),
    "half an index": (sets([[0.0]], 1), TypeError, ["sets[0] is 0.0", "whole number"]),
    "indices, no sets": (sets([0, 1], 2), TypeError, ["sets[0] is 0, a int", "whole numbers"]),
    "no sets": (sets(2, 2), TypeError, ["sets is 2, a int", "sets of whole numbers"]),
    "dimension below 0": (sets([], -1), ValueError, ["dimension is -1", "at least 0"]),
    "half a dimension": (sets([[0]], 1.0), TypeError, ["dimension is 1.0", "whole number"]),
    "by": (lowers(EYE, EYE, [X2], by="steps"), TypeError, ["by='steps'", "'differences' or 'derivative'"]),
    "outer of 3": (lowers(np.eye(3), EYE, [X2]), ValueError, ["outer has columns of 3", "the space 2"]),
    "inner of 3": (lowers(EYE, np.eye(3), [X2]), ValueError, ["inner has columns of 3", "the space 2"]),
    "outer of ∞": (lowers(HOLE, EYE, [X2]), ValueError, ["outer is inf at (1, 0)", "finite"]),
    "lowers nowhere": (lowers(EYE, EYE, []), ValueError, ["points has 0", "at least 1"]),
    "lowers at NaN": (lowers(EYE, EYE, [X2, GAP]), ValueError, ["points[1] is nan at (1,)", "finite"]),
    "lowers no f": (lowers(EYE, EYE, [X2], f=abs), TypeError, ["f is <built-in", "theory.Endofunction(f, sizes)"]),
    "seed": (lowers(EYE, EYE, [X2], rng=-1), ValueError, ["rng is -1", "at least 0"]),
    "check by": (check(FULL, [X2], by="x"), TypeError, ["by='x'", "'differences' or 'derivative'"]),
    "check no flag": (check([EYE], [X2]), TypeError, ["cofiltration is [array", "Cofiltration(["]),
    "check another space": (check(T.flag(M), [X2]), ValueError, ["of 6 dimensions, f of 2", "one space"]),
    "check nowhere": (check(FULL, []), ValueError, ["points has 0", "at least 1"]),
    "check one vector": (check(FULL, X2), TypeError, ["points[0] is a float64", "numpy.asarray(points[0]"]),
    "check a number": (check(FULL, 5), TypeError, ["points is 5, a int", "sequence of vectors"]),
    "check a machine": (check(FULL, [X2], f=M), TypeError, ["f is DenseMachine", "theory.endofunction(f, grid)"]),
    "check at NaN": (check(FULL, [GAP]), ValueError, ["points[0] is nan at (1,)", "finite"]),
    "images nowhere": (lambda: T.image_span(F, []), ValueError, ["points has 0", "at least 1"]),
    "images at 3": (lambda: T.image_span(F, [X2, X3]), ValueError, ["points[1] has shape (3,)", "shape (2,)"]),
    "images of no f": (lambda: T.image_span(abs, [X2]), TypeError, ["f is <built-in", "theory.Endofunction(f, sizes)"]),
    "images of NaN": (lambda: T.image_span(BURST, [X2]), ValueError, ["f(points[0]) is nan at (0,)", "finite"]),
    "tighten too few": (lambda: T.tighten(F, [X2]), ValueError, ["points has 1", "at least 2", "general position"]),
    "tighten no f": (lambda: T.tighten(M, [X2]), TypeError, ["f is DenseMachine", "theory.endofunction(f, grid)"]),
    "tighten at NaN": (lambda: T.tighten(F, [GAP, X2]), ValueError, ["points[0] is nan at (1,)", "finite"]),
    "tighten NaN": (lambda: T.tighten(BURST, [X2, X2]), ValueError, ["f(points[0]) is nan at (0,)", "finite"]),
    "tighten without end": (lambda: T.tighten(E.linear(EYE), list(EYE)), ValueError, ["stay in 2", "no finite depth"]),
}  # fmt: skip

ALL = {
    f"{part}: {what}": case
    for part, table in (("sum", SUMS), ("exact", EXACT), ("cofiltration", COFILTRATIONS))
    for what, case in table.items()
}


@pytest.mark.parametrize("what", ALL)
def test_is_refused(what):
    """With a read-only array for every argument, so that nothing can have been written to."""
    call, kind, words = ALL[what]
    with np.errstate(all="ignore"), pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_map_that_overflows_is_found_out_and_no_error():
    """An image that is not finite lies in no subspace: the finding says so."""
    with np.errstate(all="ignore"):
        found = [T.lowers(BURST, EYE, EYE, [X2]), *T.check_cofiltration(BURST, FULL, [X2])]
    assert [(f.ok, f.error) for f in found] == [(False, math.inf)] * 3
