"""A model comes back from its file bit by bit, and no file is ever half a model."""

import errno
import io
import json
import os
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machinekit as mk
from machinekit.graph import live_masks
from machinekit.saving import load, save

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)
KINDS = ("dense", "conv", "recurrent", "backwards", "grid")
ACTIVATIONS = ("tanh", mk.leaky_relu(0.1), mk.celu(0.3), mk.hardtanh(-0.25, 2.0), "relu")


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


def bits(array):
    return None if array is None else (array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def same_machine(a, b):
    assert type(a) is type(b)
    assert a.partition == b.partition
    assert bits(a.weight) == bits(b.weight)
    assert bits(a.bias) == bits(b.bias)
    assert bits(a.slope_array) == bits(b.slope_array)
    assert bits(a.live) == bits(b.live)
    assert a.pointwise.name == b.pointwise.name
    assert a.describe() == b.describe()
    assert repr(a.activation) == repr(b.activation)


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


@pytest.fixture(scope="module")
def bytes_of_a_model(tmp_path_factory):
    """Return a file's folder, bytes, and the model in it."""
    folder = tmp_path_factory.mktemp("damage")
    model = mk.Chain([mk.RecurrentMachine((1, 1), memory=1, rng=0, bias=True), mk.Affine(2, 1, rng=1)])
    save(folder / "good.npz", model)
    return folder, (folder / "good.npz").read_bytes(), model


def unharmed(model, loaded):
    same_machine(model.ops[0], loaded.ops[0])
    return {n: bits(a) for n, a in loaded.parameters().items()} == {n: bits(a) for n, a in model.parameters().items()}


@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@settings(deadline=None, max_examples=200)
def test_a_flipped_bit_is_noticed_or_harmless(bytes_of_a_model, place, flip):
    folder, good, model = bytes_of_a_model
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= flip
    path = folder / "bad.npz"
    path.write_bytes(bad)
    try:
        loaded = load(path)
    except ValueError as error:
        loaded, message = None, str(error)
    assert unharmed(model, loaded) if loaded else str(path) in message


@given(part=st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=50)
def test_a_truncated_file_is_refused(bytes_of_a_model, part):
    folder, good, _ = bytes_of_a_model
    path = folder / "short.npz"
    path.write_bytes(good[: int(part * len(good))])
    with pytest.raises(ValueError, match=r"short\.npz is (not a model file|damaged)"):
        load(path)


def test_a_flipped_weight_is_noticed(bytes_of_a_model):
    folder, good, model = bytes_of_a_model
    place = good.index(model.ops[1].weight.tobytes())
    bad = bytearray(good)
    bad[place] ^= 1
    (folder / "bad.npz").write_bytes(bad)
    with pytest.raises(ValueError, match="damaged or cut short"):
        load(folder / "bad.npz")


def rewritten(good, change):
    """Return a file with the structure changed, checksums and all."""
    with np.load(io.BytesIO(good)) as stored:
        arrays = {key: stored[key] for key in stored}
    text = json.loads(arrays.pop("structure").item())
    change(text, arrays)
    out = io.BytesIO()
    np.savez(out, structure=np.array(json.dumps(text)), **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, a: t.update(version=2), "format version 2 but this machinekit reads up to 1; upgrade machinekit"),
        (lambda t, a: t.update(version="x"), "format version x"),
        (lambda t, a: t.update(format="other"), "not a model file"),
        (lambda t, a: t.pop("format"), "not a model file"),
        (lambda t, a: t.update(nodes=3), "damaged"),
        (lambda t, a: t.update(root=9), "damaged, its parts do not fit"),
        (lambda t, a: t["nodes"][2].update(ops=[2]), "damaged, its parts do not fit"),
        (lambda t, a: t["nodes"][0].update(kind="Spell"), "damaged, its parts do not fit"),
        (lambda t, a: t["nodes"][0].update(sizes=[1, 2]), "damaged, its parts do not fit"),
        (lambda t, a: t["nodes"][0]["activation"].update(name="tanj"), "damaged.*did you mean 'tanh'"),
        (lambda t, a: t["nodes"][0].pop("padding"), "damaged, its parts do not fit"),
        (lambda t, a: a.pop("0.weight"), "damaged, its parts do not fit"),
        (lambda t, a: a.update({"1.weight": np.ones(3)}), "damaged, its parts do not fit"),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(bytes_of_a_model, change, words):
    folder, good, model = bytes_of_a_model
    path = folder / "changed.npz"
    path.write_bytes(rewritten(good, lambda t, a: None))
    assert unharmed(model, load(path))
    path.write_bytes(rewritten(good, change))
    with pytest.raises(ValueError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, a=np.ones(2))
    with pytest.raises(ValueError, match="an archive but not a model file"):
        load(path)
    np.savez(path, structure=np.array("{}"))
    with pytest.raises(ValueError, match="an archive but not a model file"):
        load(path)
    np.save(tmp_path / "array.npy", np.ones(2))
    for other in (b"", b"hello"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"foreign\.npz is not a model file"):
            load(path)
    with pytest.raises(ValueError, match=r"array\.npy is not a model file"):
        load(tmp_path / "array.npy")


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", structure=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="not a model file"):
        load(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent.npz")


@pytest.mark.parametrize("where", ["numpy.savez", "os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where, error):
    path = tmp_path / "model.npz"
    save(path, mk.Affine(1, 1, weight=np.array([[1.0]])))
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if where == "numpy.savez":
            args[0].write(b"PK half a file")
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(type(error)) as caught:
        save(path, mk.Affine(1, 1, weight=np.array([[2.0]])))
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert "the model was not saved (no space left); choose a writable path" in str(caught.value)
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


def test_the_bytes_are_on_the_disk_before_the_name_is_taken(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda f: (calls.append("fsync"), fsync(f)))

    def renamed(source, target):
        calls.append("replace")
        assert os.path.dirname(source) == os.path.dirname(target)
        with zipfile.ZipFile(source) as whole:
            assert whole.testzip() is None
        replace(source, target)

    monkeypatch.setattr("os.replace", renamed)
    save(tmp_path / "model.npz", mk.Affine(1, 1))
    assert calls == ["fsync", "replace"]


def test_saving_over_a_file_replaces_it_and_keeps_its_mode_and_link(tmp_path):
    path, link = tmp_path / "model.npz", tmp_path / "link.npz"
    save(path, mk.Affine(1, 1, weight=np.array([[1.0]])))
    os.chmod(path, 0o600)
    os.symlink(path, link)
    save(link, mk.Affine(1, 1, weight=np.array([[2.0]])))
    assert link.is_symlink()
    assert load(path).weight[0, 0] == 2.0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "model.npz"]


def test_a_path_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the model was not saved .*choose a writable path"):
        save(tmp_path / "no" / "such" / "folder.npz", mk.Affine(1, 1))
    with pytest.raises(OSError, match="the model was not saved"):
        save(tmp_path, mk.Affine(1, 1))
    assert os.listdir(tmp_path) == []


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name, mk.DenseMachine((1, 2), rng=0))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
