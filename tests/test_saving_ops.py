"""Ops come back from their file with the same options, arrays, sharing and results."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import to_host
from machinekit.saving import load, save

from .saved import bits
from .strategies import DTYPES

CUBE = mk.Activation(lambda y: y * y * y, name="cube")
RNG = np.random.default_rng(0)
TRAINED = mk.BatchNorm(2, form="eps+sigma", epsilon=0.1)

OPS = {
    "pointwise": (mk.Pointwise("tanh"), (2, 3)),
    "pointwise with an option": (mk.Pointwise(mk.hardtanh(-0.25, 1 / 3)), (2, 3)),
    "softmax": (mk.Softmax(-2), (2, 3)),
    "norm": (mk.Norm(), (2, 3)),
    "layer norm": (mk.LayerNorm((2, 3), form="eps+sigma", epsilon=0.1), (4, 2, 3)),
    "layer norm without gains": (mk.LayerNorm(3, scale=False, bias=False), (2, 3)),
    "layer norm without a scale": (mk.LayerNorm(3, scale=False, bias=RNG.standard_normal(3)), (2, 3)),
    "batch norm": (TRAINED, (4, 2)),
    "batch norm without a bias": (mk.BatchNorm(2, scale=RNG.standard_normal(2), bias=False), (4, 2)),
    "batch norm with statistics": (TRAINED.with_statistics(TRAINED.solve(RNG.standard_normal((4, 2)))), (3, 2)),
    "statistics alone": (mk.BatchNorm(2, scale=False, bias=False, mean=np.ones(2), variance=np.ones(2)), (3, 2)),
    "reshape": (mk.Reshape((2, 3), 6), (4, 2, 3)),
    "reshape to nothing": (mk.Reshape(1, ()), (4, 1)),
    "add": (mk.Add(), (2, 3)),
    "concatenate": (mk.Concatenate(-2), (2, 3)),
    "select a slice": (mk.Select(slice(1, None)), (2, 3)),
    "select slices": (mk.Select([slice(1, 3), slice(-1, None), (0, 2)]), (2, 3)),
    "select blocks": (mk.Select([1, -1], sizes=(1, 0, 2)), (2, 3)),
    "select nothing": (mk.Select([]), (2, 3)),
    "embed": (mk.Embed(5, 1), (2, 3)),
    "affine": (mk.Affine(3, 2, rng=0), (2, 3)),
    "convolution": (mk.Conv(2, 2, (2,), stride=2, padding=((1, 0),), rng=0), (4, 2)),
    "convolution without a bias": (mk.Conv(2, 4, 3, padding=1, groups=2, bias=False, rng=0), (3, 3, 2)),
    "transposed convolution": (mk.ConvTranspose(2, 2, (2,), stride=2, extra=1, rng=0), (4, 2)),
    "average pool": (mk.AvgPool((2,), padding=((1, 0),), count_padding=True), (4, 2)),
    "max pool": (mk.MaxPool((2,), stride=1), (4, 2)),
    "upsample": (mk.Upsample((2,), method="linear"), (4, 2)),
}


def again(model, folder, **options):
    save(folder / "model.npz", model)
    return load(folder / "model.npz", **options)


def same(op, loaded):
    assert type(loaded) is type(op)
    assert repr(loaded) == repr(op)
    told, meant = (
        {n: (v.name, v.options) if n == "activation" else v for n, v in o._options.items()} for o in (loaded, op)
    )
    assert told == meant
    assert {n: bits(a) for n, a in loaded.parameters().items()} == {n: bits(a) for n, a in op.parameters().items()}
    assert list(loaded.parameters()) == list(op.parameters())


@pytest.mark.parametrize("what", OPS)
def test_ops_come_back_bit_by_bit(tmp_path, what):
    op, shape = OPS[what]
    loaded = again(op, tmp_path)
    same(op, loaded)
    x = RNG.standard_normal(shape)
    assert bits(loaded(x)) == bits(op(x))
    same(loaded, again(loaded, tmp_path))


def test_every_op_is_tried():
    """An op that is added to the library is added here."""
    leaves = {c for c in vars(mk).values() if isinstance(c, type) and issubclass(c, mk.Op) and hasattr(c, "_fill")}
    assert {c for c in leaves if not issubclass(c, mk.Hypergraph)} == {type(op) for op, _ in OPS.values()}


@given(dtype=st.sampled_from(DTYPES), scale=st.booleans(), bias=st.booleans(), fixed=st.booleans())
def test_norms_of_any_dtype_come_back(tmp_path_factory, dtype, scale, bias, fixed):
    folder = tmp_path_factory.mktemp("norms")
    statistics = {"mean": np.ones(2, dtype), "variance": np.full(2, 2, dtype)} if fixed else {}
    op = mk.BatchNorm(2, scale=scale, bias=bias, dtype=dtype, **statistics)
    loaded = again(op, folder)
    same(op, loaded)
    assert (bits(loaded.mean), bits(loaded.variance)) == (bits(op.mean), bits(op.variance))


def test_a_chain_of_ops_keeps_its_sharing(tmp_path, spec, backend):
    norm, act = mk.LayerNorm(3), mk.Pointwise(mk.elu(0.5))
    chain = mk.Chain([norm, act, mk.Affine(3, 3, rng=0), norm, mk.Chain([act, mk.Select(slice(0, 2))])]).to(spec)
    loaded = again(chain, tmp_path, backend=spec)
    assert loaded.ops[0] is loaded.ops[3]
    assert loaded.ops[1] is loaded.ops[4].ops[0]
    assert list(loaded.parameters()) == list(chain.parameters())
    x = backend.from_host(RNG.standard_normal((2, 3)))
    assert bits(to_host(loaded(x))) == bits(to_host(chain(x)))


def test_an_activation_of_ones_own_is_given_again(tmp_path):
    op = mk.Chain([mk.Pointwise(CUBE), mk.DenseMachine((1, 1), CUBE, rng=0)])
    loaded = again(op, tmp_path, activations={"cube": CUBE})
    assert loaded.ops[0].activation is CUBE
    with pytest.raises(ValueError, match="not built in: cube; pass them"):
        load(tmp_path / "model.npz")
    fake = mk.Pointwise(mk.Activation(CUBE.value, name="tanh"))
    with pytest.raises(ValueError, match="not built in: tanh"):
        again(fake, tmp_path)
    other = mk.Chain([mk.Pointwise(CUBE), mk.Pointwise(mk.Activation(lambda y: -y, name="cube"))])
    with pytest.raises(ValueError, match="two different activations are named 'cube'"):
        save(tmp_path / "model.npz", other)


def test_an_op_of_ones_own_is_refused_by_name(tmp_path):
    """A subclass too: nothing tells how to make it."""

    class Mine(mk.Pointwise):
        pass

    class Bare:
        def __call__(self, x):
            return x

    for op, name in ((Mine("tanh"), "Mine"), (Bare(), "Bare")):
        with pytest.raises(
            TypeError, match=rf"ops\[1\] of the chain is a {name}, which cannot be saved; the kinds are"
        ):
            save(tmp_path / "never.npz", mk.Chain([mk.Norm(), op]))
    assert not (tmp_path / "never.npz").exists()


@pytest.mark.parametrize("change", [{"form": "other"}, {"epsilon": -1.0}, {"channels": 3}, {"surprise": 1}])
def test_options_that_do_not_fit_are_damage(tmp_path, change):
    """The constructor checks what a file says; its error names the file."""
    save(tmp_path / "good.npz", mk.BatchNorm(2))
    with np.load(tmp_path / "good.npz") as stored:
        arrays = {key: stored[key] for key in stored}
    text = json.loads(arrays.pop("structure").item())
    text["nodes"][0]["options"].update(change)
    out = io.BytesIO()
    np.savez(out, structure=np.array(json.dumps(text)), **arrays)
    (tmp_path / "bad.npz").write_bytes(out.getvalue())
    with pytest.raises(ValueError, match=r"bad\.npz is damaged, its parts do not fit"):
        load(tmp_path / "bad.npz")
