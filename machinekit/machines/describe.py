"""A machine in words: one line for repr, a table for `describe()`. Never values, never a device call."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ..activations import Diagonal
from ..arrays import backend_of, dtype_name
from ..partitions import CHANNELS, Partition

if TYPE_CHECKING:
    from .form import Form

__all__ = ["block_graph", "describe", "summary"]

_LAGS_SHOWN = 32


def summary(machine: Form) -> str:
    """Return one line: class, sizes, activation, order, dtype, place, parameter count."""
    p = machine.partition
    words = [repr(p.sizes), _activation_word(machine), *_order_words(p)]
    home = backend_of(machine.weight)
    place = f"{_dtype_word(machine)} on {home}, {machine.parameter_count} parameters"
    return f"{type(machine).__name__}({', '.join(words)}, {place})"


def _activation_word(machine: Form) -> str:
    a = machine.activation
    return repr(a) if isinstance(a, Diagonal) else machine.pointwise.name


def _dtype_word(machine: Form) -> str:
    return str(getattr(machine.dtype, "name", machine.dtype)).rpartition(".")[2]


def _order_words(p: Partition) -> list[str]:
    words = []
    if p.padding:
        words.append(f"padding={p.padding}")
    if p.scan:
        words.append(f"scan={p.scan}")
        words.append(f"time_block={p.time_block[0] if len(set(p.time_block)) == 1 else p.time_block}")
    if p.reverse:
        words.append(f"reverse={p.reverse}")
    return words


def block_graph(partition: Partition, live: np.ndarray) -> np.ndarray:
    """Return which block reads which directly: bool [source, target], through any lag."""
    flat = np.any(live, axis=tuple(range(live.ndim - 2)), keepdims=True).reshape(live.shape[-2:])
    n = len(partition.sizes)
    graph = np.zeros((n, n), dtype=bool)
    for (i, a), (j, b) in itertools.product(enumerate(partition.blocks), repeat=2):
        graph[i, j] = flat[a, b].any()
    return graph


def _closure(graph: np.ndarray) -> np.ndarray:
    """Return the transitive closure: influence along any path."""
    reach = graph.copy()
    for k in range(len(graph)):
        reach |= np.outer(reach[:, k], reach[k])
    return reach


def describe(machine: Form) -> str:
    """Return the text of `Machine.describe`."""
    p, live = machine.partition, machine.live
    graph = block_graph(p, machine.reads())
    reach = _closure(graph)
    loops = [k for k in range(len(p.sizes)) if reach[k, k]]
    rows = [
        f"{type(machine).__name__}: x = (y, z), y = W z + b + y0, z = σ(y) + z0",
        f"numbers      {_dtype_word(machine)} on {backend_of(machine.weight)}",
        f"order        {_order_sentence(p)}",
        f"parameters   {machine.parameter_count}: {int(live.sum())} live weights of {live.size}"
        + ("" if machine.bias is None else f", {p.channels} bias entries ({dtype_name(machine.bias)})"),
        *machine.more_rows(),
        "recurrent    " + (f"{_names(loops)} feed back into themselves" if loops else "nothing: no block feeds itself"),
        "",
        "block  channels   activation     reads                    is influenced by",
    ]
    sigma = machine.pointwise
    for k, s in enumerate(p.blocks):
        name = "diagonal" if isinstance(sigma, Diagonal) else sigma.activations[k].name
        direct, all_ = _names(np.flatnonzero(graph[:, k])), _names(np.flatnonzero(reach[:, k]))
        span = f"{s.start}:{s.stop}" if s.stop > s.start else "none"
        rows.append(f"{k:<5}  {span:<9}  {name:<13}  {direct:<23}  {all_}")
    return "\n".join(rows + _lag_rows(p, live))


def _names(blocks: list[int] | np.ndarray) -> str:
    blocks = [int(k) for k in blocks]
    if not blocks:
        return "nothing"
    runs: list[list[int]] = []
    for k in blocks:
        if runs and k == runs[-1][1] + 1:
            runs[-1][1] = k
        else:
            runs.append([k, k])
    words = ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
    return f"block{'s' if len(blocks) > 1 else ''} {words}"


def _order_sentence(p: Partition) -> str:
    channels = "last block first" if CHANNELS in p.reverse else "first block first"
    if not p.scan:
        return channels
    axes = ", ".join(
        f"grid axis {a} {'from its end' if a in p.reverse else 'from its start'} in time blocks of {b}"
        for a, b in zip(p.scan, p.time_block, strict=True)
    )
    return f"{axes}; within each, {channels}"


def _lag_rows(p: Partition, live: np.ndarray) -> list[str]:
    if not p.padding:
        return []
    rows = ["", "lag        live weights (lag > 0 looks at the past, the lower index)"]
    for lag in p.lags[:_LAGS_SHOWN]:
        tap = live[p.tap(lag)]
        word = ", ".join(map(str, lag))
        note = (
            "none"
            if not tap.any()
            else "all channels"
            if tap.all()
            else "blocks in order"
            if not _pruned(p, lag, tap)
            else "pruned"
        )
        rows.append(f"{word:<9}  {int(tap.sum()):>5} of {tap.size}  {note}")
    if len(p.lags) > _LAGS_SHOWN:
        rows.append(f"… and {len(p.lags) - _LAGS_SHOWN} more lags")
    return rows


def _pruned(p: Partition, lag: tuple[int, ...], tap: np.ndarray) -> bool:
    rule = np.zeros_like(tap)
    for k, block in enumerate(p.blocks):
        rule[p.sources(lag, k), block] = True
    return bool((tap != rule).any())
