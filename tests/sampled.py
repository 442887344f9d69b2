"""Points of the set that bounds are about, and what a model is there: size, Jacobian, second derivatives."""

from __future__ import annotations

import math

import numpy as np

from machinekit.graph.op import parameters, pushforward, solve

STEP = 2.0**-70
ROUNDING = 1 + 1e-9


class Sampled:
    """A model with groups of parameters and inputs, each in a ball about a centre, 0 unless told.

    Parameters
    ----------
    groups : list of (radius, list of (parameter name, index))
        Entries that are jointly bounded.
    inputs : list of (shape, index, radius)
        Of each input array the boxes of entries that are jointly bounded.
    """

    def __init__(self, model, groups, inputs, rng, centre=None, starts=None):
        self.model, self.groups, self.inputs, self.rng = model, groups, inputs, rng
        self.shapes = {name: a.shape for name, a in parameters(model).items()}
        self.centre, self.starts = centre or {}, starts or {}

    def _ball(self, entries, radius, aligned):
        v = np.ones(entries) if aligned else self.rng.normal(size=entries) * self.rng.integers(0, 2, size=entries)
        norm = np.linalg.norm(v)
        return v * (radius / norm) if norm else v

    def draw(self, aligned=False):
        """Return parameters and inputs on the boundary of their balls."""
        params = {n: np.array(self.centre.get(n, np.zeros(s)), float) for n, s in self.shapes.items()}
        for radius, parts in self.groups:
            v, at = self._ball(sum(params[n][i].size for n, i in parts), radius, aligned), 0
            for name, index in parts:
                piece = params[name][index]
                params[name][index] = piece + v[at : at + piece.size].reshape(piece.shape)
                at += piece.size
        inputs = []
        for k, (shape, boxes) in enumerate(self.inputs):
            x = np.array(self.starts.get(k, np.zeros(shape)), float)
            for index, radius in boxes:
                x[index] += self._ball(x[index].size, radius, aligned).reshape(x[index].shape)
            inputs.append(x)
        return params, inputs

    def directions(self, which):
        """Return a basis of what varies: pairs of parameter and input directions."""
        found = []
        if which != "inputs":
            for name, index in (part for radius, parts in self.groups if radius > 0 or self.centre for part in parts):
                for entry in np.argwhere(_mask(self.shapes[name], index)):
                    found.append(({name: _unit(self.shapes[name], entry)}, [None] * len(self.inputs)))
        if which != "parameters":
            for k, (shape, boxes) in enumerate(self.inputs):
                for index, _ in boxes:
                    for entry in np.argwhere(_mask(shape, index)):
                        along = [None] * len(self.inputs)
                        along[k] = _unit(shape, entry)
                        found.append(({}, along))
        return found

    def at(self, params, inputs):
        """Return the model and its state there."""
        model = self.model.replace(**params)
        return model, solve(model, *inputs)

    def size(self, params, inputs):
        return float(np.linalg.norm(np.concatenate([y.ravel() for y in self.at(params, inputs)[1].outputs])))

    def jacobian(self, params, inputs, basis):
        """Return the Jacobian in a basis, one column for each direction, by the pushforward."""
        model, state = self.at(params, inputs)
        return np.stack([_push(model, state, d) for d in basis], axis=1)

    def second(self, params, inputs, basis, u):
        """Return D²x[u, ·] in a basis, by the complex step of the Jacobian along u."""
        moved, shifted = {n: a.astype(complex) for n, a in params.items()}, [x.astype(complex) for x in inputs]
        for weight, (of_params, of_inputs) in zip(u, basis, strict=True):
            for name, d in of_params.items():
                moved[name] = moved[name] + 1j * STEP * weight * d
            for k, d in enumerate(of_inputs):
                if d is not None:
                    shifted[k] = shifted[k] + 1j * STEP * weight * d
        model, state = self.at(moved, shifted)
        return np.stack([_push(model, state, d, complex) for d in basis], axis=1).imag / STEP

    def measure(self, which, draws=4):
        """Return the largest size, slope and curvature ‖D²x[u, u]‖, ‖u‖ = 1, that were met."""
        basis, worst = self.directions(which), np.zeros(3)
        for k in range(draws):
            params, inputs = self.draw(aligned=k % 2 == 1)
            worst[0] = max(worst[0], self.size(params, inputs))
            if not basis:
                continue
            jacobian = self.jacobian(params, inputs, basis)
            u = np.linalg.svd(jacobian)[2][0] if jacobian.size else np.eye(len(basis))[0]
            worst[1] = max(worst[1], float(np.linalg.norm(jacobian, 2)) if jacobian.size else 0.0)
            for _ in range(3):  # D²x[u, u], and on to the u that D²x[u, ·] is largest for
                bent = self.second(params, inputs, basis, u)
                worst[2] = max(worst[2], float(np.linalg.norm(bent @ u)))
                v = np.linalg.svd(bent)[2][0] if bent.size else u
                if math.isclose(abs(float(u @ v)), 1.0, rel_tol=1e-9):
                    break
                u = v if v @ u >= 0 else -v
        return worst

    def assert_dominated(self, bounds, which, **draws):
        """Nothing that was met may be more than the bounds."""
        met = self.measure(which, **draws)
        allowed = np.array([bounds.size, bounds.lipschitz, bounds.smoothness])
        assert np.all(met <= allowed * ROUNDING + 1e-12), f"{which}: met {met}, allowed {allowed}, {self.model!r}"


def _push(model, state, direction, dtype=float):
    of_params, of_inputs = direction
    along = {n: np.asarray(d, dtype) for n, d in of_params.items()}
    moved = [None if d is None else np.asarray(d, dtype) for d in of_inputs]
    outputs = pushforward(model, state, moved, along).outputs
    return np.concatenate([y.ravel() for y in outputs])


def _unit(shape, entry):
    e = np.zeros(shape)
    e[tuple(entry)] = 1.0
    return e


def _mask(shape, index):
    mask = np.zeros(shape, bool)
    mask[index] = True
    return mask
