"""Every law of an op at once, against Jacobians that are built column by column from its solve."""

from __future__ import annotations

import itertools

import numpy as np

import machinekit as mk
from machinekit.arrays import dtype_name, to_host

from .helpers import assert_close, assert_equal, assert_no_shared_memory, locked

STEP = 1e-20
RELATIVE = 1e-12


def normal(rng, shape, dtype="float64"):
    values = rng.standard_normal((2, *shape))
    return np.asarray(values[0] + 1j * values[1] if dtype.startswith("complex") else values[0]).astype(dtype)


def jacobians(op, backend, inputs):
    """Return (entries of y, entries of the argument) for every input and parameter, by the complex step."""

    def column(name, place, at):
        moved = [backend.from_host(x) for x in inputs]
        parameters = {key: to_host(a) for key, a in op.parameters().items()}
        point = np.array(inputs[place] if place is not None else parameters[name], dtype=complex)
        point[at] += 1j * STEP
        if place is not None:
            moved[place] = backend.from_host(point)
        changed = op if place is not None else op.replace(**{name: backend.from_host(point)})
        return to_host(changed.solve(*moved).outputs[0]).imag.ravel() / STEP

    size = to_host(op.solve(*map(backend.from_host, inputs)).outputs[0]).size
    places = {f"inputs[{k}]": (k, x.shape) for k, x in enumerate(inputs)}
    places.update({name: (None, tuple(a.shape)) for name, a in op.parameters().items()})
    found = {}
    for name, (place, shape) in places.items():
        columns = [column(name, place, at) for at in itertools.product(*map(range, shape))]
        found[name] = np.stack(columns, axis=1) if columns else np.zeros((size, 0))
    return found


def check_leaf(op, backend, inputs, seed=0, size=0.0, second=True):
    """Compare both derivatives with the Jacobians, each direction alone and all at once; check memory and zeros.

    `size` is that of the terms of a Jacobian, where they may cancel; `second` tells whether there is a second one.
    """
    rng = np.random.default_rng(seed)
    moved = [locked(backend, x) for x in inputs]
    state = op.solve(*moved)
    (y,) = state.outputs
    matrices = jacobians(op, backend, inputs)
    shapes = {f"inputs[{k}]": x.shape for k, x in enumerate(inputs)}
    shapes.update({name: tuple(a.shape) for name, a in op.parameters().items()})
    along = {name: normal(rng, shape) for name, shape in shapes.items()}
    seed_y = normal(rng, tuple(y.shape))
    given_y = locked(backend, seed_y)
    cotangent = op.pullback(state, given_y)
    back = {f"inputs[{k}]": c for k, c in enumerate(cotangent.inputs)} | dict(cotangent.parameters)
    assert list(back) == list(shapes)
    for name, matrix in matrices.items():
        bound = RELATIVE * np.abs(matrix).max(initial=size) * max(np.abs(seed_y).sum(), np.abs(along[name]).sum())
        assert_close(f"cotangent of {name}", back[name], (seed_y.ravel() @ matrix).reshape(shapes[name]), bound, op)
        alone = push(op, backend, state, inputs, {name: along[name]})
        want = (matrix @ along[name].ravel()).reshape(seed_y.shape)
        assert_close(f"tangent along {name}", alone.outputs[0], want, bound, op)
    together = push(op, backend, state, inputs, along)
    want = sum(matrix @ along[name].ravel() for name, matrix in matrices.items()).reshape(seed_y.shape)
    total = sum(np.abs(m).max(initial=size) * np.abs(along[name]).sum() for name, m in matrices.items())
    assert_close("tangent", together.outputs[0], want, RELATIVE * total, op)
    for nothing in (op.pullback(state), op.pullback(state, None)):
        for a in (*nothing.inputs, *nothing.parameters.values()):
            assert_equal("a cotangent of nothing", a, np.zeros(a.shape))
    assert_equal("a tangent of nothing", op.pushforward(state).outputs[0], np.zeros(seed_y.shape))
    later, again = op.solve(*moved), op.pullback(state, given_y)
    more = {f"again {k}": c for k, c in enumerate((*again.inputs, *again.parameters.values()))}
    more.update(
        {f"given {k}": x for k, x in enumerate(moved)}, ẏ=together.outputs[0], ȳ=given_y, y=y, later=later.outputs[0]
    )
    assert_no_shared_memory({**back, **more, **{f"own {key}": a for key, a in op.parameters().items()}}, op)
    report = mk.testing.check_op(op, *moved, rng=seed)
    assert second == all(f.checked for f in report.findings), str(report)
    if second:
        check_second(op, backend, inputs, seed, size)


def check_second(op, backend, inputs, seed=0, size=0.0):
    """Compare `pullback_tangent` with the complex step of `pullback`, each motion alone and all at once.

    From `pullback` and from `pullback_inputs`; what does not move is None. Check zeros, the record and memory.
    """
    rng = np.random.default_rng(seed)
    moved = [locked(backend, x) for x in inputs]
    state = op.solve(*moved)
    shapes = {f"inputs[{k}]": x.shape for k, x in enumerate(inputs)}
    shapes.update({name: tuple(a.shape) for name, a in op.parameters().items()})
    along = {name: normal(rng, shape) for name, shape in shapes.items()}
    ȳ, change = (normal(rng, tuple(state.outputs[0].shape)) for _ in range(2))
    given_y, given_change = locked(backend, ȳ), locked(backend, change)
    full = op.pullback(state, given_y)
    lean = op.pullback_inputs(state, given_y)
    for a, b in zip(full.inputs, lean.inputs, strict=True):
        assert_close("x̄ alone", b, to_host(a), RELATIVE * np.abs(to_host(a)).max(initial=size), op)
    assert lean.parameters == {}
    assert lean.outputs[0] is given_y
    held = named(full)
    scale = max((np.abs(to_host(a)).max(initial=0.0) for a in held.values()), default=0.0) + size
    for moves in ([*along, "ȳ"], *([name] for name in (*along, "ȳ"))):
        some = {name: d for name, d in along.items() if name in moves}
        tangent, last = push(op, backend, state, inputs, some), given_change if "ȳ" in moves else None
        want = stepped(op, backend, inputs, some, ȳ, change if "ȳ" in moves else 0.0)
        bound = RELATIVE * (max((np.abs(w).max(initial=0.0) for w in want.values()), default=0.0) + scale)
        for cotangent in (full, lean):
            got = op.pullback_tangent(state, cotangent, tangent, last)
            assert list(named(got)) == list(shapes)
            assert len(got.outputs) == 1
            assert got.outputs[0] is last
            for name, w in want.items():
                assert_close(f"derivative of the cotangent of {name} by {moves}", named(got)[name], w, bound, op)
    tangent, rest = push(op, backend, state, inputs, along), op.pushforward(state)
    silent = op.pullback_tangent(state, op.pullback(state), tangent)
    for still in (silent, op.pullback_tangent(state, full, rest), op.pullback_tangent(state, full, rest, None)):
        for name, a in named(still).items():
            assert_equal(f"a derivative of {name} by nothing", a, np.zeros(shapes[name]))
    one, two = (op.pullback_tangent(state, full, tangent, given_change) for _ in range(2))
    everything = {f"{k} {n}": a for k, c in enumerate((one, two, full, lean)) for n, a in named(c).items()}
    everything.update({f"given {k}": x for k, x in enumerate((*moved, given_y, given_change))}, ẏ=tangent.outputs[0])
    everything.update({f"ẋ {k}": d for k, d in enumerate(tangent.inputs)}, y=state.outputs[0])
    everything.update({f"own {n}": a for n, a in op.parameters().items()})
    assert_no_shared_memory(everything, op)


def named(cotangent):
    """Return the arrays of a cotangent by name."""
    return {f"inputs[{k}]": c for k, c in enumerate(cotangent.inputs)} | dict(cotangent.parameters)


def stepped(op, backend, inputs, along, ȳ, change):
    """Return the derivative of the pullback by the complex step of it, everything moved by i h at once."""

    def lifted(name, x):
        return backend.from_host(np.asarray(x + 1j * STEP * along.get(name, 0.0), dtype=complex))

    there = op.replace(**{name: lifted(name, to_host(a)) for name, a in op.parameters().items()})
    state = there.solve(*(lifted(f"inputs[{k}]", x) for k, x in enumerate(inputs)))
    cotangent = there.pullback(state, backend.from_host(np.asarray(ȳ + 1j * STEP * change, dtype=complex)))
    return {name: to_host(a).imag / STEP for name, a in named(cotangent).items()}


def push(op, backend, state, inputs, along):
    directions = [along.get(f"inputs[{k}]") for k in range(len(inputs))]
    moved = [None if d is None else locked(backend, d) for d in directions]
    named = {name: locked(backend, d) for name, d in along.items() if not name.startswith("inputs[")}
    return op.pushforward(state, *moved, **named)


def kinds(op, backend, inputs, seed_y):
    """Return the dtypes of all results."""
    state = op.solve(*(locked(backend, x) for x in inputs))
    cotangent = op.pullback(state, locked(backend, seed_y))
    tangent = op.pushforward(state, *(locked(backend, x) for x in inputs))
    results = [*state.outputs, *cotangent.inputs, *cotangent.parameters.values(), *op.pushforward(state).outputs]
    try:
        seconds = [op.pullback_tangent(state, cotangent, tangent, y) for y in (locked(backend, seed_y), None)]
    except mk.DerivativeError:  # not of class C¹, or without a formula for the second derivative
        seconds = []
    results += [a for c in seconds for a in (*c.inputs, *c.parameters.values())]
    return {dtype_name(a) for a in results}
