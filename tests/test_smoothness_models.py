"""Bounds of real models: known cases to the digits, which blocks and sources a model has, what is refused."""

import itertools
import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.smoothness import bounds
from machinekit.smoothness.activations import activation_piece
from machinekit.smoothness.entry import build
from machinekit.smoothness.evaluate import evaluate
from machinekit.smoothness.of_machine import of_machine
from machinekit.smoothness.structure import BiAffine, Layer, Structure, Term

TANH = mk.Pointwise("tanh")


def close(found, *want):
    got = [found] if isinstance(found, float) else [found.size, found.lipschitz, found.smoothness][-len(want) :]
    np.testing.assert_allclose(got, want, rtol=1e-8)


def dense(*sizes, sigma="tanh", last=None, **options):
    """A chain of full layers."""
    ops = []
    for n, m in itertools.pairwise(sizes):
        ops += [mk.Affine(n, m, rng=0, **options), mk.Pointwise(sigma)]
    return mk.Chain(ops[:-1] if last == "linear" else ops)


def test_three_softplus_layers():
    net = dense(2, 3, 3, 2, sigma="softplus", last="linear")
    how = {"radius": 1.5, "input_bound": 1.0, "batch": 2, "which": "parameters", "of": "last"}
    found = bounds(net, level="scalar", **how)
    close(found, 12.89855057, 11.62560639, 14.9753312)
    assert [row.name for row in found.table] == ["input", "1", "3", "4"]
    np.testing.assert_allclose(
        [row[1:] for row in found.table[1:3]],
        [(4.29593312, 1.732050808, 0.75), (8.481944401, 5.215845222, 8.772449418)],
        rtol=1e-8,
    )
    close(bounds(net, form="sums", **how), 19.81823504, 28.74422343, 71.43806945)


def test_two_tanh_layers():
    how = {"radius": 1.0, "input_bound": 1.0, "which": "parameters", "of": "last"}
    close(bounds(dense(3, 4, 2), level="scalar", **how), 1.414213562, 2.236067977, 6.016504898)
    close(bounds(dense(3, 4, 2), form="sums", **how), 1.414213562, 5, 26.32421041)
    close(bounds(dense(3, 2), **how), math.sqrt(2), math.sqrt(2), 1.539600718)


def test_a_convolution_with_pooling():
    net = mk.Chain([mk.Conv(3, 4, (3, 3), padding=1, rng=0), mk.Pointwise("softplus"), mk.AvgPool((2, 2))])
    how = {"radius": 1.0, "input_bound": 1.0, "batch": 2, "shape": (8, 8, 3), "which": "parameters", "of": "last"}
    close(bounds(net, level="scalar", **how), 13.6944151, 5.852349955, 17.125)
    close(bounds(net, form="sums", **how), 14.9989194, 7.156854249, 25.61028137)
    (layer,) = build(net, 1.0, 1.0, 2, (8, 8, 3))[0].layers
    np.testing.assert_allclose((layer.terms[0].map.bilinear, layer.terms[0].map.bias), (3.0, 11.3137085), rtol=1e-8)


def test_the_bias_of_a_convolution_counts_at_every_position():
    net = mk.Conv(1, 1, (1, 1), padding=0, rng=0)
    assert bounds(net, radius=1, input_bound=0, shape=(5, 5, 1), which="parameters", of="last").lipschitz == 5.0


def shortcuts(dims, sigma):
    return mk.DenseMachine(dims, sigma, bias=True, rng=0)


def test_machine_of_all_shortcuts():
    m = shortcuts((2, 2, 2, 2), "tanh")
    how = {"block_radius": 1, "bias_radius": (0, 0.5, 0.5, 0.5), "start_bound": (1, 0.3, 0.3, 0.3), "level": "block"}
    close(bounds(m, which="inputs", **how), 3.132983309, 5.47512225, 21.5485825)
    close(bounds(m, which="inputs", of="last", **how), 1.714213562, 4.69041576, 21.07853298)
    close(bounds(m, which="parameters", **how), 5.101466926, 24.31007739)
    close(bounds(m, which="parameters", of="last", **how), 4.562409935, 23.51313409)
    close(bounds(m, **how), 7.457575176, 47.62669268)
    close(bounds(m, of="3", **how), 6.543361859, 46.17549273)


def test_machine_that_is_a_chain():
    whole = shortcuts((2, 3, 3, 2), "tanh")
    how = {"bias_radius": (0, 0.5, 0.5, 0.5), "start_bound": (1, 0, 0, 0), "level": "block"}
    for machine, radius in ((whole, np.eye(4, k=1)), (whole.prune(_superdiagonal(whole)), 1.0)):
        close(bounds(machine, block_radius=radius, **how), 2.872281323, 4.618239187, 19.57743798)
        close(bounds(machine, block_radius=radius, of="last", **how), 1.414213562, 3.640054945, 17.76841942)


def _superdiagonal(machine):
    keep = np.zeros(machine.weight.shape, bool)
    blocks = machine.partition.blocks
    for a, b in itertools.pairwise(blocks):
        keep[a, b] = True
    return keep


def test_linear_machine_attains_its_bounds():
    m = shortcuts((2, 2, 2, 2), "identity")
    how = {"block_radius": 0.7, "bias_radius": (0, 0.5, 0.5, 0.5), "start_bound": (1, 0.2, 0.2, 0.2), "of": "last"}
    found = bounds(m, level="block", **how)
    close(found, 4.046, 4.625540941, 3.971216189)
    weight, one = np.zeros((8, 8)), np.array([1.0, 0.0])  # all along one vector
    for j, i in itertools.combinations(range(4), 2):
        weight[2 * j : 2 * j + 2, 2 * i : 2 * i + 2] = 0.7 * np.outer(one, one)
    bias, z0 = np.kron([0, 0.5, 0.5, 0.5], one), np.kron([1, 0.2, 0.2, 0.2], one)
    state = m.replace(weight=weight, bias=bias).solve(np.zeros(8), z0)
    assert abs(np.linalg.norm(state.z[6:]) - found.size) < 1e-12


def test_chain_as_a_machine_is_the_chain():
    net = dense(2, 3, 2)
    m = mk.DenseMachine((2, 3, 2), ["identity", "tanh", "tanh"], bias=True, rng=0)
    m = m.prune(_superdiagonal(m))
    for which in ("inputs", "parameters", "joint"):
        one = bounds(net, radius=0.8, input_bound=1.5, batch=3, which=which)
        two = bounds(m, radius=(0, 0.8, 0.8), input_bound=(1.5, None, None), batch=3, which=which)
        np.testing.assert_allclose([r[1:] for r in one.table], [r[1:] for r in two.table], rtol=1e-12)


def test_tied_weights_of_a_recurrence():
    """W is tied and the constants are not: l 9.11 and L 89.5."""
    tanh = activation_piece("tanh", 2)
    layers = [
        Layer(i, (Term(BiAffine(bilinear=1.0), (i - 1,), "W", 1.0), Term(BiAffine(bias=1.0), (), i, 0.3)), (tanh,))
        for i in range(1, 5)
    ]
    tied = Structure(tuple("abcde"), (1.0, 0.5, 0.5, 0.5, 0.5), tuple(layers))
    by_hand = evaluate(tied, "parameters")
    assert (round(by_hand.lipschitz, 2), round(by_hand.smoothness, 1)) == (9.11, 89.5)
    m = mk.RecurrentMachine((2,), "tanh", memory=1, rng=0)
    s = of_machine(m, block_radius=1.0, start_bound=0.5, grid=(5,))
    found = evaluate(s.but(starts=(1.0, 0.5, 0.5, 0.5, 0.5)), "parameters", level="block")
    same = evaluate(
        tied.but(layers=tuple(la.__class__(la.target, la.terms[:1], la.pieces) for la in layers)), "parameters"
    )
    np.testing.assert_allclose((found.lipschitz, found.smoothness), (same.lipschitz, same.smoothness), rtol=1e-12)
    with pytest.raises(ValueError, match="share a parameter"):
        evaluate(s, level="scalar")


def test_a_scanned_weight_is_one_parameter_and_attains_its_bound():
    """z_3 = w³ z_0, so that the derivative in w is 3 w² z_0."""
    m = mk.RecurrentMachine((1,), "identity", memory=1, rng=0)
    how = {"start_bound": 1.0, "grid": (4,), "which": "parameters", "of": "0"}
    joint, blocks = bounds(m, radius=2.0, **how), bounds(m, block_radius=2.0, **how)
    t, w = np.arange(4), 2.0
    z0_everywhere = np.cumsum(w**t)  # all starts are 1
    slopes = [sum(k * w ** (k - 1) for k in range(n + 1)) for n in t]
    for found in (joint, blocks):
        np.testing.assert_allclose(found.size, np.linalg.norm(z0_everywhere))
        np.testing.assert_allclose(found.lipschitz, np.linalg.norm(slopes))


def test_a_convolution_machine_nearly_attains_its_overlap():
    """A constant filter on a constant signal: every position is read three times."""
    m = mk.ConvMachine((1, 1), "identity", padding=((1, 1),), rng=0)
    n = 400
    found = bounds(m, block_radius=1.0, input_bound=(1.0, None), grid=(n,), which="inputs", of="last")
    np.testing.assert_allclose(found.lipschitz, math.sqrt(3))
    filtered = m.replace(weight=np.where(m.live, 1 / math.sqrt(3), 0.0))
    z = filtered(np.full((n, 1), 1 / math.sqrt(n)))[:, 1]
    assert 0.99 * math.sqrt(3) < np.linalg.norm(z) <= found.size
    state = filtered.solve(np.full((n, 1), 1 / math.sqrt(n)))
    at = bounds(filtered, block_radius=0.0, input_bound=(0.0, None), at=state, which="inputs", of="last")
    assert 0.99 * math.sqrt(3) < at.lipschitz < math.sqrt(3) * (1 + 1e-12)


def test_blocks_of_a_scanning_machine():
    m = mk.RecurrentMachine((1, 2), "tanh", memory=2, bias=True, rng=0)
    found = bounds(m, radius=1.0, input_bound=(1.0, None), grid=(3,))
    assert [row.name for row in found.table] == ["0@0", "1@0", "0@1", "1@1", "0@2", "1@2"]
    sizes = [row.size for row in found.table]
    np.testing.assert_allclose(
        bounds(m, radius=1.0, input_bound=(1, None), grid=(3,), of="1").size, math.hypot(*sizes[1::2])
    )
    np.testing.assert_allclose(found.size, math.hypot(*sizes))


def test_around_a_point_is_smaller_and_never_larger_than_in_the_balls_that_contain_it():
    m = shortcuts((2, 2, 2, 2), "tanh")
    state = m.solve(np.full((3, 8), 0.3), np.full((3, 8), 0.1))
    before = None
    for move in (0.0, 0.01, 0.1, 1.0, 10.0):
        found = bounds(m, block_radius=move, bias_radius=move, input_bound=move, start_bound=move, at=state)
        if before is not None:
            assert before.lipschitz <= found.lipschitz
            assert before.smoothness <= found.smoothness
        before = found
    blocks = m.partition.blocks
    wide = np.array([[np.linalg.norm(np.asarray(m.weight)[a, b]) + 10 for b in blocks] for a in blocks])
    starts = {
        "input_bound": np.hypot(*[0.3] * 2) * math.sqrt(3) + 10,
        "start_bound": np.hypot(0.1, 0.1) * math.sqrt(3) + 10,
    }
    all_of_it = bounds(m, block_radius=wide, bias_radius=10.0, batch=3, **starts)
    assert before.lipschitz <= all_of_it.lipschitz * (1 + 1e-12)


def test_at_radius_zero_the_first_layer_is_exact():
    """One tanh layer at a point: D in the input is diag(σ′) Wᵀ, and spectral norms are met."""
    net, x = dense(3, 2), np.array([[0.2, -0.4, 0.1]])
    weight, y = np.asarray(net.ops[0].weight), net.ops[0](x)
    found = bounds(net, radius=0.0, input_bound=0.0, at=x, which="inputs", of="last")
    np.testing.assert_allclose(found.size, np.linalg.norm(np.tanh(y)))
    np.testing.assert_allclose(found.lipschitz, np.max(1 - np.tanh(y) ** 2) * np.linalg.norm(weight, 2))


def test_start_behind_the_nonlinearity_moves_what_reads_it():
    """With σ the identity and W fixed, a z0 that moves by 1 moves the next block by ‖W‖."""
    m = mk.DenseMachine((1, 1), ["identity", "softplus"], weight=np.array([[0.0, 2.0], [0.0, 0.0]]))
    state = m.solve(np.zeros(2))
    found = bounds(m, block_radius=0.0, start_bound=(1.0, None), at=state, which="inputs", of="last")
    np.testing.assert_allclose(found.lipschitz, 2.0 / (1.0 + math.exp(-2.0)))  # σ′(2), not σ′(0)


def test_the_backend_of_a_point_does_not_matter(backend, spec):
    host = mk.RecurrentMachine((1, 2), "tanh", memory=1, bias=True, rng=0)
    there = mk.RecurrentMachine((1, 2), "tanh", memory=1, bias=True, rng=0, backend=spec)
    y0 = np.linspace(-1, 1, 6).reshape(1, 2, 3)
    how = {"radius": 0.1, "input_bound": 0.1}
    moved = bounds(there, at=there.solve(backend.from_host(y0)), **how)
    close(moved, *(getattr(bounds(host, at=y0, **how), name) for name in ("size", "lipschitz", "smoothness")))
    net, x = mk.Affine(3, 2, rng=0, backend=spec), backend.from_host(y0[0])
    here = bounds(dense(3, 2, last="linear"), at=y0[0], **how)
    close(bounds(mk.Chain([net]), at=x, **how), here.size, here.lipschitz, here.smoothness)


def test_shared_leaves_are_one_parameter():
    twice = mk.Affine(2, 2, rng=0)
    net = mk.Chain([twice, TANH, mk.Chain([twice, TANH])])
    found = bounds(net, radius={"0": 1.0}, input_bound=1.0, which="parameters", of="last")
    apart = bounds(dense(2, 2, 2), radius=1.0, input_bound=1.0, which="parameters", of="last", level="block")
    assert found.lipschitz > apart.lipschitz
    assert found.level == "block"
    builder, _ = build(net, 1.0, 1.0)
    assert len({t.parameter for la in builder.layers for t in la.terms}) == 1


def test_spaces_of_a_hypergraph_are_its_blocks():
    spaces = {"out": 2, "x": 2, "h": 3}
    edges = [
        mk.Edge("f", mk.Chain([mk.Affine(2, 3, rng=0), TANH]), "x -> h"),
        mk.Edge("g", mk.Affine(5, 2, rng=0), "h x -> out"),
        mk.Edge("skip", mk.Add(), "x -> out"),
    ]
    net = mk.Hypergraph(spaces, edges)
    builder, outputs = build(net, {"f.0": 1.0, "g": 0.5}, 1.0)
    assert (builder.shown, outputs) == (["x", "h", "out"], ("out",))
    assert [(la.target, [t.parents for t in la.terms]) for la in builder.layers] == [
        (1, [(0,)]),
        (2, [(0,)]),
        (2, [(1, 0)]),
    ]
    found = bounds(net, radius={"f.0": 1.0, "g": 0.5}, input_bound=1.0, of="last")
    m_h = min(math.sqrt(3), math.sqrt(2))
    np.testing.assert_allclose(found.size, 1 + 0.5 * math.hypot(m_h, 1, 1))
    assert bounds(net, radius=1.0, input_bound={"x": 1.0, "h": 0.5}, of="h").size == math.sqrt(2) + 0.5


def test_machine_inside_a_network_becomes_its_blocks():
    m = shortcuts((2, 3, 1), "tanh")
    net = mk.Chain([m, mk.Select(-1, sizes=m.sizes), mk.Affine(1, 2, rng=0)])
    builder, _ = build(net, {"0": {"block_radius": 1.0, "bias_radius": 0.5}, "2": 1.0}, 1.0, shape=(2,))
    assert builder.shown == ["input", "0.0", "0.1", "0.2", "2"]
    assert builder.layers[-1].terms[0].parents == (3,)
    assert [t.parameter for t in builder.layers[2].terms][:3] == [
        ("0", "weight", 0, 2),
        ("0", "weight", 1, 2),
        ("0", "bias", 2),
    ]


def test_only_shapes_are_read():
    one, two = (mk.Affine(2, 2, weight=w) for w in (np.eye(2), np.full((2, 2), 9.0)))
    assert bounds(one, radius=1, input_bound=1) == bounds(two, radius=1, input_bound=1)


def test_pieces_that_are_not_smooth_are_named():
    net = mk.Chain([mk.Affine(2, 2, rng=0), mk.Pointwise("relu"), mk.Affine(2, 1, rng=0), TANH])
    found = bounds(net, radius=1, input_bound=1)
    assert math.isfinite(found.lipschitz)
    assert (found.smoothness, found.rough) == (math.inf, ("relu",))
