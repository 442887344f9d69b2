"""Laws of smoothness bounds: which is smaller, monotone in what, what changes nothing, what is not C¹."""

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinekit.smoothness.blocks import derivatives
from machinekit.smoothness.bounds import Bounds, Row
from machinekit.smoothness.composition import affine, compose, localise
from machinekit.smoothness.evaluate import LEVELS, WHICH, evaluate
from machinekit.smoothness.recursion import by_block, chain, shared
from machinekit.smoothness.structure import BiAffine, Layer, Piece, Structure, Term

from .realised import pieces, structures

RELU = Piece(math.inf, 1.0, math.inf, 0.0, math.inf, name="relu")
ROUNDING = 1 + 1e-12


def triple(bounds):
    return bounds.size, bounds.lipschitz, bounds.smoothness


def at_most(less, more):
    return all(a <= b * ROUNDING for a, b in zip(triple(less), triple(more), strict=True))


def ways(structure):
    """The forms and levels that a structure has."""
    scalar = () if shared(structure) else (("sharp", "scalar"), ("ball", "scalar"))
    return (("sharp", "block"), ("ball", "block"), ("sums", "scalar"), ("sharp", "best"), *scalar)


def with_layers(structure, change):
    """Return the structure with every layer changed."""
    return structure.but(layers=tuple(change(layer) for layer in structure.layers))


def with_radii(structure, change):
    def of_term(term):
        return Term(term.map, term.parents, term.parameter, change(term))

    return with_layers(structure, lambda la: Layer(la.target, tuple(map(of_term, la.terms)), la.pieces, la.name))


@given(structures(), st.sampled_from(WHICH))
def test_sharp_is_at_most_sums_and_ball_at_most_sharp(given_structure, which):
    net, _ = given_structure
    for of in ("all", "last", ("b0", "b1")):
        for level in LEVELS[:2] if shared(net) else LEVELS:
            assert at_most(*(evaluate(net, which, form, level, of) for form in ("ball", "sharp")))
        if not shared(net):
            assert at_most(*(evaluate(net, which, form, "scalar", of) for form in ("sharp", "sums")))
            best = triple(evaluate(net, which, of=of))
            both = [triple(evaluate(net, which, level=level, of=of)) for level in ("block", "scalar")]
            assert best == tuple(map(min, *both))


@given(structures(), st.sampled_from(WHICH), st.floats(1, 3), st.data())
def test_bounds_are_monotone_in_every_radius_and_start(given_structure, which, factor, data):
    net, _ = given_structure
    grown = data.draw(st.sampled_from(sorted({t.parameter for la in net.layers for t in la.terms}, key=str)))
    block = data.draw(st.integers(0, len(net.names) - 1))
    larger = with_radii(net, lambda t: t.radius * factor + 0.1 if t.parameter == grown else t.radius)
    starts = tuple(rho + (factor if i == block else 0.0) for i, rho in enumerate(net.starts))
    for more in (larger, net.but(starts=starts)):
        for form, level in ways(more):
            for of in ("all", "last"):
                assert at_most(evaluate(net, which, form, level, of), evaluate(more, which, form, level, of))


@given(structures(), st.sampled_from(WHICH), st.data())
def test_an_edge_of_radius_zero_changes_nothing(given_structure, which, data):
    net, _ = given_structure
    place = data.draw(st.integers(0, len(net.layers) - 1))
    target = net.layers[place].target
    term = Term(BiAffine(bilinear=1.0, bias=1.0), (data.draw(st.integers(0, target - 1)),), "new", 0.0)

    def into_a_layer(layer):
        more = (term,) if layer is net.layers[place] else ()
        return Layer(layer.target, (*layer.terms, *more), layer.pieces, layer.name)

    alone = net.but(layers=(*net.layers, Layer(target, (term,), pieces("tanh", 2))))
    for other in (with_layers(net, into_a_layer), alone):
        for form, level in ways(net):
            assert triple(evaluate(other, which, form, level)) == triple(evaluate(net, which, form, level))


@given(structures(), st.sampled_from(WHICH), st.data())
def test_relabelling_independent_blocks_changes_nothing(given_structure, which, data):
    """Two neighbours of which neither reads the other change places."""
    net, _ = given_structure
    k = data.draw(st.integers(0, len(net.names) - 2))
    kept = [la for la in net.layers if la.target != k + 1 or all(k not in t.parents for t in la.terms)]
    net = net.but(layers=tuple(kept))
    order = list(range(len(net.names)))
    order[k], order[k + 1] = k + 1, k

    def moved(layer):
        terms = [Term(t.map, tuple(order[j] for j in t.parents), t.parameter, t.radius) for t in layer.terms]
        return Layer(order[layer.target], tuple(terms), layer.pieces, layer.name)

    def turned(given):
        return tuple(given[j] for j in order)

    other = Structure(turned(net.names), turned(net.starts), tuple(map(moved, net.layers)), turned(net.inputs))
    for form, level in ways(net):
        a, b = (evaluate(s, which, form, level) for s in (net, other))
        np.testing.assert_allclose(triple(a), triple(b), rtol=1e-12)
        for row, same in zip(a.table, turned(b.table), strict=True):
            assert row.name == same.name
            np.testing.assert_allclose(row[1:], same[1:], rtol=1e-12)


@given(structures(), st.sampled_from(WHICH), st.data())
def test_what_is_not_smooth_has_size_and_slope_but_no_smoothness(given_structure, which, data):
    net, _ = given_structure
    place = data.draw(st.integers(0, len(net.layers) - 1))
    rough = net.layers[place]
    kinked = with_layers(net, lambda la: Layer(la.target, la.terms, (RELU, *la.pieces)) if la is rough else la)
    for form, level in ways(net):
        bounds, constants = evaluate(kinked, which, form, level), localise(kinked, form)[1][place]
        assert math.isfinite(bounds.size + bounds.lipschitz)
        assert bounds.rough == ("relu",)
        moved = False  # whether what enters the layer depends on the sources
        for term, (of_z, of_v) in zip(rough.terms, constants.terms, strict=True):
            moved |= of_z > 0 and any(bounds.table[j].lipschitz > 0 for j in term.parents)
            moved |= of_v > 0 and term.varies and which != "inputs"
        assert math.isinf(bounds.table[rough.target].smoothness) == moved
        assert math.isinf(bounds.smoothness) == moved


@given(structures(), st.sampled_from(WHICH), st.data())
def test_infinity_times_zero_is_zero(given_structure, which, data):
    """Infinite radii and starts, rough pieces and constants in any mixture give no NaN."""
    net, _ = given_structure
    infinite = st.sampled_from([0.0, 1.0, math.inf])
    flat = Piece(1.0, 0.0, 0.0, 1.0, 0.0, name="constant")
    net = net.but(starts=tuple(data.draw(infinite) for _ in net.starts))
    net = with_radii(net, lambda t: data.draw(infinite))
    more = st.lists(st.sampled_from([RELU, flat, *pieces("square", 1), *pieces("tanh", 1)]), max_size=3)
    net = with_layers(net, lambda la: Layer(la.target, la.terms, (*la.pieces, *data.draw(more))))
    for form, level in ways(net):
        bounds = evaluate(net, which, form, level)
        assert not any(math.isnan(n) for n in (*triple(bounds), *(n for row in bounds.table for n in row[1:])))


def test_a_constant_after_a_kink_is_smooth():
    flat = Piece(1.0, 0.0, 0.0, 1.0, 0.0)
    assert compose([RELU, flat], math.inf) == (1.0, 0.0, 0.0, ())
    assert compose([RELU], 2.0) == (2.0, 1.0, math.inf, ())


def test_pieces_compose_by_the_chain_rule():
    """L of a_2 ∘ a_1 is l̃_2 L_1 + L_2 l̃_1², and with "ball" that of the pieces on balls, if it is the smaller."""
    double, (sin,) = Piece(lipschitz=2.0, slope=2.0), pieces("sin", 1)
    assert compose([double, sin, double], 1.0) == (2.0, 4.0, 8.0, ())
    assert compose([double, sin], 0.25, "ball")[:3] == (0.5, 2.0, 4 * math.sin(0.5))
    assert compose(pieces("square", 1), 0.5) == (0.5, 1.0, 2.0, ())
    worse = Piece(lipschitz=2.0, smoothness=1.0, slope=2.0, ball=lambda mu: (3.0, 1.0 / (mu < math.inf)))
    assert compose([worse], 1.0, "ball") == compose([worse], 1.0) == (2.0, 2.0, 1.0, ())
    assert compose([worse], math.inf, "ball") == (math.inf, 2.0, 1.0, ())


def test_bounds_beyond_the_largest_float_are_infinite():
    weight = BiAffine(bilinear=1e200)
    layers = [Layer(k + 1, (Term(weight, (k,), k, 1.0),), pieces("softplus", 1)) for k in range(3)]
    net = Structure(("a", "b", "c", "d"), (1.0, 0.0, 0.0, 0.0), tuple(layers))
    for form, level in ways(net):
        assert triple(evaluate(net, "joint", form, level)) == (math.inf,) * 3
    twice = Layer(1, (Term(BiAffine(linear=1.5e308), (0,)),) * 2)
    for form, level in ways(net):
        assert triple(evaluate(Structure(("a", "b"), (1.0, 0.0), (twice,)), "joint", form, level)) == (
            math.inf,
            math.inf,
            0,
        )


def test_a_map_whose_weight_and_bias_overlap_is_no_smaller():
    for b in (BiAffine(3.0, 4.0, 1.0, 2.0), BiAffine(3.0, 4.0, 1.0, 2.0, disjoint=False)):
        assert affine(b, 1.0, 2.0) == (7.0, 5.0 if b.disjoint else 7.0, (10.0 if b.disjoint else 14.0) + 3.0)
        assert affine(b, 1.0, 2.0, "sums") == (7.0, 7.0, 17.0)


def line():
    layers = [Layer(k + 1, (Term(BiAffine(bilinear=1.0), (k,), k, 2.0),), pieces("tanh", 2)) for k in range(2)]
    return Structure(("a", "b", "c"), (1.0, 0.0, 0.0), tuple(layers))


def test_shared_parameters_have_the_block_level_and_the_sums():
    tied = with_layers(
        line(), lambda la: Layer(la.target, (Term(la.terms[0].map, la.terms[0].parents, "w", 2.0),), la.pieces)
    )
    assert (shared(tied), shared(line())) == ((("b", "c"),), ())
    with pytest.raises(ValueError, match=r"blocks 'b' and 'c' share a parameter.*level=\"block\""):
        evaluate(tied, level="scalar")
    assert evaluate(tied).level == "block"
    assert evaluate(tied, form="sums").level == "scalar"
    assert evaluate(tied, "parameters").lipschitz > evaluate(line(), "parameters").lipschitz
    with pytest.raises(ValueError, match="share"):
        by_block(tied, localise(tied)[1])


def test_the_blocks_that_are_shown_are_the_answer():
    net = line()
    some = evaluate(net, shown=("b", "c"))
    assert [row.name for row in some.table] == ["b", "c"]
    assert triple(some) == triple(evaluate(net, of=("b", "c")))
    assert triple(evaluate(net, of="last", shown=("a", "b"))) == triple(evaluate(net, of="b")) == some.table[0][1:]
    assert derivatives(net, localise(net)[1]).of("inputs").first.shape == (3, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"which": "weights"}, "which is 'weights'; choose from inputs"),
        ({"form": "published"}, "form is 'published'; choose from sharp"),
        ({"level": "matrix"}, "level is 'matrix'"),
        ({"form": "sums", "level": "block"}, "no block level; choose"),
        ({"of": "z"}, "of is 'z'.*a, b, c"),
        ({"of": ()}, "of names no block"),
        ({"shown": ("z",)}, "shown has 'z'"),
        ({"shown": ()}, "no block is shown"),
    ],
)
def test_options_are_read_before_any_work(options, words):
    with pytest.raises(ValueError, match=words):
        evaluate(line(), **options)


def test_structures_out_of_order_are_refused():
    with pytest.raises(ValueError, match="reads block 1 of 3"):
        evaluate(line().but(layers=(Layer(1, (Term(BiAffine(linear=1.0), (1,)),)),)))
    with pytest.raises(ValueError, match="3 names, 1 starts"):
        evaluate(line().but(starts=(1.0,)))


@pytest.mark.parametrize(
    ("given_numbers", "words"),
    [(([1], [1, 2]), "lipschitz has 1 numbers but smoothness 2"), (([-1], [0]), r"lipschitz\[0\] is -1"),
     (([1], [math.nan]), r"smoothness\[0\] is nan"), (([1], [1], "sums"), "form is 'sums'")],
)  # fmt: skip
def test_chains_are_read_before_any_work(given_numbers, words):
    with pytest.raises(ValueError, match=words):
        chain(*given_numbers)


def test_large_bounds_are_shown_by_their_logarithms():
    rows = Row("first", 0.0, 10.0, 1e6), Row("x", 1.0, 100.0, math.inf)
    found = str(Bounds(1.0, 100.0, math.inf, rows, rough=("relu", "max pooling"))).splitlines()
    assert found[0].split() == ["log10", "size", "log10", "lipschitz", "log10", "smoothness"]
    assert [line.split() for line in found[1:4]] == [
        ["first", "-inf", "1.0000", "6.0000"], ["x", "0.0000", "2.0000", "inf"], ["all", "0.0000", "2.0000", "inf"]
    ]  # fmt: skip
    assert len({len(line) for line in found[:4]}) == 1
    assert found[4:] == ["joint, sharp form, best level", "not C¹: relu, max pooling"]


def test_the_figure_has_a_curve_per_bound_and_leaves_out_what_is_infinite(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    found = evaluate(with_layers(line(), lambda la: Layer(la.target, la.terms, (RELU,))))
    figure = found.figure(tmp_path / "bounds.png")
    assert (tmp_path / "bounds.png").stat().st_size > 1000
    curves = figure.axes[0].get_lines()
    np.testing.assert_allclose(curves[1].get_ydata(), [math.log10(r.lipschitz) for r in found.table])
    assert np.isnan(curves[2].get_ydata()).all()
    assert curves[2].get_label() == "smoothness, infinite in 2"
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="table is empty"):
        Bounds(1.0, 1.0, 1.0).figure()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"machinekit\[plot\]"):
        found.figure()
