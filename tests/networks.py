"""Random networks, an op of several inputs and outputs, and plain recursion to compare with."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

import machinekit as mk
from machinekit.arrays import namespace, plus


class Mix:
    """y_t = sin(Σ_s flat(x_s) A_st), with all verbs: an op between spaces of any shapes."""

    def __init__(self, reads, writes, arrays):
        self.reads, self.writes, self.arrays = reads, writes, dict(arrays)

    @classmethod
    def draw(cls, reads, writes, rng, backend):
        arrays = {
            f"a{s}{t}": backend.from_host(rng.uniform(-1, 1, (math.prod(r), math.prod(w))))
            for s, r in enumerate(reads)
            for t, w in enumerate(writes)
        }
        return cls(reads, writes, arrays)

    def parameters(self):
        return dict(self.arrays)

    def replace(self, **arrays):
        return Mix(self.reads, self.writes, {**self.arrays, **arrays})

    def _flat(self, arrays, shapes):
        xp = namespace(arrays[0])
        batch = tuple(arrays[0].shape)[: arrays[0].ndim - len(shapes[0])]
        return [xp.reshape(x, (*batch, math.prod(shape))) for x, shape in zip(arrays, shapes, strict=True)], batch

    def _sums(self, inputs, arrays):
        flat, batch = self._flat(inputs, self.reads)
        return [sum(x @ arrays[f"a{s}{t}"] for s, x in enumerate(flat)) for t in range(len(self.writes))], batch

    def __call__(self, *inputs):
        sums, batch = self._sums(inputs, self.arrays)
        xp = namespace(sums[0])
        return tuple(xp.reshape(xp.sin(y), (*batch, *w)) for y, w in zip(sums, self.writes, strict=True))

    def pushforward(self, state, *inputs, **parameters):
        xp = namespace(state.inputs[0])
        sums, batch = self._sums(state.inputs, self.arrays)
        moved = [xp.zeros_like(x) if d is None else d for x, d in zip(state.inputs, inputs, strict=True)]
        along, _ = self._sums(moved, self.arrays)
        none = {name: parameters.get(name, 0.0 * a) for name, a in self.arrays.items()}
        other, _ = self._sums(state.inputs, none)
        out = [xp.cos(y) * (a + b) for y, a, b in zip(sums, along, other, strict=True)]
        outputs = tuple(xp.reshape(y, (*batch, *w)) for y, w in zip(out, self.writes, strict=True))
        return mk.Tangent(outputs, inputs, parameters)

    def pullback(self, state, *outputs):
        xp = namespace(state.inputs[0])
        sums, batch = self._sums(state.inputs, self.arrays)
        flat, _ = self._flat(state.inputs, self.reads)
        given = self._seeds(state, outputs)
        return self._pull(flat, self.arrays, [xp.cos(y) * g for y, g in zip(sums, given, strict=True)], batch, outputs)

    def _seeds(self, state, outputs):
        xp, given = namespace(state.inputs[0]), outputs or (None,) * len(self.writes)
        whole = [xp.zeros_like(y) if g is None else g for y, g in zip(state.outputs, given, strict=True)]
        return self._flat(whole, self.writes)[0]

    def _pull(self, flat, arrays, seeds, batch, outputs):
        """Return Σ_t ȳ_t A_stᵀ and x_sᵀ ȳ_t, ȳ being seeds of the sums."""
        xp = namespace(flat[0])
        back = [sum(g @ xp.matrix_transpose(arrays[f"a{s}{t}"]) for t, g in enumerate(seeds)) for s in range(len(flat))]
        rows = lambda a: xp.reshape(a, (math.prod(batch), a.shape[-1]))  # noqa: E731
        params = {
            f"a{s}{t}": xp.matrix_transpose(rows(x)) @ rows(g) for s, x in enumerate(flat) for t, g in enumerate(seeds)
        }
        cotangents = tuple(xp.reshape(b, (*batch, *r)) for b, r in zip(back, self.reads, strict=True))
        return mk.Cotangent(cotangents, params, outputs)

    def pullback_tangent(self, state, cotangent, tangent, *outputs):
        """With u = Σ x A: the seed cos(u) ȳ of u moves by −sin(u) u̇ ȳ + cos(u) ȳ˙, and x and A move as well."""
        xp = namespace(state.inputs[0])
        sums, batch = self._sums(state.inputs, self.arrays)
        given = tangent.inputs or (None,) * len(self.reads)
        moved = [xp.zeros_like(x) if d is None else d for x, d in zip(state.inputs, given, strict=True)]
        along = {name: tangent.parameters.get(name, 0.0 * a) for name, a in self.arrays.items()}
        first, second = self._sums(moved, self.arrays)[0], self._sums(state.inputs, along)[0]
        seeds, changes = self._seeds(state, cotangent.outputs), self._seeds(state, outputs)
        bent = [
            xp.cos(u) * c - xp.sin(u) * (a + b) * g
            for u, a, b, g, c in zip(sums, first, second, seeds, changes, strict=True)
        ]
        flat, held = self._flat(state.inputs, self.reads)[0], [xp.cos(u) * g for u, g in zip(sums, seeds, strict=True)]
        one = self._pull(flat, self.arrays, bent, batch, outputs)
        two = self._pull(self._flat(moved, self.reads)[0], along, held, batch, outputs)
        added = {name: a + two.parameters[name] for name, a in one.parameters.items()}
        return mk.Cotangent(tuple(plus(a, b) for a, b in zip(one.inputs, two.inputs, strict=True)), added, outputs)


SHAPES = ((1,), (2,), (3,), (2, 2), (), (0,))


@st.composite
def networks(draw, spec, backend, every=True):
    """Draw a network whose spaces are all inputs and outputs, unless told; ops are shared now and then."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(2, 5))
    names = [f"x{k}" for k in rng.permutation(count)]
    shapes = {name: draw(st.sampled_from(SHAPES)) for name in names}
    edges, made = [], {}
    for k in range(draw(st.integers(1, 6))):
        cut = draw(st.integers(1, count - 1))
        sources = draw(st.lists(st.sampled_from(names[:cut]), min_size=1, max_size=3))
        targets = draw(st.lists(st.sampled_from(names[cut:]), min_size=1, max_size=2))
        reads, writes = (tuple(shapes[n] for n in side) for side in (sources, targets))
        kind = draw(st.sampled_from(("mix", "mix", "affine", "machine", "chain", "network", "tanh")))
        key = (kind, reads, writes)
        if key not in made or draw(st.booleans()):
            made[key] = _op(kind, reads, writes, rng, spec, backend)
        edges.append(mk.Edge(f"f{k}", made[key], f"{' '.join(sources)} -> {' '.join(targets)}"))
    order = list(rng.permutation(names))
    signature = f"{' '.join(order)} -> {' '.join(names)}" if every else None
    return mk.Hypergraph({n: shapes[n] for n in sorted(shapes)}, edges, signature)


def _op(kind, reads, writes, rng, spec, backend):
    if kind == "tanh" and reads == writes and len(reads) == 1:
        return mk.Pointwise("tanh")
    plain = all(len(s) == 1 for s in (*reads, *writes)) and len(writes) == 1
    if not plain or kind == "mix":
        return Mix.draw(reads, writes, rng, backend)
    fan_in, out = sum(n for (n,) in reads), writes[0][0]
    affine = mk.Affine(fan_in, out, rng=rng, backend=spec)
    if kind == "affine":
        return affine
    if kind == "tanh":
        return mk.Chain([affine, mk.Pointwise("tanh"), mk.LayerNorm(out, epsilon=1.0, backend=spec)])
    if kind == "chain":
        return mk.Chain([affine, Mix.draw(writes, writes, rng, backend)])
    if kind == "machine" and len(reads) == 1 and reads[0][0] and out > reads[0][0]:
        return mk.DenseMachine((reads[0][0], out - reads[0][0]), bias=True, rng=rng, backend=spec)
    if kind == "network" and len(reads) == 1:
        inner = [mk.Edge("g", affine, "a -> b"), mk.Edge("h", Mix.draw(reads, writes, rng, backend), "a -> b")]
        return mk.Hypergraph({"a": reads[0], "b": out}, inner)
    return affine


def recursion(net, inputs, zeros):
    """Return the value of every space by plain recursion over the edges that write to it."""
    known = {}

    def image(edge):
        if edge.name not in known:
            found = edge.op(*(value(s) for s in edge.sources))
            known[edge.name] = found if isinstance(found, tuple) else (found,)
        return known[edge.name]

    def value(name):
        total = inputs[name] if name in inputs else zeros[name]
        for edge in net.edges:
            for k, target in enumerate(edge.targets):
                if target == name:
                    total = plus(total, image(edge)[k])
        return total

    return {name: value(name) for name in net.spaces}


def draw_inputs(net, rng, backend, batch, names=None):
    """Return random inputs by name."""
    return {n: backend.from_host(rng.uniform(-1, 1, (*batch, *net.spaces[n]))) for n in (names or net.inputs)}
