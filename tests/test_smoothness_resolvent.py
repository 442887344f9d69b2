"""Bounds of the resolvent (I − D W)⁻¹ at given weights: printed digits, order of the methods, validity, bad input."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.linear import apply
from machinekit.smoothness.resolvent import METHODS, centred_norms, resolvent_bound
from machinekit.smoothness.system import block_norms
from machinekit.smoothness.system_reading import read_system
from machinekit.smoothness.vertices import vertex_search

from .resolvents import UP, boxes, drawn, jacobian, largest


def assembled(sizes, **blocks):
    """Return a weight [in, out] from blocks of W [out, in] named w10, w21, …"""
    ends = np.cumsum((0, *sizes))
    w = np.zeros((ends[-1],) * 2)
    for name, block in blocks.items():
        i, j = int(name[1]), int(name[2])
        w[ends[i] : ends[i + 1], ends[j] : ends[j + 1]] = block
    return np.ascontiguousarray(w.T)


SQUARE = assembled(
    (2, 2, 2), w10=[[1, 2], [0, -1]], w20=[[0, 1], [1, 0]], w21=[[1, -1], [2, 1]]
)  # fmt: skip
SINGLE = assembled((1, 1, 1), w10=2, w20=-3, w21=1)
CHAIN = assembled((2, 2, 2, 2), w10=[[1, 2], [0, -1]], w21=[[1, -1], [2, 1]], w32=[[1, 1], [0, 3]])

PRINTED = [
    ("exact", 6.8565257979, 3.4519675235, 5e-11),
    ("multipliers", 6.856526, 3.4519675235, 5e-7),
    ("block-multipliers", 6.946806, 3.4519675235, 5e-7),
    ("centred", 7.1587302131, 4.0566989307, 5e-11),
    ("block", 7.5426235445, 5.6989041838, 5e-11),
    ("unit", 8.0871718983, 5.6989041838, 5e-11),
    ("product", 7.9358746515, 8.3337868120, 5e-11),
    ("plain", 11.9857091714, 12.4868329805, 5e-11),
]


@pytest.mark.parametrize(("method", "square", "single", "rounded"), PRINTED)
def test_bounds_of_two_small_machines_to_all_printed_digits(method, square, single, rounded):
    assert abs(resolvent_bound(SQUARE, (2, 2, 2), method=method) - square) <= rounded
    assert abs(resolvent_bound(SINGLE, (1, 1, 1), method=method) - single) <= 5e-10


def test_slopes_of_one_leave_the_linear_machine():
    for method in ("exact", "multipliers", "centred"):
        found = resolvent_bound(SQUARE, (2, 2, 2), slopes=(1, 1), method=method)
        assert found == pytest.approx(6.7414127412, abs=5e-11)


def test_a_chain_from_input_to_output_to_all_printed_digits():
    least = np.array([0.0] * 6 + [1.0] * 2)  # a linear output
    options = {"slopes": (least, 1.0), "of": (3, 0)}
    assert resolvent_bound(CHAIN, (2, 2, 2, 2), method="block", **options) == pytest.approx(17.6765699866, abs=5e-11)
    assert resolvent_bound(CHAIN, (2, 2, 2, 2), method="centred", **options) == pytest.approx(15.7465602200, abs=5e-11)


@pytest.mark.parametrize("seed", range(20))
def test_the_centred_bound_of_a_chain_is_that_of_averaged_operators(seed):
    """2^(1−k) times the sum over all cuts of products of norms of the products between cuts: 2^(k−1) terms."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 4, size=rng.integers(3, 7)).tolist())
    weight, k = drawn(rng, sizes, chain=True), len(sizes) - 1
    ends = np.cumsum((0, *sizes))
    layers = [weight.T[ends[i] : ends[i + 1], ends[i - 1] : ends[i]] for i in range(1, k + 1)]
    total = 0.0
    for cuts in itertools.product((False, True), repeat=k - 1):
        pieces, current = [], layers[0]
        for layer, cut in zip(layers[1:], cuts, strict=True):
            if cut:
                pieces.append(current)
            current = layer if cut else layer @ current
        total += math.prod(np.linalg.norm(piece, 2) for piece in (*pieces, current))
    least = np.where(np.arange(ends[-1]) >= ends[-2], 1.0, 0.0)
    found = resolvent_bound(weight, sizes, slopes=(least, 1.0), of=(k, 0))
    assert found == pytest.approx(total / 2 ** (k - 1), rel=1e-12)


def test_the_centred_bound_is_at_most_the_block_bound_entry_by_entry():
    """300 random machines, slopes in [0, 1]."""
    strictly = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        sizes = tuple(rng.integers(0, 4, size=rng.integers(1, 7)).tolist())
        system = read_system(3.0 * rng.random() * drawn(rng, sizes, chain=bool(seed % 3 == 0)), sizes)
        inner, more = centred_norms(system)
        centred = block_norms(inner, sizes) + more
        block = np.linalg.inv(np.eye(len(sizes)) - block_norms(system.matrix, sizes))
        assert (centred <= block * (1 + 1e-12) + 1e-12).all(), (seed, centred, block)
        strictly += bool((centred < 0.99 * block - 1e-6).any())
    assert strictly > 150


@given(boxes())
def test_every_method_holds_at_all_corners_of_any_box(box):
    """And exact is the largest of them; all of the resolvent, and each of its blocks."""
    sizes, weight, least, most = box
    truth = largest(weight, least, most)
    found = {m: resolvent_bound(weight, sizes, slopes=(least, most), method=m) for m in METHODS}
    assert found["exact"] == pytest.approx(truth, rel=1e-10)
    assert all(value * UP >= truth for value in found.values()), (found, truth)
    assert found["multipliers"] <= found["block-multipliers"] * (1 + 1e-7)
    ends = np.cumsum((0, *sizes))
    for i, j in itertools.product(range(len(sizes)), repeat=2):
        rows, columns = (slice(ends[k], ends[k + 1]) for k in (i, j))
        truth = largest(weight, least, most, rows, columns) if sizes[i] and sizes[j] else 0.0
        for method in METHODS:
            value = resolvent_bound(weight, sizes, slopes=(least, most), method=method, of=(i, j))
            assert value * UP + 1e-12 >= truth, (method, i, j)
            assert method != "exact" or value == pytest.approx(truth, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("depth", "width", "chain"), [(4, 10, True), (6, 8, True), (4, 10, False), (6, 8, False)])
def test_the_methods_are_ordered_as_in_the_table(depth, width, chain):
    """Geometric means over random machines of unit gain, from the largest norm found at a corner to the crudest."""
    sizes, logs = (width,) * (depth + 1), {}
    for seed in range(2):
        weight = drawn(np.random.default_rng(seed), sizes, chain)
        logs.setdefault("sup", []).append(math.log(vertex_search(weight, sizes, starts=1)))
        for method in list(METHODS)[1:]:
            logs.setdefault(method, []).append(math.log(resolvent_bound(weight, sizes, method=method)))
    mean = {method: math.exp(np.mean(values)) for method, values in logs.items()}
    order = ("sup", "multipliers", "block-multipliers", "centred", "block", "product", "plain")
    for tighter, looser in itertools.pairwise(order):
        assert mean[tighter] < mean[looser], mean
    assert mean["multipliers"] < 1.1 * mean["sup"], mean  # within some percent of the truth
    assert min(mean["unit"], mean["frobenius"], mean["geometric"]) > mean["block"], mean


MACHINES = [
    (mk.ConvMachine((1, 2, 1), "tanh", padding=((1, 0), (1, 1)), rng=0), (3, 2)),
    (mk.RecurrentMachine((2, 1), "tanh", memory=2, rng=1), (4,)),
    (mk.RecurrentMachine((2, 1), "tanh", memory=2, time_block=2, reverse=(0, -1), rng=2), (5,)),
    (mk.GridMachine((1, 2), "tanh", padding=((1, 0), (1, 1)), scan=(0, 1), rng=3), (2, 3)),
    (mk.GridMachine((1, 2), "tanh", padding=((1, 1),), reverse=(-1,), rng=3), (4,)),
    (mk.DenseMachine((2, 0, 3), "tanh", rng=4), ()),
]


@pytest.mark.parametrize(("machine", "grid"), MACHINES, ids=lambda a: type(a).__name__ if hasattr(a, "sizes") else "")
def test_a_machine_is_unrolled_in_its_own_order(machine, grid):
    """Of given slopes the bound is the norm of the sweep's own Jacobian, and slopes of [0, 1] are above all of them."""
    rng, shape = np.random.default_rng(0), (*grid, machine.partition.channels)
    bound = {m: resolvent_bound(machine, grid=grid, method=m) for m in ("multipliers", "centred", "block")}
    for _ in range(5):
        d = rng.random(shape)
        truth = np.linalg.norm(jacobian(machine, d, grid), 2)
        assert resolvent_bound(machine, slopes=(d, d), grid=grid) == pytest.approx(truth, rel=1e-10)
        linear = machine._derive(sigma=mk.Diagonal(d))
        assert resolvent_bound(linear, grid=grid) == pytest.approx(truth, rel=1e-10)
        assert all(truth <= value * UP for value in bound.values())


def test_a_machine_has_the_slopes_of_its_activations():
    weight = drawn(np.random.default_rng(0), (2, 2, 2))
    for names, slopes in (("relu", (0, 1)), ("gelu", (-0.12890414518515483, 1.1289041451851548)), ("sin", (-1, 1))):
        machine = mk.DenseMachine((2, 2, 2), names, weight=weight)
        want = resolvent_bound(weight, (2, 2, 2), slopes=slopes)
        assert resolvent_bound(machine) == pytest.approx(want, rel=1e-12)
    linear = mk.DenseMachine((2, 2, 2), mk.Diagonal(np.full(6, 0.5)), weight=weight)
    assert resolvent_bound(linear) == pytest.approx(resolvent_bound(weight, (2, 2, 2), slopes=(0.5, 0.5)), rel=1e-12)


def test_weights_of_any_library_and_precision_are_read(backend):
    want = resolvent_bound(SQUARE, (2, 2, 2))
    for name, rel in (("float64", 1e-14), ("float32", 1e-6)):
        weight = backend.from_host(SQUARE, name)
        assert resolvent_bound(weight, (2, 2, 2)) == pytest.approx(want, rel=rel)
        assert resolvent_bound(mk.DenseMachine((2, 2, 2), "relu", weight=weight)) == pytest.approx(want, rel=rel)
    assert np.array_equal(to_host(weight), SQUARE.astype("float32"))


def test_the_unrolled_matrix_is_w_in_the_order_of_computation():
    machine = mk.RecurrentMachine((1,), "relu", memory=1, weight=np.full((2, 1, 1), 0.5))
    system = read_system(machine, grid=(3,))
    assert system.sizes == (1, 1, 1)
    image = apply(machine.partition, machine.weight, np.eye(3)[:, :, None])[:, :, 0]
    assert np.array_equal(system.matrix, image.T)


WIDE = drawn(np.random.default_rng(0), (1, 17))
BAD = [
    ({"weight": SQUARE.T.copy()}, ValueError, r"not strictly block triangular: 9 entries.*pass weight.T"),
    ({"weight": np.ones((6, 6))}, ValueError, r"24 entries, the first at \[in, out\] = \[0, 0\].*set them to zero"),
    ({"weight": SQUARE[:3]}, ValueError, r"shape \(3, 6\); pass a square matrix"),
    ({"sizes": (2, 2)}, ValueError, r"sizes \(2, 2\) are 4 units"),
    ({"sizes": (2, -2, 6)}, ValueError, r"sizes\[1\] is -2"),
    ({"sizes": None}, TypeError, r"sizes is None"),
    ({"weight": SQUARE + 0j}, TypeError, r"complex128; these bounds are of real slopes"),
    ({"weight": SQUARE * np.nan}, ValueError, r"36 entries that are not finite"),
    ({"weight": SQUARE.tolist()}, TypeError, r"weight is a list"),
    ({"slopes": (1, 0)}, ValueError, r"slopes are 1.0 … 0.0 at unit \(0,\); pass the least slope first"),
    ({"slopes": (0, 1, 2)}, ValueError, r"slopes has 3 entries"),
    ({"slopes": (0, np.inf)}, ValueError, r"largest slope is inf; pass finite"),
    ({"slopes": (np.zeros(5), 1)}, ValueError, r"least slope has shape \(5,\).*shape \(6,\)"),
    ({"slopes": 1.0}, TypeError, r"slopes is 1.0; pass a sequence such as \(0, 1\)"),
    ({"slopes": ("a", 1)}, TypeError, r"least slope is 'a'"),
    ({"method": "centered"}, ValueError, r"did you mean 'centred'"),
    ({"of": (3, 0)}, ValueError, r"of is \(3, 0\) but there are 3 blocks"),
    ({"of": "last"}, ValueError, r"of is 'last'; pass 'all'"),
    ({"grid": (2,)}, ValueError, r"leave grid out"),
    ({"weight": WIDE, "sizes": (1, 17), "method": "exact"}, ValueError, r"2\^17 corners.*use method='multipliers'"),
    ({"weight": mk.DenseMachine((2, 2)), "sizes": (2, 2)}, TypeError, r"leave sizes out"),
    ({"weight": mk.DenseMachine((2, 2), "square"), "sizes": None}, ValueError, r"'square' are unbounded"),
    ({"weight": mk.ConvMachine((1, 1), padding=((1, 1),)), "sizes": None}, ValueError, r"1 grid axes"),
    ({"weight": mk.MonotoneMachine((2,), rng=0), "sizes": None}, ValueError, r"use smoothness.equilibrium_bound"),
    (
        {"weight": mk.ConvMachine((1, 1), padding=((1, 1),)), "sizes": None, "grid": (5000,)},
        ValueError,
        r"10000 units on the grid \(5000,\), more than 4096",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), BAD)
def test_bad_input_is_refused_in_words(changes, error, message):
    arguments = {"weight": SQUARE, "sizes": (2, 2, 2), **changes}
    with pytest.raises(error, match=message):
        resolvent_bound(arguments.pop("weight"), arguments.pop("sizes"), **arguments)
