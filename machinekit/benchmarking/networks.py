"""Networks of ops against PyTorch: random DAGs of affine-tanh edges, and a small U-Net.

Times of a forward pass, and of a gradient: forward and all cotangents, of inputs and parameters.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import pick_backend, to_host
from ..graph import Affine, Chain, Conv, ConvTranspose, Edge, Hypergraph, Pointwise
from .competitors import OURS, CannotExpressError, installed
from .problem import tolerance
from .report import format_table, microseconds
from .timing import Pace, Stats, Task, clock_for, limit_threads, measure

__all__ = ["NETWORKS", "NetworkOutcome", "NetworkWorkload", "dag", "format_networks", "run_networks", "unet"]


@dataclass(frozen=True)
class NetworkWorkload:
    """A network and the batch it is timed on; data are drawn with seed 1.

    Attributes
    ----------
    id : str
    make : callable (dtype, backend) -> Hypergraph
    batch : int
    """

    id: str
    make: Callable[[str, Any], Hypergraph]
    batch: int = 32


@dataclass(frozen=True)
class NetworkOutcome:
    """What was measured on one network.

    `wrong` says where a peer's results differ, `unable` why it cannot take part; then it has no times.
    """

    workload: NetworkWorkload
    times: Mapping[tuple[str, str], Stats]
    wrong: str = ""
    unable: str = ""

    def ratio(self) -> float | None:
        """Return the time of PyTorch's gradient over ours, of minima."""
        theirs = self.times.get(("torch", "gradient"))
        return None if theirs is None else theirs.minimum / self.times[OURS, "gradient"].minimum


def dag(width: int, dtype: str = "float32", backend: Any = None, spaces: int = 20, edges: int = 50) -> Hypergraph:
    """Return a random DAG of edges tanh(x W + b): a path through all spaces, and random shortcuts."""
    rng = np.random.default_rng(0)
    pairs = [(i, j) for i in range(spaces) for j in range(i + 2, spaces)]
    chosen = [(k, k + 1) for k in range(spaces - 1)]
    chosen += [pairs[k] for k in rng.permutation(len(pairs))[: edges - len(chosen)]]
    home = pick_backend(backend)

    def edge(i: int, j: int) -> Edge:
        affine = Affine(width, width, rng=rng, dtype=dtype, backend=home)
        return Edge(f"f{i}to{j}", Chain([affine, Pointwise("tanh")]), f"x{i} -> x{j}")

    return Hypergraph({f"x{k}": width for k in range(spaces)}, [edge(i, j) for i, j in chosen])


def unet(
    dtype: str = "float32", backend: Any = None, image: int = 16, channels: int = 16, activation: str = "relu"
) -> Hypergraph:
    """Return a U-Net: two levels of strided convolutions, transposed ones back, skips by hyperedges."""
    rng, home, c = np.random.default_rng(0), pick_backend(backend), channels

    def layer(kind: Any, n_in: int, n_out: int, size: int, **more: Any) -> Chain:
        return Chain(
            [kind(n_in, n_out, (size, size), rng=rng, dtype=dtype, backend=home, **more), Pointwise(activation)]
        )

    half, quarter = image // 2, image // 4
    spaces = {
        "image": (image, image, 1), "top": (image, image, c), "middle": (half, half, 2 * c),
        "bottom": (quarter, quarter, 4 * c), "up": (half, half, 2 * c), "joined": (half, half, 2 * c),
        "upper": (image, image, c), "merged": (image, image, c), "out": (image, image, 1),
    }  # fmt: skip
    last = Conv(c, 1, (1, 1), rng=rng, dtype=dtype, backend=home)
    edges = [
        Edge("enter", layer(Conv, 1, c, 3, padding=1), "image -> top"),
        Edge("down1", layer(Conv, c, 2 * c, 2, stride=2), "top -> middle"),
        Edge("down2", layer(Conv, 2 * c, 4 * c, 2, stride=2), "middle -> bottom"),
        Edge("up2", layer(ConvTranspose, 4 * c, 2 * c, 2, stride=2), "bottom -> up"),
        Edge("join", layer(Conv, 4 * c, 2 * c, 3, padding=1), "up middle -> joined"),
        Edge("up1", layer(ConvTranspose, 2 * c, c, 2, stride=2), "joined -> upper"),
        Edge("merge", layer(Conv, 2 * c, c, 3, padding=1), "upper top -> merged"),
        Edge("leave", last, "merged -> out"),
    ]
    return Hypergraph(spaces, edges)


NETWORKS: tuple[NetworkWorkload, ...] = (
    NetworkWorkload("dag-16", lambda dtype, backend: dag(16, dtype, backend)),
    NetworkWorkload("dag-256", lambda dtype, backend: dag(256, dtype, backend)),
    NetworkWorkload("unet", lambda dtype, backend: unet(dtype, backend)),
)


def run_networks(
    dtype: str = "float32", backend: Any = None, threads: int = 1, pace: Pace | None = None,
    workloads: Sequence[NetworkWorkload] = NETWORKS,
) -> list[NetworkOutcome]:  # fmt: skip
    """Time all networks, PyTorch beside them where it is installed and agrees."""
    return [_run(w, dtype, backend, threads, pace) for w in workloads]


def _run(workload: NetworkWorkload, dtype: str, backend: Any, threads: int, pace: Pace | None) -> NetworkOutcome:
    print(f"… {workload.id}", file=sys.stderr, flush=True)
    net, home = workload.make(dtype, backend), pick_backend(backend)
    rng = np.random.default_rng(1)
    (source,), (target,) = net.inputs, net.outputs
    x, seed = (home.from_host(rng.standard_normal((workload.batch, *net.spaces[n])), dtype) for n in (source, target))
    todo = [
        Task((OURS, "forward"), lambda _: net.solve(x)),
        Task((OURS, "gradient"), lambda _: net.pullback(net.solve(x), seed)),
    ]
    wrong = unable = ""
    with limit_threads(threads):
        try:
            peer = _torch(net, x, seed, threads)
        except CannotExpressError as reason:
            peer, unable = None, str(reason)
        if peer is not None:
            wrong = _compare(net, x, seed, peer, tolerance(dtype))
            if not wrong:
                todo += [
                    Task(("torch", "forward"), lambda _: peer.forward(), finish=peer.finish),
                    Task(("torch", "gradient"), lambda _: peer.gradient(), finish=peer.finish),
                ]
        return NetworkOutcome(workload, measure(todo, clock_for(home), pace), wrong, unable)


def _torch(net: Hypergraph, x: Any, seed: Any, threads: int) -> Any:
    """Return the network in PyTorch, None if that is not installed."""
    if not installed("torch"):
        return None
    return importlib.import_module(".torch_networks", __package__).TorchNetwork(net, x, seed, threads)


def _compare(net: Hypergraph, x: Any, seed: Any, peer: Any, rtol: float) -> str:
    """Return the first cotangent in which the peer differs, "" if all agree."""
    cotangent = net.pullback(net.solve(x), seed)
    ours = {"input": cotangent.inputs[0], **cotangent.parameters}
    for name, theirs in peer.results().items():
        a = to_host(ours[name])
        error = float(np.max(np.abs(a - theirs), initial=0.0)) / (float(np.max(np.abs(a), initial=0.0)) or 1.0)
        if not error <= 10 * rtol:
            return f"the cotangent of {name} differs by {error:.1e} relative"
    return ""


def format_networks(outcomes: Sequence[NetworkOutcome]) -> str:
    """Return the times as a markdown table, and what was wrong."""
    rows = []
    for o in outcomes:
        for name in dict.fromkeys(competitor for competitor, _ in o.times):
            each = [o.times[name, operation] for operation in ("forward", "gradient")]
            cells = [microseconds(each[0].minimum), microseconds(each[1].minimum), microseconds(each[1].median)]
            ratio = o.ratio() if name == "torch" else 1.0
            rows.append([o.workload.id, name, *cells, f"{ratio:.2f}"])
    table = format_table(("network", "competitor", "forward", "gradient", "median", "× ours"), rows)
    remarks = [f"{o.workload.id}: torch is not timed, {o.wrong or o.unable}" for o in outcomes if o.wrong or o.unable]
    return "\n\n".join([table, *remarks])
