"""What reads what in the structure of a network: machines between ops, selections, starts, axes that lead."""

import math

import numpy as np
import pytest

import machinekit as mk
from machinekit.smoothness import bounds, objective_smoothness
from machinekit.smoothness.entry import build

LINEAR = mk.DenseMachine((1, 1), "identity", bias=True, rng=0)
HOW = {"radius": 1.0, "input_bound": 1.0}


def parents(builder, name):
    """Return what the layers into a block read, map by map."""
    target = builder.names.index(name)
    return [
        tuple(builder.names[j] for j in t.parents) for la in builder.layers if la.target == target for t in la.terms
    ]


def test_a_machine_behind_a_machine_reads_the_blocks_that_its_channels_are():
    wide = mk.DenseMachine((2, 1), "tanh", rng=0)
    builder, _ = build(mk.Chain([LINEAR, wide]), *HOW.values(), shape=(1,))
    assert parents(builder, "0.0") == [(), ("input",)]
    assert parents(builder, "0.1") == [("0.0",)]  # no y0 there: the input has one channel
    assert parents(builder, "1.0") == [("0.0", "0.1")]
    assert parents(builder, "1.1") == [("1.0",)]
    split = mk.DenseMachine((1, 1, 1), "tanh", rng=0)
    builder, _ = build(mk.Chain([LINEAR, split]), *HOW.values(), shape=(1,))
    assert parents(builder, "1.0") == [("0.0",)]
    assert parents(builder, "1.1") == [("1.0",), ("0.1",)]


def test_a_start_of_bound_zero_is_an_input_and_one_that_is_none_is_not():
    how = {"radius": 1.0, "which": "inputs"}
    for name in ("input_bound", "start_bound"):
        assert bounds(LINEAR, **{name: (0.0, None)}, **how).lipschitz == math.sqrt(2)  # the start, and what reads it
        assert bounds(LINEAR, **{name: (None, 0.0)}, **how).lipschitz == 1.0
        assert bounds(LINEAR, **{name: (None, None)}, **how).lipschitz == 0.0


def test_the_second_input_of_a_machine_enters_behind_its_nonlinearity():
    spaces = {"a": 2, "b": 1, "c": 2}
    net = mk.Hypergraph(spaces, [mk.Edge("f", LINEAR, "a b -> c")])
    builder, _ = build(net, *HOW.values())
    assert parents(builder, "f.0") == [(), ("a",), ("b",)]
    assert parents(builder, "f.1") == [("f.0",), ("a",)]
    assert parents(builder, "c") == [("f.0", "f.1")]
    assert [la.pieces != () for la in builder.layers] == [True, True, False, False]


@pytest.mark.parametrize(
    ("kept", "read", "factor"),
    [
        (-1, [("0.1",)], 1.0),
        ((1, 0), [("0.1", "0.0")], 1.0),
        (slice(0, 1), [("0.0",)], 1.0),
        ((-1, -1), [("0.0", "0.1")], math.sqrt(2)),
    ],
)
def test_what_is_selected_of_a_machine_is_what_is_read(kept, read, factor):
    select = mk.Select(kept, sizes=LINEAR.sizes)
    width = select(np.zeros((1, 2))).shape[-1]
    chain = mk.Chain([LINEAR, select, mk.Affine(width, 1, rng=0)])
    builder, _ = build(chain, *HOW.values(), shape=(1,))
    found = builder.layers[-1].terms[0].parents
    names = tuple(builder.names[j] for j in found)
    if factor == 1.0:
        assert [names] == read
    else:  # a layer of its own, which knows that what is named twice is there twice
        assert names == ("1",)
        assert parents(builder, "1") == read
        assert math.prod(p.lipschitz for p in builder.layers[-2].pieces) == factor


def test_a_part_of_a_block_is_read_from_the_block():
    machine = mk.DenseMachine((2, 2), "tanh", rng=0)
    chain = mk.Chain([machine, mk.Select(slice(1, 3)), mk.Affine(2, 1, rng=0)])
    builder, _ = build(chain, *HOW.values(), shape=(2,))
    assert parents(builder, "1") == [("0.0", "0.1")]


def test_axes_that_lead_count_as_samples():
    for op in (LINEAR, mk.Affine(2, 2, rng=0)):
        wide = bounds(mk.Chain([op]), batch=2, shape=(3, 2), of="last", **HOW)
        flat = bounds(mk.Chain([op]), batch=6, shape=(2,), of="last", **HOW)
        assert wide == flat
        one = bounds(mk.Chain([op]), batch=1, shape=(2,), of="last", **HOW)
        assert one.lipschitz < flat.lipschitz


def test_edges_with_several_targets_and_networks_inside():
    inner = mk.Hypergraph(
        {"in": 2, "a": 2, "b": 1},
        [mk.Edge("f", mk.Affine(2, 2, rng=0), "in -> a"), mk.Edge("g", mk.Affine(2, 1, rng=0), "in -> b")],
    )
    net = mk.Hypergraph({"x": 2, "y": 2, "z": 1}, [mk.Edge("e", inner, "x -> y z")])
    builder, outputs = build(net, {"e.f": 1.0, "e.g": 0.5}, 1.0)
    assert builder.shown == ["x", "y", "z"]
    assert outputs == ("y", "z")
    assert parents(builder, "z") == [("e.b",)]
    assert parents(builder, "e.in") == [("x",)]
    assert {t.radius for la in builder.layers for t in la.terms if t.parameter} == {1.0, 0.5}


def test_rows_of_the_table_are_what_is_told_of_each():
    m = mk.DenseMachine((2, 2, 2), "tanh", bias=True, rng=0)
    state = m.solve(np.ones((2, 6)), np.ones((2, 6)))
    for move in (0.1, 3.0):
        how = {"block_radius": move, "bias_radius": move, "input_bound": move, "start_bound": move, "at": state}
        table = bounds(m, **how).table
        for row in table:
            one = bounds(m, of=row.name, **how)
            assert (one.size, one.lipschitz, one.smoothness) == row[1:]


def test_samples_that_are_masked_do_not_count_in_the_mean():
    """Three of four samples count: L_F = Σ x²/3, over all of them."""
    x = np.array([[1.0], [2.0], [2.0], [0.0]])
    line = mk.Affine(1, 1, bias=False, weight=np.array([[0.5]]))
    objective = mk.Objective(line, "squared_error", x, x, mask=np.array([True, True, True, False]))
    np.testing.assert_allclose(objective_smoothness(objective, 1.0), 3.0)


def test_a_loss_of_a_machine_reads_all_its_blocks():
    """The last block has no weights; the one before has w x, so that L_F = x²."""
    machine = mk.DenseMachine((1, 1, 1), "identity", rng=0)
    x = np.array([[3.0]])
    objective = mk.Objective(machine, "squared_error", x, np.zeros((1, 3)))
    np.testing.assert_allclose(objective_smoothness(objective, (0.0, 2.0, 0.0)), 9.0)
