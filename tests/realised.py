"""Structures as functions: random ones, their values, Jacobians and second derivatives, written out."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from machinekit.smoothness.structure import BiAffine, Layer, Piece, Structure, Term

FUNCTIONS = {
    "tanh": (np.tanh, lambda t: 1 - np.tanh(t) ** 2, lambda t: -2 * np.tanh(t) * (1 - np.tanh(t) ** 2)),
    "sin": (np.sin, np.cos, lambda t: -np.sin(t)),
    "softplus": (lambda t: np.log(1 + np.exp(t)), lambda t: 1 / (1 + np.exp(-t)), lambda t: 1 / (2 + 2 * np.cosh(t))),
    "square": (lambda t: t * t, lambda t: 2 * t, lambda t: 2 + 0 * t),
}


def _tanh_ball(mu):
    t = math.tanh(min(mu, 0.6584789))
    return 1.0, 2 * t * (1 - t * t)


def pieces(name, dim):
    """The constants of an activation on `dim` coordinates; none is the identity."""
    root = math.sqrt(dim)
    return {
        "identity": (),
        "tanh": (Piece(root, 1.0, 4 / (3 * math.sqrt(3)), ball=_tanh_ball, name="tanh"),),
        "sin": (Piece(root, 1.0, 1.0, ball=lambda mu: (1.0, math.sin(min(mu, math.pi / 2))), name="sin"),),
        "softplus": (Piece(math.inf, 1.0, 0.25, math.log(2) * root, 0.5, name="softplus"),),
        "square": (Piece(math.inf, math.inf, 2.0, 0.0, 0.0, name="square"),),
    }[name]


class Realised:
    """A structure whose block i has dims[i] coordinates; β(v, z) = W z + c, W and c entries of v, and lᵛ is 0 or 1.

    The fixed part of a map, of norm lˣ, is a multiple of a matrix with orthonormal rows or columns.
    """

    def __init__(self, structure, dims, rng):
        self.structure, self.dims, self.rng = structure, dims, rng
        self.slots, self.sources, self.fixed, at = {}, [], {}, 0
        for i, dim in enumerate(dims):
            self.slots["start", i] = slice(at, at := at + dim)
            self.sources += [("start" if structure.inputs[i] else "constant")] * dim
        for k, layer in enumerate(structure.layers):
            for e, term in enumerate(layer.terms):
                shape = dims[layer.target], sum(dims[j] for j in term.parents)
                q = np.linalg.qr(rng.normal(size=(max(shape), max(shape))))[0]
                self.fixed[k, e] = term.map.linear * q[: shape[0], : shape[1]]
                if term.varies and term.parameter not in self.slots:
                    self.slots[term.parameter] = slice(at, at := at + shape[0] * (shape[1] + 1))
                    self.sources += ["parameter"] * (at - self.slots[term.parameter].start)
        self.count = at

    def draw(self, aligned=False):
        """Return a point of the set, on its boundary; aligned ones have weights of rank one along one vector."""
        p = np.zeros(self.count)
        for i, rho in enumerate(self.structure.starts):
            p[self.slots["start", i]] = _on_sphere(
                np.ones(self.dims[i]) if aligned else self._normal(self.dims[i]), rho
            )
        for layer in self.structure.layers:
            for term in layer.terms:
                if term.varies:
                    part = self.slots[term.parameter]
                    v = np.ones(part.stop - part.start) if aligned else self._normal(part.stop - part.start)
                    if term.map.bias == 0:
                        v[-self.dims[layer.target] :] = 0.0
                    p[part] = _on_sphere(v, term.radius)
        return p

    def _normal(self, n):
        return self.rng.normal(size=n) * self.rng.integers(0, 2, size=n) + 1e-3

    def solve(self, p):
        """Return of each block its value, (d,), Jacobian, (d, n), and second derivative, (d, n, n)."""
        n, eye, found = self.count, np.eye(self.count), []
        for i, dim in enumerate(self.dims):
            part = self.slots["start", i]
            found.append([p[part] + 0, eye[part] + 0 * p[0], np.zeros((dim, n, n)) + 0 * p[0]])
            for k, layer in enumerate(self.structure.layers):
                if layer.target == i:
                    y, jac, hes = (sum(a) for a in zip(*self._terms(k, layer, p, found, eye), strict=True))
                    for piece in layer.pieces:
                        f, slope, second = FUNCTIONS[piece.name]
                        d, d2 = slope(y)[:, None], second(y)[:, None, None]
                        y, jac, hes = f(y), d * jac, d2 * jac[:, :, None] * jac[:, None, :] + d[..., None] * hes
                    found[i] = [a + b for a, b in zip(found[i], (y, jac, hes), strict=True)]
        return found

    def _terms(self, k, layer, p, found, eye):
        dim, n = self.dims[layer.target], self.count
        for e, term in enumerate(layer.terms):
            read = [found[j] for j in term.parents]
            empty = np.zeros(0), np.zeros((0, n)), np.zeros((0, n, n))
            z, jz, hz = (np.concatenate([r[m] for r in read] or [empty[m]]) for m in range(3))
            fixed = self.fixed[k, e]
            y, jac, hes = fixed @ z, fixed @ jz, np.einsum("ab,bnm->anm", fixed, hz)
            if term.varies:
                part = self.slots[term.parameter]
                pick = eye[part]
                weight, bias = pick[:-dim].reshape(dim, z.size, n), pick[-dim:]
                w = p[part][:-dim].reshape(dim, z.size)
                mixed = term.map.bilinear * np.einsum("abn,bm->anm", weight, jz)
                y = y + term.map.bilinear * w @ z + term.map.bias * p[part][-dim:]
                jac = jac + term.map.bilinear * (w @ jz + np.einsum("abn,b->an", weight, z)) + term.map.bias * bias
                hes = hes + term.map.bilinear * np.einsum("ab,bnm->anm", w, hz) + mixed + mixed.transpose(0, 2, 1)
            yield y, jac, hes

    def measure(self, p, which, blocks):
        """Return ‖x‖, ‖Dx‖ and a lower bound of ‖D²x‖ of some blocks together, in some sources."""
        found = self.solve(p)
        x, jac, hes = (np.concatenate([found[i][m] for i in blocks]) for m in range(3))
        kinds = {"inputs": ["start"], "parameters": ["parameter"], "joint": ["start", "parameter"]}[which]
        kept = [k for k, kind in enumerate(self.sources) if kind in kinds]
        if not kept:
            return np.linalg.norm(x), 0.0, 0.0
        return np.linalg.norm(x), np.linalg.norm(jac[:, kept], 2), tensor_norm(hes[:, kept][:, :, kept], self.rng)


def tensor_norm(t, rng):
    """Return a lower bound of sup ‖T[u, u]‖, by alternating between the best w and the best u."""
    best = 0.0
    for start in range(3):
        w = np.ones(len(t)) if start == 0 else rng.normal(size=len(t))
        for _ in range(12):
            values, vectors = np.linalg.eigh(np.tensordot(w / (np.linalg.norm(w) or 1.0), t, 1))
            u = vectors[:, np.argmax(abs(values))]
            w = t @ u @ u
            best = max(best, float(np.linalg.norm(w)))
    return best


def _on_sphere(v, radius):
    return radius * v / np.linalg.norm(v)


@st.composite
def structures(draw, names=("identity", "tanh", "sin", "softplus"), sharing=True, blocks=4):
    """A structure and its dimensions: several layers into a block, maps of several blocks, shared parameters."""
    count = draw(st.integers(2, blocks))
    dims = [draw(st.integers(1, 2)) for _ in range(count)]
    radii, layers = {}, []
    for i in range(1, count):
        for _ in range(draw(st.sampled_from([1, 1, 2]))):
            terms = []
            for _ in range(draw(st.sampled_from([1, 1, 2]))):
                parents = tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=2)) or {i - 1}))
                shape = dims[i], sum(dims[j] for j in parents)
                key = ("shared", *shape) if sharing and draw(st.booleans()) else ("own", len(layers), len(terms))
                radius = radii.setdefault(key, draw(st.sampled_from([1.0, 0.3, 2.0, 0.0])))
                bias = radii.setdefault((*key, "bias"), draw(st.sampled_from([1.0, 0.0])))
                linear = draw(st.sampled_from([0.0, 0.0, 0.7]))
                terms.append(Term(BiAffine(bilinear=1.0, bias=bias, linear=linear), parents, key, radius))
            layers.append(Layer(i, tuple(terms), pieces(draw(st.sampled_from(names)), dims[i])))
    starts = (1.0, *(draw(st.sampled_from([0.0, 0.4])) for _ in range(count - 1)))
    inputs = tuple(draw(st.booleans()) or rho > 0 for rho in starts)
    return Structure(tuple(f"b{i}" for i in range(count)), starts, tuple(layers), inputs), dims
