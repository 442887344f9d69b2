"""The bounds hold: of random structures, values and derivatives at random points of the set stay below them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.smoothness.composition import compose
from machinekit.smoothness.evaluate import WHICH, evaluate
from machinekit.smoothness.recursion import shared
from machinekit.smoothness.structure import BiAffine, Layer, Structure, Term

from .realised import FUNCTIONS, Realised, pieces, structures
from .strategies import seeds

STEP = 1e-20


def _below(what, found, bounds, *context):
    wanted = bounds.size, bounds.lipschitz, bounds.smoothness
    for name, got, most in zip(("size", "lipschitz", "smoothness"), found, wanted, strict=True):
        assert got <= most * (1 + 1e-9) + 1e-12, (what, name, got, most, *context)


@given(structures(), seeds())
def test_explicit_derivatives_are_those_of_the_complex_step(given_structure, seed):
    net = Realised(*given_structure, np.random.default_rng(seed))
    p = net.draw()
    values = net.solve(p)
    for k in range(net.count):
        moved = net.solve(p + 1j * STEP * np.eye(net.count)[k])
        for (x, jac, hes), (xs, jacs, _) in zip(values, moved, strict=True):
            np.testing.assert_allclose(xs.imag / STEP, jac[:, k], atol=1e-12)
            np.testing.assert_allclose(jacs.imag / STEP, hes[:, :, k], atol=1e-11)
            assert x.shape == (len(jac),)


@given(structures(), seeds(), st.sampled_from(WHICH), st.sampled_from(["all", "last"]))
def test_bounds_dominate_what_is_sampled(given_structure, seed, which, of):
    structure, dims = given_structure
    net = Realised(structure, dims, np.random.default_rng(seed))
    blocks = range(len(dims)) if of == "all" else [len(dims) - 1]
    points = [net.draw(aligned=True), *(net.draw() for _ in range(3))]
    found = [net.measure(p, which, blocks) for p in points]
    levels = [("sharp", "block"), ("ball", "block"), ("sums", "scalar"), ("sharp", "best")]
    levels += [] if shared(structure) else [("sharp", "scalar"), ("ball", "scalar")]
    for form, level in levels:
        bounds = evaluate(structure, which, form, level, of)
        for numbers in found:
            _below(f"{which} {of}", numbers, bounds, form, level, structure)


@given(st.lists(st.sampled_from(sorted(FUNCTIONS)), max_size=3), st.sampled_from([0.0, 0.3, 1.1]))
def test_compositions_of_pieces_dominate_what_is_sampled(names, radius):
    t = np.linspace(-radius, radius, 41)
    y, first, second = t, np.ones(41), np.zeros(41)
    for name in names:
        f, slope, curve = FUNCTIONS[name]
        y, first, second = f(y), slope(y) * first, curve(y) * first**2 + slope(y) * second
    for form in ("sharp", "ball"):
        found = compose([p for name in names for p in pieces(name, 1)], radius, form)
        for got, most in zip((y, first, second), found[:3], strict=True):
            assert abs(got).max() <= most * (1 + 1e-9), (names, radius, form)


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_linear_chains_attain_their_bounds(layers):
    """√k and k − 1, by weights of rank one that are aligned."""
    weight = BiAffine(bilinear=1.0)
    chain = Structure(
        tuple(f"b{k}" for k in range(layers + 1)),
        (1.0,) + (0.0,) * layers,
        tuple(Layer(k + 1, (Term(weight, (k,), k, 1.0),)) for k in range(layers)),
    )
    net = Realised(chain, [2] * (layers + 1), np.random.default_rng(0))
    attained = net.measure(net.draw(aligned=True), "parameters", [layers])
    np.testing.assert_allclose(attained, (1.0, layers**0.5, layers - 1.0), rtol=1e-12, atol=1e-12)
    for level in ("block", "scalar"):
        found = evaluate(chain, "parameters", level=level, of="last")
        np.testing.assert_allclose((found.size, found.lipschitz, found.smoothness), attained, atol=1e-12)


def test_linear_machines_with_shortcuts_attain_their_bounds():
    """P10, machine C, one block: m, l and L of the block level."""
    layers = []
    for i in range(1, 4):
        terms = [Term(BiAffine(bilinear=1.0), (j,), (i, j), 0.7) for j in range(i)]
        layers.append(Layer(i, (*terms, Term(BiAffine(bias=1.0), (), ("c", i), 0.5))))
    machine = Structure(("a", "b", "c", "d"), (1.0, 0.2, 0.2, 0.2), tuple(layers))
    net = Realised(machine, [2] * 4, np.random.default_rng(0))
    found = evaluate(machine, level="block", of="last")
    attained = net.measure(net.draw(aligned=True), "joint", [3])
    np.testing.assert_allclose((found.size, found.lipschitz, found.smoothness), attained, rtol=1e-9)
    np.testing.assert_allclose(attained, (4.046, 4.625540941, 3.971216189), rtol=1e-9)
    whole = evaluate(machine, level="block")
    found = net.measure(net.draw(aligned=True), "joint", range(4))
    np.testing.assert_allclose((whole.size, whole.lipschitz), found[:2], rtol=1e-9)
    assert found[2] <= whole.smoothness <= 1.05 * found[2]
