"""A model comes back from its file bit by bit."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.graph import live_masks
from machinekit.saving import load, save

from .saved import bits, same_machine

seeds = st.integers(0, 2**32 - 1)


sizes = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)


KINDS = ("dense", "conv", "recurrent", "backwards", "grid")


ACTIVATIONS = ("tanh", mk.leaky_relu(0.1), mk.celu(0.3), mk.hardtanh(-0.25, 2.0), "relu", mk.soft_threshold(0.125))


def machine(kind, sizes, **options):
    if kind == "dense":
        return mk.DenseMachine(sizes, **options)
    if kind == "conv":
        return mk.ConvMachine(sizes, padding=((2, 0), (0, 1)), **options)
    if kind == "recurrent":
        return mk.RecurrentMachine(sizes, memory=3, time_block=2, **options)
    if kind == "backwards":
        return mk.RecurrentMachine(sizes, memory=2, reverse=(0, -1), **options)
    return mk.GridMachine(
        sizes, padding=((1, 0), (1, 1), (2, 1)), scan=(2, 0), reverse=(0,), time_block=(2, 1), **options
    )


def again(model, folder, **options):
    path = os.path.join(folder, "model.npz")
    save(path, model)
    return load(path, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("kind", KINDS)
@given(
    sizes=sizes,
    seed=seeds,
    dtype=st.sampled_from(["float32", "float64", "complex64", "complex128"]),
    bias=st.booleans(),
    pruned=st.booleans(),
    data=st.data(),
)
@settings(deadline=None, max_examples=20)
def test_machines_come_back_bit_by_bit(folder, kind, sizes, seed, dtype, bias, pruned, data):
    rng = np.random.default_rng(seed)
    activation = data.draw(
        st.one_of(st.sampled_from(ACTIVATIONS), st.tuples(*(st.sampled_from(ACTIVATIONS) for _ in sizes)))
    )
    model = machine(kind, sizes, activation=activation, rng=seed, bias=bias, dtype=dtype)
    values = rng.standard_normal((2, *model.weight.shape))
    weight = values[0] + 1j * values[1] if dtype.startswith("complex") else values[0]
    model = model.replace(weight=weight.astype(dtype))
    model = model.prune(rng.random(model.weight.shape) < 0.5) if pruned else model
    loaded = again(model, folder)
    same_machine(model, loaded)
    y0 = rng.standard_normal((2, *(3,) * model.partition.axes, sum(sizes))).astype(loaded.weight.real.dtype)
    assert bits(model(y0)) == bits(loaded(y0))
    same_machine(loaded, again(loaded, folder))


@pytest.mark.parametrize("kind", KINDS)
def test_tangents_and_duals_come_back(folder, kind):
    model = machine(kind, (1, 2), rng=0, bias=True)
    model = model.prune(np.random.default_rng(0).random(model.weight.shape) < 0.5)
    state = model.solve(np.ones((2, *(3,) * model.partition.axes, 3)))
    for linear in (model.tangent(state), model.dual(state)):
        same_machine(linear, again(linear, folder))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_diagonals_keep_their_shape(folder, shape):
    model = mk.DenseMachine((1, 2), mk.Diagonal(np.full(shape, 0.1)), rng=0)
    same_machine(model, again(model, folder))


def test_special_values_keep_their_bits(folder):
    weight = np.zeros((2, 2))
    weight[0, 1] = np.nan
    model = mk.DenseMachine((1, 1), weight=weight, bias=np.array([-0.0, np.inf]))
    same_machine(model, again(model, folder))
    assert np.signbit(again(model, folder).bias[0])


def test_bias_and_weight_keep_their_own_dtypes(folder):
    model = mk.DenseMachine((1, 1), rng=0, bias=True).replace(weight=np.full((2, 2), 1j))
    loaded = again(model, folder)
    assert (loaded.weight.dtype, loaded.bias.dtype) == (np.complex128, np.float64)


def test_transposed_weights_are_stored_as_they_read(folder):
    weight = np.arange(9.0).reshape(3, 3).T
    loaded = again(mk.Affine(3, 3, weight=weight), folder)
    assert np.array_equal(loaded.weight, weight)
    with np.load(folder / "model.npz", allow_pickle=False) as stored:
        assert all(stored[key].flags.c_contiguous for key in stored)
        assert any(np.array_equal(stored[key], weight) for key in stored if key != "structure")


@pytest.mark.parametrize("bias", [True, False])
def test_affine_comes_back(folder, bias):
    op = mk.Affine(2, 3, bias=bias, rng=0, dtype="float32")
    loaded = again(op, folder)
    assert type(loaded) is mk.Affine
    assert {n: bits(a) for n, a in loaded.parameters().items()} == {n: bits(a) for n, a in op.parameters().items()}


def test_chains_nest_and_shared_leaves_stay_shared(folder):
    leaf, twin = mk.Affine(2, 2, rng=0), mk.Affine(2, 2, rng=0)
    inner = mk.Chain([leaf, mk.DenseMachine((1, 1), "relu", rng=1)])
    chain = mk.Chain([inner, twin, leaf, mk.Chain([inner, leaf])])
    loaded = again(chain, folder)
    first, second, third, last = loaded.ops
    assert first.ops[0] is third is last.ops[1]
    assert second is not third
    assert last.ops[0] is first
    assert list(loaded.parameters()) == list(chain.parameters())
    assert {n: bits(a) for n, a in loaded.parameters().items()} == {n: bits(a) for n, a in chain.parameters().items()}
    assert {n: bits(a) for n, a in live_masks(loaded).items()} == {n: bits(a) for n, a in live_masks(chain).items()}
    x = np.ones((1, 2))
    assert bits(loaded(x)) == bits(chain(x))


def test_any_library_saves_and_any_library_loads(folder):
    model = mk.Chain([mk.RecurrentMachine((1, 2), memory=1, rng=0, bias=True), mk.Affine(3, 1, rng=1)])
    loaded = again(model.to("array_api_strict:device1"), folder)
    same_machine(model.ops[0], loaded.ops[0])
    there = load(folder / "model.npz", backend="array_api_strict:device1")
    assert there.ops[0].backend == there.ops[1].backend == "array_api_strict"
    assert str(there.ops[0].weight.device) == str(model.to("array_api_strict:device1").ops[0].weight.device)
    same_machine(model.ops[0], there.ops[0].to("numpy"))


def test_the_backend_defaults_to_the_environment(folder, monkeypatch):
    save(folder / "model.npz", mk.Affine(1, 1, rng=0))
    monkeypatch.setenv("MACHINEKIT_BACKEND", "array_api_strict")
    assert load(folder / "model.npz").backend == "array_api_strict"
    with pytest.raises(ValueError, match="no array library"):
        load(folder / "model.npz", backend="nunpy")


CUBE = mk.Activation(lambda y: y**3, name="cube")


def test_activations_of_ones_own_are_given_again(folder):
    model = mk.DenseMachine((1, 1, 1), ["tanh", CUBE, CUBE], rng=0)
    loaded = again(model, folder, activations={"cube": CUBE, "unused": CUBE})
    same_machine(model, loaded)
    assert loaded.activation[1] is CUBE
    path = str(folder / "model.npz")
    with pytest.raises(ValueError, match=r"not built in: cube; pass them, as in load\(path, activations={'cube'"):
        load(path)
    with pytest.raises(ValueError, match="did you mean 'cubes'"):
        load(path, activations={"cubes": CUBE})
    with pytest.raises(TypeError, match=r"activations\['cube'\] is <function"):
        load(path, activations={"cube": lambda y: y})


def test_an_own_activation_with_a_built_in_name_is_not_taken_for_it(folder):
    mine = mk.Activation(lambda y: 2.0 * y, name="tanh")
    model = mk.DenseMachine((1, 1), mine, rng=0)
    with pytest.raises(ValueError, match="not built in: tanh"):
        again(model, folder)
    assert bits(again(model, folder, activations={"tanh": mine})(np.ones((1, 1)))) == bits(model(np.ones((1, 1))))
    for options in ((), (("alpha", 1.0),), (("beta", 1.0),)):
        fake = mk.Activation(CUBE.value, name="elu", options=options)
        with pytest.raises(ValueError, match="not built in: elu"):
            again(mk.DenseMachine((1, 1), fake), folder)


def test_two_own_activations_of_one_name_are_refused(folder):
    other = mk.Activation(lambda y: -y, name="cube")
    with pytest.raises(ValueError, match="two different activations are named 'cube'"):
        save(folder / "model.npz", mk.DenseMachine((1, 1), [CUBE, other]))


def test_other_ops_are_refused(folder):
    class Mine(mk.Affine):
        pass

    path = folder / "never.npz"
    with pytest.raises(TypeError, match=r"model is a Mine, which cannot be saved; the kinds are DenseMachine"):
        save(path, Mine(1, 1))
    with pytest.raises(TypeError, match=r"ops\[1\] of the chain is a function"):
        save(path, mk.Chain([mk.Affine(1, 1), lambda x: x]))
    assert not path.exists()
