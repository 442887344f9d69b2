"""No file is ever half a model: damaged, foreign and half-written files."""

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
from machinekit.saving import load, save

from .saved import bits, same_machine


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
