"""The recursions of size, Lipschitz and smoothness bounds: printed cases, laws, and independent loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.smoothness.blocks import derivatives
from machinekit.smoothness.composition import localise
from machinekit.smoothness.evaluate import evaluate
from machinekit.smoothness.recursion import chain
from machinekit.smoothness.structure import BiAffine, Layer, Piece, Structure, Term

from .realised import pieces, structures

WEIGHT, CONSTANT, IDENTITY = BiAffine(bilinear=1.0), BiAffine(bias=1.0), BiAffine(linear=1.0)


def triple(bounds):
    return bounds.size, bounds.lipschitz, bounds.smoothness


def close(got, want, rtol=1e-9):
    np.testing.assert_allclose(got, want, rtol=rtol)


def line(maps, radii, start, acts, vary=False):
    """A chain of layers a(b(v, z)); the input is a source where `vary`."""
    layers = [
        Layer(k + 1, (Term(b, (k,), k, r),), a) for k, (b, r, a) in enumerate(zip(maps, radii, acts, strict=True))
    ]
    fixed = (0.0,) * len(layers)
    names = tuple(f"b{k}" for k in range(len(layers) + 1))
    return Structure(names, (start, *fixed), tuple(layers), (vary, *map(bool, fixed)))


def dense(batch, *acts):
    """Data of dense layers with bias; `acts` are (name, width)."""
    maps = [BiAffine(bilinear=1.0, bias=math.sqrt(batch))] * len(acts)
    return maps, [pieces(name, batch * width) for name, width in acts]


def shortcuts(radius, bias, starts, dims, name, parents=lambda i: range(i)):
    """A machine with one weight per pair of blocks, and a bias in each but the first."""
    layers = []
    for i in range(1, len(dims)):
        terms = [Term(WEIGHT, (j,), (i, j), radius) for j in parents(i)]
        layers.append(Layer(i, (*terms, Term(CONSTANT, (), ("bias", i), bias)), pieces(name, dims[i])))
    names = tuple(f"x{i}" for i in range(len(dims)))
    return Structure(names, starts, tuple(layers), (True,) * len(dims))


@pytest.mark.parametrize(
    ("slopes", "smooth", "form", "want"),
    [
        ((2, 1, 0.5), (1, 0.5, 2), "published", (2, 34.75)),
        ((2, 1), (1, 0.5), "published", (3, 5.5)),
        ((2, 1, 0.5), (1, 0.5, 2), "sharp", (1, 9.5)),
        ((3,), (0.25,), "published", (3, 0.25)),
        ((3,), (0.25,), "sharp", (3, 0.25)),
        ((1,) * 4, (0,) * 4, "published", (4, 0)),
        ((1,) * 4, (0,) * 4, "sharp", (1, 0)),
        ((0, 2), (0, math.inf), "sharp", (2, math.inf)),
        ((math.inf, 0), (math.inf, 0), "published", (0, 0)),
    ],
)
def test_generic_proposition_p1(slopes, smooth, form, want):
    assert chain(slopes, smooth, form) == want


numbers = st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4)), min_size=1, max_size=6)


@given(numbers)
def test_the_sharp_form_of_a_chain_is_never_the_larger(given_numbers):
    slopes, smooth = zip(*given_numbers, strict=True)
    for sharp, published in zip(chain(slopes, smooth), chain(slopes, smooth, "published"), strict=True):
        assert sharp <= published * (1 + 1e-12)


@pytest.mark.parametrize(
    ("radii", "start", "sharp", "sums"),
    [
        ((1, 1), 1, (1, math.sqrt(2), 1), (1, 2, 2)),
        ((1,) * 5, 1, (1, math.sqrt(5), 4), (1, 5, 20)),
        ((2, 3), 0.5, (3, 1.802775638, 0.5), (3, 2.5, 1)),
    ],
)
def test_linear_chains_p2(radii, start, sharp, sums):
    net = line([WEIGHT] * len(radii), radii, start, [()] * len(radii))
    close(triple(evaluate(net, "parameters", level="scalar", of="last")), sharp)
    close(triple(evaluate(net, "parameters", form="sums", of="last")), sums)
    free = net.but(inputs=(True, *net.inputs[1:]))
    for form, level in (("sharp", "block"), ("sharp", "scalar"), ("sums", "scalar")):  # linear in the input
        close(triple(evaluate(free, "inputs", form, level, "last")), (sharp[0], math.prod(radii), 0))


def test_a_linear_chain_is_exact_at_the_block_level_only():
    net = line([WEIGHT] * 4, (2, 0.5, 3, 1), 1.5, [()] * 4)
    block, scalar = (evaluate(net, "parameters", level=level, of="last") for level in ("block", "scalar"))
    assert (round(block.smoothness, 5), round(scalar.smoothness, 2)) == (11.96637, 12.91)
    assert evaluate(net, "parameters", of="last").level == "block"


def test_a_map_of_several_blocks_reads_their_concatenation():
    both = Layer(2, (Term(BiAffine(bilinear=1.0, linear=2.0), (0, 1), "w", 0.5),))
    net = Structure(("a", "b", "c"), (3.0, 4.0, 0.0), (both,))
    bounds = evaluate(net, "parameters", level="block", of="last")
    assert triple(bounds) == (12.5, 5.0, 0.0)
    close(triple(evaluate(net, "joint", level="scalar", of="last"))[1], math.sqrt(2 * 2.5**2 + 25))


def test_where_blocks_are_concatenated_the_scalar_level_may_be_the_smaller():
    """x_1 = w x_0, x_2 = sin x_0, x_3 = (x_1, x_2): S_3 = [[1, 1], [1, 0]] against √2."""
    product, sine = Layer(1, (Term(WEIGHT, (0,), "w", 1.0),)), Layer(2, (Term(IDENTITY, (0,)),), pieces("sin", 1))
    net = Structure(tuple("abcd"), (1.0, 0.0, 0.0, 0.0), (product, sine, Layer(3, (Term(IDENTITY, (1, 2)),))))
    block, scalar, best = (evaluate(net, level=level) for level in ("block", "scalar", "best"))
    close((block.smoothness, scalar.smoothness), (math.sqrt(3 + math.sqrt(2)), 2.0))
    assert block.lipschitz < scalar.lipschitz
    assert triple(best)[1:] == (block.lipschitz, scalar.smoothness)
    assert best.level == "scalar"


def test_a_parameter_may_occur_twice_in_one_block():
    twice = Layer(2, (Term(WEIGHT, (0,), "w", 1.0), Term(WEIGHT, (1,), "w", 1.0)))
    net = Structure(("a", "b", "c"), (3.0, 4.0, 0.0), (twice,))
    for level in ("block", "scalar"):  # w x_0 + w x_1, at x_0 = 3 and x_1 = 4
        close(triple(evaluate(net, "parameters", level=level, of="last")), (7.0, 7.0, 0.0))


def test_a_layer_that_reads_nothing_is_a_source_of_its_own():
    net = Structure(("a", "b"), (1.0, 0.0), (Layer(1, (Term(CONSTANT, (), "c", 3.0),), pieces("sin", 1)),))
    for level in ("block", "scalar"):
        close(triple(evaluate(net, level=level, of="last")), (1.0, 1.0, 1.0))


def test_dense_softplus_p3():
    maps, acts = dense(2, ("softplus", 3), ("softplus", 3), ("identity", 2))
    net = line(maps, [1.5] * 3, 1.0, acts)
    rows = evaluate(net, "parameters", level="scalar").table[1:]
    want = [(4.29593312, 1.732050808, 0.75), (8.481944401, 5.215845222, 8.772449418)]
    close([r[1:] for r in rows], [*want, (12.89855057, 11.62560639, 14.9753312)])
    close(triple(evaluate(net, "parameters", form="sums", of="last")), (19.81823504, 28.74422343, 71.43806945))


def test_dense_tanh_p4():
    maps, acts = dense(1, ("tanh", 4), ("tanh", 2))
    net = line(maps, [1.0] * 2, 1.0, acts)
    sharp = evaluate(net, "parameters", level="scalar", of="last")
    close(triple(sharp), (1.414213562, 2.236067977, 6.016504898))
    close(triple(evaluate(net, "parameters", form="sums", of="last")), (1.414213562, 5, 26.32421041))
    close(sharp.table[1][1:], (math.sqrt(2), math.sqrt(2), 1.539600718))


@pytest.mark.parametrize(
    ("which", "of", "want"),
    [
        ("inputs", "all", (3.132983309, 5.47512225, 21.5485825)),
        ("inputs", "last", (1.714213562, 4.69041576, 21.07853298)),
        ("parameters", "all", (3.132983309, 5.101466926, 24.31007739)),
        ("parameters", "last", (1.714213562, 4.562409935, 23.51313409)),
        ("joint", "all", (3.132983309, 7.457575176, 47.62669268)),
        ("joint", "last", (1.714213562, 6.543361858, 46.17549272)),
    ],
)
def test_all_shortcuts_tanh_p10_a(which, of, want):
    machine = shortcuts(1.0, 0.5, (1, 0.3, 0.3, 0.3), (2,) * 4, "tanh")
    close(triple(evaluate(machine, which, level="block", of=of)), want)
    assert evaluate(machine, which, of=of).level == "block"


def test_chain_tanh_p10_b():
    machine = shortcuts(1.0, 0.5, (1, 0, 0, 0), (2, 3, 3, 2), "tanh", lambda i: [i - 1])
    close(triple(evaluate(machine)), (2.872281323, 4.618239187, 19.57743798))
    close(triple(evaluate(machine, of="last")), (1.414213562, 3.640054945, 17.76841942))


def test_linear_shortcuts_p10_c():
    machine = shortcuts(0.7, 0.5, (1, 0.2, 0.2, 0.2), (2,) * 4, "identity")
    close(triple(evaluate(machine, of="last")), (4.046, 4.625540941, 3.971216189))


one_layer = st.tuples(st.sampled_from(["tanh", "sin", "softplus"]), st.floats(0.1, 3), st.floats(0, 2))


@given(st.lists(one_layer, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_a_chain_as_a_machine_is_the_layered_recursion(layers, disjoint, vary):
    """§2, written out for one layer after the other, l_0 = 1 if the input varies too."""
    maps = [BiAffine(bilinear=2.0, bias=1.5, linear=b, constant=0.25, disjoint=disjoint) for _, _, b in layers]
    acts = [(*pieces(name, 2), Piece(lipschitz=0.6, slope=0.6)) for name, _, _ in layers]
    net = line(maps, [r for _, r, _ in layers], 0.8, acts, vary)
    for form in ("sharp", "sums"):
        m, a, b = 0.8, float(vary), 0.0
        for (_, radius, _), map_, (piece, scale) in zip(layers, maps, acts, strict=True):
            of_z = map_.bilinear * radius + map_.linear
            of_v = map_.bilinear * m + map_.bias
            if form == "sharp" and disjoint:
                of_v = math.sqrt((map_.bilinear * m) ** 2 + map_.bias**2)
            m = of_v * radius + map_.linear * m + map_.constant
            slope, smooth = min(piece.lipschitz, piece.slope + piece.smoothness * m), piece.smoothness
            m = scale.lipschitz * min(piece.size, piece.value + slope * m)
            slope, smooth = scale.lipschitz * slope, scale.lipschitz * smooth
            p = slope * of_z * b + smooth * (of_z * a) ** 2
            q = smooth * of_z * a * of_v + slope * map_.bilinear * a
            r = smooth * of_v**2
            if form == "sums":
                a, b = slope * (of_z * a + of_v), p + 2 * q + r
            else:
                a, b = slope * math.hypot(of_z * a, of_v), (p + r) / 2 + math.sqrt((p - r) ** 2 / 4 + q**2)
        close(triple(evaluate(net, "joint", form, "scalar", "last")), (m, a, b), 1e-12)
    block, scalar = (evaluate(net, "joint", level=level, of="last") for level in ("block", "scalar"))
    close(block.lipschitz, scalar.lipschitz, 1e-12)
    assert block.smoothness <= scalar.smoothness * (1 + 1e-12)


@given(structures())
def test_solving_the_network_of_bounds_is_the_plain_loop(given_structure):
    net, _ = given_structure
    local = localise(net)[1]
    params = list(dict.fromkeys(t.parameter for la in net.layers for t in la.terms if t.varies))
    source = [i for i, v in enumerate(net.inputs) if v] + params
    first, second = {}, {}
    for i in range(len(net.names)):
        first[i], second[i] = np.array([float(s == i) for s in source]), np.zeros((len(source),) * 2)
        for layer, c in zip(net.layers, local, strict=True):
            if layer.target != i:
                continue
            g, h = np.zeros(len(source)), np.zeros((len(source),) * 2)
            for term, (of_z, of_v) in zip(layer.terms, c.terms, strict=True):
                d = np.sqrt(sum((first[j] ** 2 for j in term.parents), np.zeros(len(source))))
                s = np.sqrt(sum((second[j] ** 2 for j in term.parents), np.zeros_like(h)))
                own = np.array([float(term.varies and s == term.parameter) for s in source])
                g += of_z * d + of_v * own
                h += of_z * s + term.map.bilinear * (np.outer(d, own) + np.outer(own, d))
            first[i] = first[i] + c.lipschitz * g
            second[i] = second[i] + c.smoothness * np.outer(g, g) + c.lipschitz * h
    found = derivatives(net, local)
    for i in first:
        np.testing.assert_allclose(found.first[i], first[i], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.second[i], second[i], rtol=1e-12, atol=1e-14)


def test_first_derivatives_are_the_resolvent_of_a_strictly_lower_matrix():
    """D = (1 − Λ)⁻¹ [1, Λ_p] where each map reads one block."""
    machine = shortcuts(1.5, 0.5, (1, 0.3, 0.3, 0.3), (2,) * 4, "softplus")
    sizes, local = localise(machine)
    lower, of_params = np.zeros((4, 4)), np.zeros((4, 9))
    for layer, c, at in zip(machine.layers, local, (0, 2, 5), strict=True):
        for j in range(layer.target):
            lower[layer.target, j] = c.lipschitz * 1.5
            of_params[layer.target, at + j] = c.lipschitz * sizes[j]
        of_params[layer.target, at + layer.target] = c.lipschitz
    want = np.linalg.solve(np.eye(4) - lower, np.concat([np.eye(4), of_params], axis=1))
    np.testing.assert_allclose(derivatives(machine, local).first, want, rtol=1e-12, atol=1e-13)
