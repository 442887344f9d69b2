"""Wrong variants, each differing from the right code by one named change, are noticed by those who must notice."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest

import machinekit as mk
from machinekit import theory
from machinekit.arrays import to_host
from machinekit.verification import ENTRIES, MUTANTS, PROPERTIES, Lab, attack, entries_used, run
from machinekit.verification.mutants import gather

CASES = 60
"""Some mistakes show on few machines: a schedule, on those that look back further than one time block."""
PRINTED = {  # every printed mistake with a numeric effect, and those that are easily made
    "derivative-at-input", "unmasked-backward", "dual-without-v0", "q-mask-transposed", "y-for-z",
    "projections-on-kernel", "causal-lags-only", "lift-off-by-one", "fg-plus-h", "jacobian-only-depth",
    "scalar-independence", "depth-per-edge", "gradient-by-jacobian",
}  # fmt: skip
MADE = {
    "longer-time-blocks", "slope-from-difference", "input-inside-a-block", "swapped-paddings", "sum-order-reversed",
    "flag-not-reversed", "means-for-sums",
}  # fmt: skip


def seeds(spec):
    return (0, 1) if spec == "numpy" else (0,)


PAIRS = [(m, killer) for m, mutant in MUTANTS.items() for killer in mutant.killers]


@pytest.mark.parametrize(("name", "killer"), PAIRS)
def test_is_noticed_by(name, killer, spec):
    """By a law that is broken, with both numbers, and not by an error; at seeds at which the right code passes."""
    right, p = Lab.on(spec), PROPERTIES[killer]
    if not p.serves(right):
        pytest.skip("on the host only")
    for seed in seeds(spec):
        outcome = run(p, MUTANTS[name].make(right), CASES, seed, shrink=False)
        assert outcome.failure, f"{killer} has not noticed: {MUTANTS[name].change}"
        assert re.match(r"  BROKEN .+: error .+, allowed .+\n +left .+, right .+", outcome.failure), outcome.failure


@pytest.mark.parametrize("killer", sorted({killer for _, killer in PAIRS}))
def test_the_right_code_passes_what_kills(killer, spec):
    for seed in seeds(spec):
        outcome = run(PROPERTIES[killer], Lab.on(spec), CASES, seed)
        assert outcome.ok, outcome.failure


@pytest.mark.parametrize("name", MUTANTS)
def test_one_entry_is_wrong_and_no_other(name, spec):
    right, mutant = Lab.on(spec, "float32"), MUTANTS[name]
    wrong = mutant.make(right)
    assert [f.name for f in fields(Lab) if getattr(wrong, f.name) != getattr(right, f.name)] == ["name", mutant.entry]
    assert (wrong.name, wrong.dtype, wrong.backend) == (name, "float32", right.backend)
    assert set(mutant.killers) <= set(PROPERTIES)
    assert mutant.change.endswith(".")
    assert mutant.source


def test_every_mistake_has_its_mutant_and_every_entry_can_be_wrong():
    assert sorted((PRINTED | MADE) - set(MUTANTS)) == []
    assert {m.entry for m in MUTANTS.values()} == set(ENTRIES)


@pytest.mark.parametrize("id", ["theorem-3-inputs", "live-weights", "theorem-2-ordered"])
def test_what_a_property_uses_is_seen(id):
    outcome, used = entries_used(PROPERTIES[id], Lab(), 3)
    assert outcome.ok
    expected = {"theorem-3-inputs": {"solve", "pullback"}, "live-weights": {"live"},
                "theorem-2-ordered": {"resolvent_of_sum"}}  # fmt: skip
    assert used == expected[id]


@pytest.mark.parametrize(("dtype", "verdict"), [("float64", "killed"), ("float32", "skipped")])
def test_a_mutant_survives_unless_somebody_notices(dtype, verdict):
    """Without its killers it survives; where none of them is meaningful, nothing is claimed."""
    lab, mutant = Lab(dtype=dtype), MUTANTS["scalar-independence"]
    using = {id: PROPERTIES[id] for id in ("definition-4", *mutant.killers)}
    trial = attack(mutant, lab, using, 10)
    assert trial.verdict == verdict
    assert trial.unnoticed_by == ("definition-4",)
    blind = MUTANTS["dual-without-v0"]
    using = {"equation-13": PROPERTIES["equation-13"]}
    assert attack(blind, lab, using, 5).killed_by == ("equation-13",)
    right = type(blind)(blind.id, blind.source, blind.change, "dual", Lab().dual, blind.killers)
    assert attack(right, lab, using, 5).verdict == "survived"


def test_the_unmasked_matrix_is_invisible_without_a_seed_on_y(spec):
    """Algorithm 1 backward, line 3: with v0 = 0 nothing but the triangle above the diagonal meets a number."""
    lab = Lab.on(spec)
    m = mk.DenseMachine((2, 1, 2), "tanh", weight=lab.array(np.tri(5).T / 5))
    state = m.solve(lab.array(np.ones((3, 5))))
    wrong, seed = MUTANTS["unmasked-backward"].make(lab), lab.array(np.ones((3, 5)))
    for v0, same in ((None, True), (seed, False)):
        pairs = zip(wrong.dual(m, state, seed, v0), lab.dual(m, state, seed, v0), strict=True)
        assert all(np.allclose(to_host(a), to_host(b), atol=1e-12) for a, b in pairs) is same


def test_mutants_agree_with_the_right_code_where_the_change_makes_no_difference(spec):
    """A mutant that differed by more than its change would prove nothing: batch 1, no grid, no constants, …"""
    lab = Lab.on(spec)
    m = mk.DenseMachine((2, 1, 2), "identity", weight=lab.array(np.arange(25.0).reshape(5, 5) / 25))
    y0, seed = lab.array(np.linspace(-1, 1, 5)[None]), lab.array(np.linspace(1, 2, 5)[None])
    state = m.solve(y0)
    for name in ("longer-time-blocks", "y-for-z-in-the-sweep", "input-inside-a-block"):
        other = MUTANTS[name].make(lab).solve(m, y0)
        assert np.allclose(to_host(other.z), to_host(state.z), atol=1e-14), name
    for name in ("dual-at-input", "swapped-paddings", "lags-not-reversed"):
        u, v = MUTANTS[name].make(lab).dual(m, state, seed, seed)
        right = lab.dual(m, state, seed, seed)
        assert np.allclose(to_host(u), to_host(right[0]), atol=1e-13), name
        assert np.allclose(to_host(v), to_host(right[1]), atol=1e-13), name
    right = to_host(m.pullback(state, seed, y=seed).weight)
    for name in ("y-for-z", "causal-lags-only"):
        assert np.allclose(to_host(MUTANTS[name].make(lab).weight_cotangent(m, state, seed, seed)), right), name
    assert np.allclose(to_host(MUTANTS["means-for-sums"].make(lab).pullback(m, state, seed, seed).weight), right)
    mean = MUTANTS["slope-from-difference"].make(lab)
    assert np.allclose(to_host(mean.slope(m, state)), to_host(m.slope(state)))


def test_mutants_of_the_theory_agree_where_the_change_makes_no_difference():
    f = theory.Endofunction.of_edges({"a": 1, "b": 1}, {"a -> b": np.tanh}, "f")
    x = np.array([0.5, -1.0])
    wrong = {name: m.make(Lab()) for name, m in MUTANTS.items()}
    assert wrong["jacobian-only-depth"].numeric_depth(f) == 1
    assert wrong["depth-per-edge"].structural_depth(f) == 1
    assert wrong["sum-order-reversed"].resolvent_of_sum(f, f, x).tolist() == theory.resolvent_of_sum(f, f, x).tolist()
    assert [h.tolist() for h in wrong["lift-off-by-one"].lifted(f, x)] == [x.tolist(), x.tolist()]
    down, up, still = (theory.Endofunction.linear(np.array(a), {"a": 1, "b": 1})
                       for a in ([[0, 0], [1, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]))  # fmt: skip
    for name in ("scalar-independence", "product-independence"):
        for pair in ((down, up), (up, down), (down, down), (down, still), (still, up)):
            assert wrong[name].independent(*pair) is theory.is_independent(*pair)


def test_two_mutants_of_one_name_are_refused():
    mutant = next(iter(MUTANTS.values()))
    with pytest.raises(ValueError, match="is there twice, or lacks"):
        gather((mutant, mutant))
