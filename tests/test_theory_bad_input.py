"""What is wrong is refused before any work: the type of the error, the argument, both values and a remedy."""

from __future__ import annotations

import math

import array_api_strict
import numpy as np
import pytest

import machinekit as mk
from machinekit import theory

from .helpers import assert_equal, read_only

E, C, T = theory.Endofunction, theory.Cofiltration, theory
SIZES = {"a": 1, "b": 1}
X2, X3, ONE = read_only(np.zeros(2)), read_only(np.zeros(3)), read_only(np.ones(2))
EYE = read_only(np.eye(2))
GAP, FAR = read_only(np.array([0.0, math.nan])), read_only(np.array([math.inf, 0.0, 0.0]))
F = E.linear(read_only(np.array([[0.0, 0.0], [1.0, 0.0]])))
H = theory.shortcut_graph(3)
LOOP = E.of_edges(SIZES, {"a -> b": np.tanh, "b -> a": np.tanh})
M = mk.DenseMachine((1, 2), rng=0)
R = mk.RecurrentMachine((1, 2), memory=1, rng=0)
NET = mk.Hypergraph(SIZES, [mk.Edge("f", mk.Affine(1, 1, rng=0), "a -> b")])
ZERO = C([EYE[:, :0]])
STRANGE = array_api_strict.zeros(2)


def edges(given, **more):
    return E.of_edges(SIZES, given, **more)


def returns(image):
    return E(lambda x: image, 2)


ENDOFUNCTIONS = {
    "function": (lambda: E(3, 2), TypeError, ["function is 3, a int", "give a function"]),
    "derivative": (lambda: E(abs, 2, derivative=3), TypeError, ["derivative is 3, a int", "give a function"]),
    "sizes a word": (lambda: E(abs, "2"), TypeError, ["sizes is '2'", "give a number, a sequence"]),
    "sizes a fraction": (lambda: E(abs, 2.0), TypeError, ["sizes is 2.0", "give a number"]),
    "sizes a flag": (lambda: E(abs, True), TypeError, ["sizes is True", "give a number"]),
    "sizes none": (lambda: E(abs, None), TypeError, ["sizes is None", "give a number"]),
    "sizes empty": (lambda: E(abs, ()), ValueError, ["sizes is empty", "at least one space"]),
    "a size below 0": (lambda: E(abs, (2, -1)), ValueError, ["sizes['x2'] is -1", "at least 0"]),
    "half a size": (lambda: E(abs, {"a": 1.5}), TypeError, ["sizes['a'] is 1.5", "whole number"]),
    "like": (lambda: E(abs, 2, like=[0.0]), TypeError, ["like is a list", "numpy.asarray(like"]),
    "edges a number": (lambda: edges(3), TypeError, ["edges is 3, a int", "sequence of pairs"]),
    "edges a word": (lambda: edges("a -> b"), TypeError, ["edges is 'a -> b', a str", "sequence of pairs"]),
    "edges no pairs": (lambda: edges(["a -> b"]), TypeError, ["edges holds 'a -> b'", "pairs of both"]),
    "no such space": (lambda: edges({"a -> c": abs}), ValueError, ["'a -> c'", "space 'c'", "['a', 'b']"]),
    "no arrow": (lambda: edges({"a b": abs}), ValueError, ["'a b'", "'x1 x2 -> x3'"]),
    "two arrows": (lambda: edges({"a -> b -> a": abs}), ValueError, ["'a -> b -> a'", "with one arrow"]),
    "no target": (lambda: edges({"a ->": abs}), ValueError, ["'a ->'", "'x1 x2 -> x3'"]),
    "a target twice": (lambda: edges({"a -> b b": abs}), ValueError, ["'a -> b b'", "each target once"]),
    "no function": (lambda: edges({"a -> b": 3}), TypeError, ["'a -> b' is 3, a int", "give a function"]),
    "signature a number": (lambda: edges([(3, abs)]), TypeError, ["signature 3", "pass a string"]),
    "a list as matrix": (lambda: E.linear([[0]]), TypeError, ["matrix is a list", "numpy.asarray(matrix"]),
    "not square": (lambda: E.linear(np.zeros((2, 3))), ValueError, ["matrix has shape (2, 3)", "square"]),
    "a vector as matrix": (lambda: E.linear(X2), ValueError, ["matrix has shape (2,)", "square"]),
    "matrix of NaN": (lambda: E.linear(EYE * math.nan), ValueError, ["matrix is nan at (0, 0)", "finite numbers"]),
    "matrix of words": (lambda: E.linear(np.array([["a"]])), TypeError, ["matrix has dtype <U1", "give numbers"]),
    "sizes of a matrix": (lambda: E.linear(EYE, (1, 2)), ValueError, ["{'x1': 1, 'x2': 2} add up to 3", "needs 2"]),
    "a number": (lambda: E.constant(3.0), TypeError, ["value is a float", "numpy.asarray(value"]),
    "a matrix": (lambda: E.constant(EYE), ValueError, ["value has shape (2, 2)", "shape (n,)"]),
    "an infinite constant": (lambda: E.constant(FAR), ValueError, ["value is inf at (0,)", "finite numbers"]),
    "sizes of a vector": (lambda: E.constant(X2, 3), ValueError, ["{'x1': 3} add up to 3", "needs 2"]),
    "x of another shape": (lambda: F(X3), ValueError, ["x has shape (3,)", "takes vectors of shape (2,)"]),
    "x a matrix": (lambda: F(EYE), ValueError, ["x has shape (2, 2)", "takes vectors of shape (2,)"]),
    "x a list": (lambda: F([0, 0]), TypeError, ["x is a list", "numpy.asarray(x"]),
    "x elsewhere": (lambda: F(STRANGE), TypeError, ["is in numpy but x is in array_api_strict", "nothing is moved"]),
    "returns less": (lambda: returns(X3)(X2), ValueError, ["f returned has shape (3,)", "return shape (2,)"]),
    "returns none": (lambda: returns(None)(X2), TypeError, ["f returned is None", "return an array of shape (2,)"]),
    "v of another shape": (lambda: F.jvp(X2, X3), ValueError, ["v has shape (3,)", "shape (2,)"]),
    "jvp at another shape": (lambda: F.jvp(X3, X2), ValueError, ["x has shape (3,)", "shape (2,)"]),
    "no complex step": (
        lambda: E(abs, 1).jvp(np.ones(1, int), np.ones(1)), TypeError,
        ["no derivative=", "x of dtype int64", "give the derivative"],
    ),
    "no real direction": (lambda: E(abs, 1).jvp(np.ones(1), np.ones(1) * 1j), TypeError, ["v of dtype complex128"]),
    "derivative of less": (
        lambda: E(abs, 2, derivative=lambda x, v: v[:1]).jvp(X2, X2), ValueError,
        ["derivative of f returned has shape (1,)", "return shape (2,)"],
    ),
    "jacobian": (lambda: F.jacobian(X3), ValueError, ["x has shape (3,)", "shape (2,)"]),
    "split": (lambda: H.split(X2), ValueError, ["x has shape (2,)", "shape (3,)"]),
    "join less": (lambda: H.join({"x0": X2}), ValueError, ["parts has ['x0']", "['x0', 'x1', 'x2']"]),
    "join a list": (lambda: H.join([X2]), TypeError, ["parts is [array", "give a mapping"]),
    "join lists": (lambda: F.join({"x1": [0, 0]}), TypeError, ["parts['x1'] is a list", "numpy.asarray"]),
    "join shapes": (lambda: F.join({"x1": X3}), ValueError, ["parts['x1'] has shape (3,)", "shape (2,)"]),
    "two spaces": (lambda: F + H, ValueError, ["x1[2]", "x0[1]", "give both the same sizes"]),
    "names in another order": (lambda: edges({}) + E.of_edges({"b": 1, "a": 1}, {}), ValueError, ["same order"]),
    "a function added": (lambda: F + np.tanh, TypeError, ["'Endofunction' and 'numpy.ufunc'"]),
    "images": (lambda: edges({"a -> a b": lambda a: a})(X2), ValueError, ["'a -> a b'", "1 arrays for 2 targets"]),
    "an image": (
        lambda: edges({"a -> b": lambda a: X3})(X2), ValueError,
        ["'a -> b' adds to 'b' has shape (3,)", "return shape (1,)"],
    ),
    "no image": (lambda: edges({"a -> b": lambda a: None})(X2), TypeError, ["'a -> b' adds to 'b' is None"]),
    "edge without arrow": (lambda: T.Edge.read("a b", abs), ValueError, ["'a b'", "'x1 x2 -> x3'"]),
    "edge without function": (lambda: T.Edge.read("a -> b", 3), TypeError, ["'a -> b' is 3", "give a function"]),
    "edge without source": (
        lambda: T.Edge.read("a -> b", abs).images({"b": X2}), ValueError, ["parts has ['b']", "reads 'a' too"],
    ),
}  # fmt: skip

STRUCTURE = {
    "machine a function": (lambda: T.endofunction(np.tanh), TypeError, ["machine is <ufunc", "mk.DenseMachine"]),
    "grid too long": (lambda: T.endofunction(M, (3,)), ValueError, ["grid is (3,)", "0 grid axes"]),
    "grid missing": (lambda: T.endofunction(R), ValueError, ["grid is ()", "1 grid axes"]),
    "grid a number": (lambda: T.endofunction(R, 3), TypeError, ["grid is 3", "as a tuple"]),
    "grid a word": (lambda: T.endofunction(R, "3"), TypeError, ["grid is '3'", "as a tuple"]),
    "grid below 0": (lambda: T.endofunction(R, (-1,)), ValueError, ["grid[0] is -1", "at least 0"]),
    "half a grid": (lambda: T.endofunction(R, (1.5,)), TypeError, ["grid[0] is 1.5", "whole number"]),
    "grid of a network": (lambda: T.endofunction(NET, (1,)), ValueError, ["grid is (1,)", "leave it out"]),
    "flag": (lambda: T.flag(F), TypeError, ["machine is <L", "mk.DenseMachine"]),
    "flag of a network": (lambda: T.flag(NET), TypeError, ["machine is Hypergraph", "mk.DenseMachine"]),
    "flag without grid": (lambda: T.flag(R), ValueError, ["grid is ()", "1 grid axes"]),
    "pack": (lambda: T.pack(X2, X3), ValueError, ["y has shape (2,)", "z (3,)", "of one shape"]),
    "pack one": (lambda: T.pack(X2, None), ValueError, ["y has shape (2,), z None", "give both"]),
    "pack lists": (lambda: T.pack(X2, [0, 0]), TypeError, ["z is a list", "numpy.asarray(z"]),
    "pack two libraries": (lambda: T.pack(X2, STRANGE), TypeError, ["y is in numpy but z is in array_api_strict"]),
    "unpack": (lambda: T.unpack(M, X2), ValueError, ["x has shape (2,)", "shape (6,)"]),
    "unpack a list": (lambda: T.unpack(M, [0] * 6), TypeError, ["x is a list", "numpy.asarray(x"]),
    "unpack no machine": (lambda: T.unpack(F, X2), TypeError, ["machine is <L", "mk.DenseMachine"]),
    "levels order": (lambda: T.levels(H, "soon"), TypeError, ["order='soon'", "'earliest' or 'latest'"]),
    "levels no edges": (lambda: T.levels(F), ValueError, ["<L: x1[2]", "Endofunction.of_edges"]),
    "levels of a machine": (lambda: T.levels(M), TypeError, ["f is DenseMachine", "theory.endofunction(f, grid)"]),
    "levels of a loop": (lambda: T.levels(LOOP), mk.CycleError, ["a -> b -> a", "'a -> b', 'b -> a'"]),
    "space levels": (lambda: T.space_levels(np.tanh), TypeError, ["f is <ufunc", "theory.Endofunction(f, sizes)"]),
    "edge levels": (lambda: T.edge_levels(NET), TypeError, ["f is Hypergraph", "theory.endofunction(f, grid)"]),
    "groups a number": (lambda: T.is_schedule(H, 3), TypeError, ["groups is 3, a int", "groups of edge names"]),
    "groups a name": (lambda: T.is_schedule(H, "x0 -> x1"), TypeError, ["groups is 'x0 -> x1', a str"]),
    "a group a name": (
        lambda: T.is_schedule(H, ["x0 -> x1"]), TypeError, ["groups[0] is 'x0 -> x1', a string", "[('x0 -> x1',)]"],
    ),
    "a group a number": (lambda: T.is_schedule(H, [3]), TypeError, ["groups[0] is 3, a int", "edge names"]),
    "a group of numbers": (lambda: T.is_schedule(H, [[3]]), TypeError, ["groups[0] holds 3, a int", "as strings"]),
    "no nodes": (lambda: T.shortcut_graph(0), ValueError, ["nodes is 0", "at least 1"]),
    "half a node": (lambda: T.shortcut_graph(1.5), TypeError, ["nodes is 1.5", "whole number"]),
    "edge": (lambda: T.shortcut_graph(2, 3), TypeError, ["edge is 3, a int", "give a function"]),
    "an edge": (lambda: T.shortcut_graph(2, lambda i, j: 3), TypeError, ["'x0 -> x1' is 3", "give a function"]),
    "seed": (lambda: T.shortcut_graph(2, rng="a"), TypeError, ["rng is 'a'"]),
    "seed below 0": (lambda: T.shortcut_graph(2, rng=-1), ValueError, ["rng is -1", "at least 0"]),
    "pass": (lambda: T.operation_counts(M, strategy="changed"), TypeError, ["strategy='changed'", "'once' or 'full'"]),
    "counts of a network": (lambda: T.operation_counts(NET), TypeError, ["machine is Hypergraph", "give a machine"]),
    "counts without grid": (lambda: T.operation_counts(R), ValueError, ["grid is ()", "1 grid axes"]),
    "batch below 0": (lambda: T.operation_counts(M, (), -1), ValueError, ["batch is -1", "at least 0"]),
    "batch a flag": (lambda: T.operation_counts(M, (), True), TypeError, ["batch is True", "whole number"]),
    "half a batch": (lambda: T.operation_counts(M, (), 0.5), TypeError, ["batch is 0.5", "whole number"]),
}  # fmt: skip

DEPTH = {
    "method": (lambda: T.depth(F, method="paths"), TypeError, ["method='paths'", "auto, structure, iteration"]),
    "a grid for vectors": (lambda: T.depth(F, (3,)), ValueError, ["grid is (3,)", "of vectors, leave it out"]),
    "a number as grid": (lambda: T.depth(F, 3), ValueError, ["grid is 3", "leave it out"]),
    "a grid for edges": (lambda: T.depth(H, [1]), ValueError, ["grid is [1]", "leave it out"]),
    "a grid for a network": (lambda: T.depth(NET, (3,)), ValueError, ["grid is (3,)", "leave it out"]),
    "no grid": (lambda: T.depth(R), ValueError, ["grid is ()", "1 grid axes"]),
    "no grid to iterate on": (lambda: T.depth(R, method="iteration"), ValueError, ["grid is ()", "1 grid axes"]),
    "a matrix": (lambda: T.depth(EYE), TypeError, ["f is array", "theory.Endofunction(f, sizes)"]),
    "a function": (lambda: T.depth(np.tanh, (3,)), TypeError, ["f is <ufunc", "theory.Endofunction(f, sizes)"]),
    "no structure": (lambda: T.depth(F, method="structure"), TypeError, ["<L", "method='iteration'"]),
    "a loop": (lambda: T.depth(LOOP), mk.CycleError, ["a -> b -> a", "'a -> b', 'b -> a'"]),
    "no points": (lambda: T.depth(F, points=0), ValueError, ["points is 0", "at least 1"]),
    "points as points": (lambda: T.depth(F, points=[X2]), TypeError, ["points is [array", "whole number"]),
    "most": (lambda: T.depth(F, most=-1), ValueError, ["most is -1", "at least 0"]),
    "rng": (lambda: T.depth(F, rng=0.5), TypeError, ["rng is 0.5"]),
    "structure of no machine": (lambda: T.structural_depth(F), TypeError, ["machine is <L", "give a machine"]),
    "structure off the grid": (lambda: T.structural_depth(M, (2,)), ValueError, ["grid is (2,)", "0 grid axes"]),
}  # fmt: skip


def sequence(g, *given, f=F, **more):
    return lambda: T.depth_sequence(f, g, *given, **more)


def lifted(g, *given, f=H, **more):
    return lambda: T.lifted_depth_sequence(f, g, *given, **more)


SEQUENCES = {
    "no f": (sequence(X2, f=np.tanh), TypeError, ["f is <ufunc", "theory.Endofunction(f, sizes)"]),
    "f a machine": (sequence(X2, f=M), TypeError, ["f is DenseMachine", "theory.endofunction(f, grid)"]),
    "g": (sequence(X3), ValueError, ["g has shape (3,)", "shape (2,)"]),
    "g a list": (sequence([0, 0]), TypeError, ["g is a list", "numpy.asarray(g"]),
    "g elsewhere": (sequence(STRANGE), TypeError, ["is in numpy but g is in array_api_strict"]),
    "g of NaN": (sequence(GAP), ValueError, ["g is nan at (1,)", "finite numbers"]),
    "g of NaN, by steps": (sequence(GAP, steps=2), ValueError, ["g is nan at (1,)", "finite numbers"]),
    "start": (sequence(X2, X3), ValueError, ["start has shape (3,)", "shape (2,)"]),
    "start a number": (sequence(X2, 0.0), TypeError, ["start is a float", "numpy.asarray(start"]),
    "start of NaN": (sequence(X2, GAP), ValueError, ["start is nan at (1,)", "finite numbers"]),
    "steps below 0": (sequence(X2, steps=-1), ValueError, ["steps is -1", "at least 0"]),
    "half a step": (sequence(X2, steps=0.5), TypeError, ["steps is 0.5", "whole number"]),
    "most below 0": (sequence(X2, most=-1), ValueError, ["most is -1", "at least 0"]),
    "no end": (sequence(ONE, f=E.linear(EYE), most=5), ValueError, ["after 5 steps", "no finite depth"]),
    "strategy": (lifted(X3, "lazy"), TypeError, ["strategy='lazy'", "source, target, changed, full"]),
    "strategy none": (lifted(X3, None), TypeError, ["strategy=None", "source, target, changed, full"]),
    "lifted no f": (lifted(X3, f=np.tanh), TypeError, ["f is <ufunc", "theory.Endofunction(f, sizes)"]),
    "lifted no edges": (lifted(X2, f=F), ValueError, ["<L: x1[2]", "Endofunction.of_edges"]),
    "lifted a loop": (lifted(X2, f=LOOP), mk.CycleError, ["a -> b -> a", "'a -> b', 'b -> a'"]),
    "lifted g": (lifted(X2), ValueError, ["g has shape (2,)", "shape (3,)"]),
    "lifted g of ∞": (lifted(FAR), ValueError, ["g is inf at (0,)", "finite numbers"]),
    "start, each once": (lifted(X3, start=X3), TypeError, ["start is for", "'full' and 'changed'"]),
    "start, by schedule": (lifted(X3, start=X3, schedule=T.levels(H)), TypeError, ["start is for", "'full'"]),
    "lifted start": (lifted(X3, "full", start=X2), ValueError, ["start has shape (2,)", "shape (3,)"]),
    "lifted start of ∞": (lifted(X3, "full", start=FAR), ValueError, ["start is inf at (0,)", "finite numbers"]),
    "start beyond V_0": (lifted(X3, "full", start=np.ones(3)), ValueError, ["start is not 0 on 'x0'", "φ ∈ V_0"]),
    "schedule a number": (lifted(X3, schedule=3), TypeError, ["schedule is 3, a int", "groups of edge names"]),
    "schedule a name": (lifted(X3, schedule=["x0 -> x1"]), TypeError, ["schedule[0] is 'x0 -> x1'", "[('x0 -> x1',)]"]),
    "schedule of numbers": (lifted(X3, schedule=[[3]]), TypeError, ["schedule[0] holds 3", "as strings"]),
    "schedule of less": (lifted(X3, schedule=[("x0 -> x1",)]), ValueError, ["[('x0 -> x1',)]", "'x1 -> x2'"]),
    "schedule backwards": (lifted(X3, schedule=T.levels(H)[::-1]), ValueError, ["schedule", "every edge once"]),
    "two schedules": (lifted(X3, "full", schedule=T.levels(H)), TypeError, ["strategy='full'", "leave one out"]),
    "resolvent of no f": (lambda: T.resolvent(np.tanh, X2), TypeError, ["f is <ufunc", "theory.Endofunction(f"]),
    "x0": (lambda: T.resolvent(F, X3), ValueError, ["x0 has shape (3,)", "shape (2,)"]),
    "x0 a list": (lambda: T.resolvent(H, [0]), TypeError, ["x0 is a list", "numpy.asarray(x0"]),
    "x0 of NaN": (lambda: T.resolvent(F, GAP), ValueError, ["x0 is nan at (1,)", "finite numbers"]),
    "x0 of ∞ along edges": (lambda: T.resolvent(H, FAR), ValueError, ["x0 is inf at (0,)", "finite numbers"]),
    "a transient of no f": (lambda: T.transient_profile(abs, X2, X2), TypeError, ["f is <built-in", "theory.Endo"]),
    "a transient's x0": (lambda: T.transient_profile(F, X3, X2), ValueError, ["x0 has shape (3,)", "shape (2,)"]),
    "a transient's start": (lambda: T.transient_profile(F, X2, X3), ValueError, ["start has shape (3,)"]),
    "no transient's start": (lambda: T.transient_profile(F, X2, None), TypeError, ["start is a NoneType"]),
    "a transient of NaN": (lambda: T.transient_profile(F, X2, GAP), ValueError, ["start is nan at (1,)"]),
}  # fmt: skip

ALL = {
    f"{part}: {what}": case
    for part, table in (
        ("endofunction", ENDOFUNCTIONS),
        ("structure", STRUCTURE),
        ("depth", DEPTH),
        ("sequence", SEQUENCES),
    )
    for what, case in table.items()
}


@pytest.mark.parametrize("what", ALL)
def test_is_refused(what):
    """With a read-only array for every argument, so that nothing can have been written to."""
    call, kind, words = ALL[what]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_function_is_not_called_where_the_arguments_are_wrong():
    """Checks come first: no edge and no function sees a vector that is wrong, nor any where an option is."""
    calls = []

    def seen(x):
        calls.append(x)
        return x

    bare, net = E(seen, 2), edges({"a -> b": seen})
    one = E.constant(ONE)
    wrong = [
        lambda: bare(X3), lambda: bare.jvp(X2, X3), lambda: bare.jacobian(X3), lambda: T.depth(bare, (1,)),
        lambda: T.depth(bare, points=0), lambda: T.depth_sequence(bare, X2, GAP), lambda: T.resolvent(net, GAP),
        lambda: T.lifted_depth_sequence(net, X2, "lazy"), lambda: T.lifted_depth_sequence(net, X2, "full", start=ONE),
        lambda: T.lifted_depth_sequence(net, X2, schedule=[]), lambda: T.transient_profile(bare, X2, X3),
        lambda: T.is_independent(bare, one, points=[X2]), lambda: T.is_independent(one, bare, points=[X2, GAP]),
        lambda: T.resolvent_of_sum(bare, net, X3), lambda: T.tighten(bare, [X2]), lambda: T.image_span(bare, [X2, X3]),
        lambda: T.check_cofiltration(bare, ZERO, [X2, GAP]), lambda: T.lowers(bare, np.eye(3), EYE, [X2]),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises((TypeError, ValueError)):
            call()
    assert calls == []


def test_what_is_unusual_and_right_is_taken(backend):
    """NumPy's numbers, lists for tuples, generators for seeds, empty spaces, a schedule from an iterator."""
    assert T.depth(F, [], points=np.int64(2), most=np.int8(9), rng=np.random.default_rng(0)) == 1
    assert T.depth(M, []) == T.depth(M) == 3
    assert E(abs, np.int64(2)).sizes == E(abs, [np.int8(2)]).sizes == {"x1": 2}
    assert T.shortcut_graph(np.int64(2)).dimension == 2
    assert T.operation_counts(R, [np.int64(3)], np.int64(2)) == T.operation_counts(R, (3,), 2)
    empty = backend.from_host(np.zeros(0))
    assert T.resolvent(E.constant(empty), empty).shape == (0,)
    turns = (iter(group) for group in T.levels(H))
    assert_equal(
        "by an iterator", T.lifted_depth_sequence(H, np.ones(3), schedule=turns).last, T.resolvent(H, np.ones(3))
    )
    assert T.is_schedule(H, iter(T.levels(H)))
    assert not T.is_schedule(H, [("no such edge",)])
