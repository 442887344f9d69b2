"""One precision per call; complex iff anything is; nothing is cast in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import dtype_name, to_host

from .helpers import assert_close, tolerance
from .strategies import DTYPES, cases
from .test_memory_rules import arrays_of, run

OTHER = {"float32": "float64", "float64": "float32", "complex64": "complex128", "complex128": "complex64"}
REAL = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
COMPLEX = {"float32": "complex64", "float64": "complex128"}


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_every_method_returns_the_dtype_that_it_was_given(backend, dtype, data):
    """float32 stays float32 in everything, and so do the other three: all results of all methods."""
    case = data.draw(cases(dtypes=(dtype,)))
    n, a = arrays_of(case, backend, lambda b, x: b.from_host(x))
    machine = case.machine(backend, n)
    state = machine.solve(a["y0"], a["z0"])
    extra = {"slope": machine.slope(state), "tangent": machine.tangent(state).weight,
             "dual": machine.dual(state).weight, "projected": machine.project(a["dweight"])}  # fmt: skip
    for name, array in {**run(case, machine, a), **extra, **machine.parameters()}.items():
        if array is not None:
            assert dtype_name(array) == dtype, f"{name} is {dtype_name(array)}, not {dtype}; {case!r}"
    assert str(machine.dtype).rpartition(".")[2] == dtype


@given(case=cases(dtypes=("float32", "float64")), where=st.sampled_from(["y0", "z0", "weight", "bias", "slope"]))
def test_the_result_is_complex_iff_anything_is(backend, case, where):
    """Complex in one place makes solution and cotangents complex, and changes no real part."""
    case = case.with_(widths=(case.channels, case.channels, case.channels, case.channels))
    if (where == "bias" and not case.bias) or (where == "slope" and not case.linear):
        where = "y0"
    n = case.numbers()
    real = case.machine(backend, n)
    move, wide = backend.from_host, COMPLEX[case.dtype]
    z = move(n.z0)
    plain = real.solve(move(n.y0), z)
    setattr(n, where, getattr(n, where).astype(wide))
    machine = case.machine(backend, n)
    state = machine.solve(move(n.y0), move(n.z0))
    cotangent = machine.pullback(state, move(n.seed_z), y=move(n.seed_y))
    results = {"y": state.y, "z": state.z, "weight": cotangent.weight}
    if not (case.linear and where in ("y0", "z0", "bias")):  # the dual of a linear machine does not see the state
        results.update(y0=cotangent.y0, z0=cotangent.z0)
    for name, array in results.items():
        assert dtype_name(array) == wide, (name, where, case)
    got, want = to_host(state.z), to_host(plain.z)
    assert_close("real part", got.real, want, tolerance(case.dtype, 1 + 10 * np.abs(want)), where, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrong", ["precision", "integer", "bool", "list", "scalar"])
def test_other_numbers_are_refused_everywhere(backend, dtype, wrong):
    """TypeError naming the argument and both kinds, from every method and for every argument."""
    move = backend.from_host
    machine = mk.DenseMachine((1, 2), mk.Diagonal(move(np.ones(3, dtype))), weight=move(np.ones((3, 3), dtype)),
                              bias=move(np.zeros(3, dtype)))  # fmt: skip
    good = move(np.ones((2, 3), dtype))
    state = machine.solve(good)
    kinds = {"precision": OTHER[dtype], "integer": "int64", "bool": "bool"}

    def bad(shape):
        if wrong in kinds:
            return move(np.ones(shape, kinds[wrong]))
        return np.ones(shape).tolist() if wrong == "list" else 1.0

    words = {"precision": (dtype, OTHER[dtype]), "integer": ("int64", "float64"), "bool": ("bool", "float64"),
             "list": ("list", "array"), "scalar": ("float", "array")}[wrong]  # fmt: skip
    s, w, b = (2, 3), (3, 3), (3,)
    calls = {
        "y0": [lambda: machine.solve(bad(s)), lambda: machine.pushforward(state, bad(s)), lambda: machine(bad(s))],
        "z0": [lambda: machine.solve(good, bad(s)), lambda: machine.residual(state, good, bad(s))],
        "y": [lambda: machine.apply(bad(s), good), lambda: machine.pullback(state, y=bad(s))],
        "z": [lambda: machine.apply(good, bad(s)), lambda: machine.pullback(state, bad(s))],
        "weight": [lambda: machine.replace(weight=bad(w)), lambda: machine.pushforward(state, weight=bad(w))],
        "bias": [lambda: machine.replace(bias=bad(b)), lambda: machine.pushforward(state, bias=bad(b)),
                 lambda: mk.DenseMachine((1, 2), weight=machine.weight, bias=bad(b))],
        "slope": [lambda: machine.replace(slope=bad(b)), lambda: machine.pushforward(state, slope=bad(b))],
        "Diagonal": [lambda: mk.DenseMachine((1, 2), mk.Diagonal(bad(b)), weight=machine.weight)],
    }  # fmt: skip
    if wrong not in ("list", "scalar"):
        calls["state"] = [
            lambda: machine.dual(mk.State(bad(s), bad(s))),
            lambda: machine.tangent(mk.State(good, bad(s))),
        ]
    for name, group in calls.items():
        for call in group:
            with pytest.raises(TypeError) as caught:
                call()
            for word in (name, *words):
                assert word in str(caught.value), (name, word, str(caught.value))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_replace_goes_from_real_to_complex_and_changes_no_precision(backend, dtype):
    """What the complex step needs, and nothing that would change the rounding."""
    move, wide = backend.from_host, COMPLEX[dtype]
    machine = mk.DenseMachine((1, 2), weight=move(np.ones((3, 3), dtype)), bias=True)
    assert str(machine.dtype).endswith(dtype)
    for change in ({"weight": np.ones((3, 3), wide)}, {"bias": np.ones(3, wide)}):
        moved = {name: move(a) for name, a in change.items()}
        other = machine.replace(**moved)
        assert str(other.dtype).endswith(wide), change
        assert dtype_name(other(move(np.ones(3, dtype)))) == wide
    with pytest.raises(TypeError, match="single"):
        machine.replace(weight=move(np.ones((3, 3), OTHER[dtype])))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_argument_decides_and_must_agree(backend, spec, dtype):
    """dtype=None is that of the given arrays, else float64; a given weight of another dtype is a TypeError."""
    assert dtype_name(mk.DenseMachine((1, 2), rng=0, backend=spec).weight) == "float64"
    machine = mk.DenseMachine((1, 2), rng=0, dtype=dtype, backend=spec, bias=True)
    assert dtype_name(machine.weight) == dtype_name(machine.bias) == dtype
    weight = backend.from_host(np.ones((3, 3), dtype))
    assert dtype_name(mk.DenseMachine((1, 2), weight=weight).weight) == dtype
    assert dtype_name(mk.DenseMachine((1, 2), weight=weight, dtype=np.dtype(dtype)).weight) == dtype
    with pytest.raises(TypeError, match=OTHER[dtype]):
        mk.DenseMachine((1, 2), weight=weight, dtype=OTHER[dtype])
    single = mk.DenseMachine((1, 2), mk.Diagonal(backend.from_host(np.ones(3, dtype))), rng=0)
    assert dtype_name(single.weight) == REAL[dtype]
    for wrong in ("int64", "float16", np.int32, "flaot32", object):
        with pytest.raises(TypeError, match=r"dtype=.*(did you mean|choose from).*float"):
            mk.DenseMachine((1, 2), dtype=wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_seed_gives_the_same_weights_for_every_dtype(backend, spec, dtype):
    """Drawn in float64 on the host in C order, N(0, 1 / live fan-in), then projected, cast and moved."""
    want = mk.RecurrentMachine((2, 3), memory=2, rng=5)
    got = mk.RecurrentMachine((2, 3), memory=2, rng=5, dtype=dtype, backend=spec)
    assert np.array_equal(to_host(got.weight), want.weight.astype(dtype))
    kernel = np.random.default_rng(5).standard_normal((3, 5, 5))
    kernel = np.where(want.live, kernel / np.sqrt(np.maximum(want.live.sum(axis=(0, 1)), 1)), 0.0)
    assert np.array_equal(want.weight, kernel)
    generator = np.random.default_rng(5)
    assert np.array_equal(mk.RecurrentMachine((2, 3), memory=2, rng=generator).weight, want.weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_astype_casts_all_parts_and_refuses_to_lose_imaginary_ones(backend, dtype):
    """weight, bias and slope go together; complex → real is a TypeError."""
    one = backend.from_host(np.ones(3))
    machine = mk.DenseMachine((1, 2), mk.Diagonal(one), bias=one, rng=0).astype(dtype)
    assert {dtype_name(a) for a in (machine.weight, machine.bias, machine.slope_array)} == {dtype}
    if dtype.startswith("complex"):
        with pytest.raises(TypeError, match="imaginary"):
            machine.astype("float64")
    with pytest.raises(TypeError, match="did you mean"):
        machine.astype("floot32")
