"""The dual and the derivative of a jet, against the complex step of the jet."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from machinekit.arrays import NUMPY, to_host

from .helpers import assert_close, tolerance
from .jets import STEP, curved_cases, moved, run, seeds, settled, weighted
from .test_jets import jet_of, on

PARAMETERS = ("weight", "bias", "slope")


def parameters_of(case, numbers):
    """(value, direction) of what the machine has, by name."""
    given_ = {name: (getattr(numbers, name), getattr(numbers, "d" + name)) for name in PARAMETERS}
    return {name: pair for name, pair in given_.items() if pair[0] is not None}


def at(case, curve, along_y, along_z, changes):
    """The jet, everything moved by i h: first-order arithmetic in complex numbers."""
    machine = case.machine(NUMPY, curve.numbers).replace(**{k: np.asarray(a) for k, a in changes.items()})
    return run(machine, moved(case, curve.y0, along_y), moved(case, curve.z0, along_z))


@given(drawn=curved_cases((1, 2), gain=1), missing=st.booleans())
def test_the_pullback_is_the_gradient_of_the_weighted_jet(backend, drawn, missing):
    """⟨cotangent, direction⟩ = Im Σ ⟨p_k, y_k⟩ + ⟨q_k, z_k⟩ at i h, for each input, direction and parameter; 1e-12."""
    order, case, curve = drawn
    case = settled(case, backend)
    count, numbers = order + 1, curve.numbers
    ps, qs = seeds(case, count), seeds(case, count, 4)
    if missing:
        ps[-1], qs = None, [None] * (count - 1) + qs[-1:]
    machine = case.machine(backend, numbers)
    jet = jet_of(machine, backend, curve)
    got = machine.jet_pullback(jet, on(backend, ps), on(backend, qs))
    nothing = [None] * count
    rng = np.random.default_rng(case.seed)
    checks = {}
    for name, given_ in (("y0", curve.y0), ("z0", curve.z0)):
        for k, array in enumerate(given_):
            cotangent = to_host(getattr(got, name)[k])
            assert cotangent.shape[-1] == (case.channels if array is None else array.shape[-1])
            d = rng.uniform(-1, 1, cotangent.shape)
            along = [d if j == k else None for j in range(count)]
            ends = (along, nothing) if name == "y0" else (nothing, along)
            checks[f"{name}_{k}"] = (cotangent, d, at(case, curve, *ends, {}))
    for name, (value, d) in parameters_of(case, numbers).items():
        changes = {name: value + 1j * STEP * d}
        checks[name] = (to_host(getattr(got, name)), d, at(case, curve, nothing, nothing, changes))
    live = machine.live
    for name, (cotangent, d, (ys, zs)) in checks.items():
        want = (weighted(ys, ps) + weighted(zs, qs)) / STEP
        terms = cotangent * d
        scale = 1 + np.abs(terms).sum() + sum(np.abs(s).sum() for s in (*ps, *qs) if s is not None)
        assert_close(name, np.asarray(terms.sum()), np.imag(want), 1e-12 * scale, case)
    assert not to_host(got.weight)[~live].any(), "a dead weight has a cotangent"
    assert set(got.parameters) == set(machine.parameters())


@given(drawn=curved_cases((1, 2), gain=1), chosen=st.sets(st.sampled_from(PARAMETERS)))
def test_the_pushforward_is_the_derivative_of_the_jet(backend, drawn, chosen):
    """Every array of the jet, everything moved at once; Im/h, to 1e-12; and it is the transpose of the pullback."""
    order, case, curve = drawn
    case = settled(case, backend)
    count = order + 1
    along_y, along_z = seeds(case, count), seeds(case, count, 4)
    pairs = {name: pair for name, pair in parameters_of(case, curve.numbers).items() if name in chosen}
    ys, zs = at(case, curve, along_y, along_z, {n: value + 1j * STEP * d for n, (value, d) in pairs.items()})
    machine = case.machine(backend, curve.numbers)
    jet = jet_of(machine, backend, curve)
    along = {name: backend.from_host(d) for name, (_, d) in pairs.items()}
    got = machine.jet_pushforward(jet, on(backend, along_y), on(backend, along_z), **along)
    for name, found, want in (("y", got.y, ys), ("z", got.z, zs)):
        for k in range(count):
            wanted = want[k].imag / STEP
            assert_close(f"{name}_{k}", found[k], wanted, 1e-12 * (1 + np.abs(wanted).max(initial=0)), case)


@given(drawn=curved_cases((1, 2), gain=1))
def test_the_pullback_is_the_transpose_of_the_pushforward(backend, drawn):
    """⟨p, ẏ⟩ + ⟨q, ż⟩ = Σ ⟨v_k, ẏ0_k⟩ + ⟨u_k, ż0_k⟩ + ⟨W̄, Ẇ⟩ + …, every input over all channels."""
    order, case, curve = drawn
    case = settled(case, backend)
    count, nothing = order + 1, [None] * (order + 1)
    machine = case.machine(backend, curve.numbers)
    y0, z0 = (on(backend, moved(case, a, nothing, 1.0)) for a in (curve.y0, curve.z0))
    jet = machine.jet(y0[0], y0[1:], z0[0], z0[1:])
    along_y, along_z, ps, qs = (seeds(case, count, k) for k in range(3, 7))
    pairs = parameters_of(case, curve.numbers)
    along = {name: backend.from_host(d) for name, (_, d) in pairs.items()}
    push = machine.jet_pushforward(jet, on(backend, along_y), on(backend, along_z), **along)
    back = machine.jet_pullback(jet, on(backend, ps), on(backend, qs))
    left = [(map(to_host, push.y), ps), (map(to_host, push.z), qs)]
    right = [(map(to_host, back.y0), along_y), (map(to_host, back.z0), along_z)]
    sums = [sum(weighted(*pair) for pair in side) for side in (left, right)]
    sums[1] += sum((to_host(getattr(back, name)) * d).sum() for name, (_, d) in pairs.items())
    arrays = [to_host(a) for a in (*push.y, *push.z, *back.y0, *back.z0)]
    scale = (1 + sum(np.abs(a).sum() for a in (*arrays, *(d for _, d in pairs.values())))) ** 2
    assert_close("adjoint identity", np.asarray(sums[0]), np.asarray(sums[1]), tolerance("float64", scale), case)
