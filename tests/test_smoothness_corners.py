"""The corners of a box of slopes: enumerated, searched, and bounded by any multipliers."""

import numpy as np
from hypothesis import given

from machinekit.smoothness.multipliers import Sector
from machinekit.smoothness.resolvent import resolvent_bound
from machinekit.smoothness.system_reading import read_system
from machinekit.smoothness.vertices import climb, vertex_search

from .resolvents import UP, boxes, drawn, largest


@given(boxes())
def test_any_multipliers_certify_and_the_ones_found_are_the_best(box):
    sizes, weight, least, most = box
    system = read_system(weight, sizes, (least, most))
    sector = Sector.of(system)
    truth, found = (
        largest(weight, least, most),
        resolvent_bound(weight, sizes, slopes=(least, most), method="multipliers"),
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        tried = sector.bound(np.exp(3.0 * rng.normal(size=len(sector.hidden)))) if len(sector.hidden) else truth**2
        assert tried >= truth**2 / UP
        assert tried >= found**2 / (1 + 1e-7)


def test_a_search_finds_what_enumeration_does_on_small_machines():
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weight = drawn(rng, (2, 3, 3))
        exact, found = resolvent_bound(weight, (2, 3, 3), method="exact"), vertex_search(weight, (2, 3, 3), rng=seed)
        assert found <= exact * UP
        hits += found >= exact / UP
    assert hits >= 15


def test_enumeration_finds_what_a_single_climb_misses():
    """Here the climb from the steepest slopes ends at corners that are not the best, 4 and 28 percent below."""
    rng = np.random.default_rng(14)
    signed = (2, 3, 3), 2.0 * drawn(rng, (2, 3, 3)), -rng.exponential(size=8), rng.exponential(size=8)
    plain = (2, 3, 3, 2), drawn(np.random.default_rng(42), (2, 3, 3, 2)), np.zeros(10), np.ones(10)
    for sizes, weight, least, most in (plain, signed):
        truth = largest(weight, least, most)
        options = {"slopes": (least, most)}
        system = read_system(weight, sizes, (least, most))
        assert climb(system, system.most) < 0.97 * truth
        assert abs(resolvent_bound(weight, sizes, method="exact", **options) - truth) <= 1e-12 * truth
        assert abs(vertex_search(weight, sizes, rng=0, starts=20, **options) - truth) <= 1e-12 * truth


def test_a_block_that_nothing_reaches_has_bound_zero():
    """Whether the units on the way read nothing that moves, or nobody reads them."""
    for place in ((0, 1), (1, 2)):
        weight = np.zeros((3, 3))
        weight[place] = 2.0
        for method in ("exact", "multipliers", "block-multipliers", "centred", "block"):
            assert resolvent_bound(weight, (1, 1, 1), slopes=(0.5, 1.0), method=method, of=(2, 0)) == 0.0


def test_sixteen_hidden_units_are_enumerated():
    sizes = (2, 8, 8)
    weight = drawn(np.random.default_rng(1), sizes)
    found = {m: resolvent_bound(weight, sizes, method=m) for m in ("exact", "multipliers")}
    assert vertex_search(weight, sizes) / UP <= found["exact"] <= found["multipliers"] * UP
