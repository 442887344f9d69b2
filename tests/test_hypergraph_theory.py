"""A network is an endofunction of its spaces, and a figure of its levels."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import namespace, to_host

from .helpers import assert_close
from .networks import draw_inputs, networks
from .strategies import seeds


@given(data=st.data(), seed=seeds())
def test_the_state_of_a_network_is_the_resolvent_of_its_endofunction(backend, spec, data, seed):
    """x = f(x) + x0 with the same spaces, edges, levels and depth; Df is the sum of the pushforwards."""
    net = data.draw(networks(spec, backend))
    f = mk.theory.endofunction(net)
    rng = np.random.default_rng(seed)
    inputs, along = (draw_inputs(net, rng, backend, (), net.spaces) for _ in range(2))

    def flat(arrays):
        return f.join({n: namespace(a).reshape(a, (-1,)) for n, a in arrays.items()})

    x0, v = flat(inputs), flat(along)
    state = net.solve(inputs)
    x = flat(state.spaces)
    scale = np.full(x.shape, 1e-12 * (10.0 + f.dimension))
    assert_close("x", mk.theory.resolvent(f, x0), to_host(x), scale, net)
    assert_close("x = f(x) + x0", f(x) + x0, to_host(x), scale, net)
    tangent = flat(net.pushforward(state, along).spaces)
    assert_close("ẋ = Df(x) ẋ + ẋ0", f.jvp(x, tangent) + v, to_host(tangent), scale, net)
    assert mk.theory.levels(f) == net.levels
    assert mk.theory.depth(net) == net.depth
    assert mk.theory.depth(net, method="iteration") <= net.depth


def test_a_network_takes_no_grid():
    net = mk.Hypergraph({"a": 1, "b": 1}, [mk.Edge("f", mk.Affine(1, 1, rng=0), "a -> b")])
    with pytest.raises(ValueError, match=r"grid is \(3,\); a network's spaces have their shapes"):
        mk.theory.depth(net, (3,))


@given(data=st.data())
def test_a_drawing_puts_edges_between_what_they_join(backend, spec, data):
    """Sources left of an edge, targets right of it, an edge of step k in column 2k − 1, nothing on one place."""
    from machinekit import figures

    net = data.draw(networks(spec, backend))
    at = figures.network_positions(net)
    assert len(set(at.values())) == len(at) == len(net.spaces) + len(net.edges)
    for k, group in enumerate(net.levels, 1):
        assert {at[f"edge {name}"][0] for name in group} == {2 * k - 1}
    for edge in net.edges:
        here = at[f"edge {edge.name}"][0]
        assert all(at[f"space {s}"][0] < here for s in edge.sources)
        assert all(at[f"space {t}"][0] > here for t in edge.targets)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_a_drawing_names_everything():
    shared = mk.Affine(2, 2, rng=0)
    edges = [mk.Edge("f", shared, "a -> b"), mk.Edge("g", shared, "b -> c"), mk.Edge("h", mk.Add(), "a b -> c")]
    from machinekit import figures

    figure = figures.draw_network(mk.Hypergraph({"a": 2, "b": 2, "c": 2}, edges), "three")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["step 1", "step 2", "f\nAffine", "g\nAffine\n= f", "h\nAdd", "a\n2", "b\n2", "c\n2"]
    assert figure.get_suptitle() == "three"
