"""Reading the arguments of a machine's constructor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..activations import Diagonal, Pointwise, read_activation
from ..arrays import (
    DTYPES,
    Array,
    Backend,
    as_array,
    astype,
    backend_of,
    common_backend,
    dtype_name,
    integer,
    namespace,
    near,
    pick_backend,
    precision,
    to_host,
)
from ..partitions import CHANNELS, Partition

__all__ = [
    "Given",
    "cast",
    "draw",
    "integer",
    "on_device_of",
    "read_bias",
    "read_dtype",
    "read_generator",
    "read_home",
    "read_keep",
    "read_order",
    "read_padding",
    "read_sizes",
    "read_slope",
    "read_weight",
]


@dataclass(frozen=True)
class Given:
    """The arguments that all machines share, as they were given."""

    activation: Any
    weight: Array | None = None
    bias: Any = False
    rng: Any = None
    dtype: Any = None
    backend: Any = None


def _sequence(name: str, value: Any, example: str) -> tuple:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is {value!r}; pass a sequence such as {example}")
    return tuple(value)


def read_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the block sizes: at least one block, none negative."""
    sizes = _sequence("sizes", sizes, "(2, 3, 3)")
    if not sizes:
        raise ValueError("sizes is empty; give at least one block, as in sizes=(2, 3, 3)")
    return tuple(integer(f"sizes[{k}]", size, 0) for k, size in enumerate(sizes))


def read_padding(padding: Any) -> tuple[tuple[int, int], ...]:
    """Return one (before, after) pair per grid axis."""
    pairs = _sequence("padding", padding, "((1, 1),)")
    if not pairs:
        raise ValueError("padding is empty; give one (before, after) pair per grid axis, or use DenseMachine")
    read = []
    for k, pair in enumerate(pairs):
        pair = _sequence(f"padding[{k}]", pair, "(1, 1)")
        if len(pair) != 2:
            raise ValueError(f"padding[{k}] is {pair}; pass a (before, after) pair")
        read.append((integer(f"padding[{k}][0]", pair[0], 0), integer(f"padding[{k}][1]", pair[1], 0)))
    return tuple(read)


def read_order(axes: int, scan: Any, reverse: Any, time_block: Any) -> dict[str, Any]:
    """Return scan, reverse and time_block as a Partition takes them."""
    scan = tuple(integer("scan", axis, 0) for axis in _sequence("scan", scan, "(0,)"))
    if len(set(scan)) < len(scan) or any(axis >= axes for axis in scan):
        raise ValueError(f"scan is {scan}; name each swept grid axis once, from 0 to {axes - 1}")
    reverse = tuple(sorted({integer("reverse", axis, -1) for axis in _sequence("reverse", reverse, "(0,)")}))
    for axis in reverse:
        if axis != CHANNELS and axis not in scan:
            raise ValueError(
                f"reverse names axis {axis}; only scanned axes {scan} and -1, the channel axis, can be reversed"
            )
    try:
        blocks = (integer("time_block", time_block, 1),) * len(scan)
    except TypeError:
        blocks = tuple(integer("time_block", b, 1) for b in _sequence("time_block", time_block, "(1,)"))
    if len(blocks) != len(scan):
        raise ValueError(
            f"time_block has {len(blocks)} entries for {len(scan)} scanned axes; give one for each, or one integer"
        )
    return {"scan": scan, "reverse": reverse, "time_block": blocks}


def read_dtype(dtype: Any) -> str:
    """Return the plain name of a floating dtype."""
    try:
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    name = name.rpartition(".")[2]
    if name not in DTYPES:
        raise TypeError(f"dtype={name!r} is not supported; {near(name, DTYPES)}")
    return name


def read_generator(rng: Any) -> np.random.Generator:
    """Return a NumPy generator from a generator, a seed or None."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None:
        rng = integer("rng", rng, 0)
    return np.random.default_rng(rng)


def cast(array: Array, name: str) -> Array:
    """Copy an array to the dtype of a name."""
    return astype(array, getattr(namespace(array), name))


def read_home(given_backend: Any, arrays: dict[str, Array]) -> Backend:
    """Return the backend of the given arrays, or that of the flag where there is none."""
    if all(array is None for array in arrays.values()):
        return pick_backend(given_backend)
    home = common_backend(arrays)
    if given_backend is not None:
        asked = pick_backend(given_backend)
        if asked.name != home.name or (":" in str(given_backend) and asked.device != home.device):
            name = next(name for name, array in arrays.items() if array is not None)
            raise TypeError(
                f"backend={given_backend!r} but {name} is in {home}; "
                f"leave backend out, or move afterwards with .to({given_backend!r})"
            )
    return home


def draw(shape: tuple[int, ...], live: np.ndarray, rng: Any) -> np.ndarray:
    """Draw a kernel in float64 on the host: N(0, 1/fan-in), fan-in the live weights of each output channel."""
    kernel = read_generator(rng).standard_normal(shape)
    fan_in = live.sum(axis=tuple(range(live.ndim - 1)))
    return np.where(live, kernel / np.sqrt(np.maximum(fan_in, 1)), 0.0)


def read_weight(partition: Partition, given: Given) -> tuple[Array, np.ndarray]:
    """Return the projected weight and the live mask."""
    live = partition.live()
    bias = given.bias if _is_array(given.bias) else None
    diagonal = given.activation.array if isinstance(given.activation, Diagonal) else None
    home = read_home(given.backend, {"weight": given.weight, "bias": bias, "the Diagonal": diagonal})
    name = None if given.dtype is None else read_dtype(given.dtype)
    if given.weight is None:
        kernel = draw(partition.weight_shape, live, given.rng)
        if name is None:
            others = [a for a in (bias, diagonal) if a is not None]
            single = bool(others) and precision(others[0], "bias") == "single"
            name = "float32" if single else "float64"
        return home.from_host(kernel, name), live
    precision(given.weight, "weight")
    if tuple(given.weight.shape) != partition.weight_shape:
        raise ValueError(
            f"weight has shape {tuple(given.weight.shape)}; "
            f"sizes {partition.sizes} need (*lag, in, out) = {partition.weight_shape}"
        )
    if name is not None and name != dtype_name(given.weight):
        raise TypeError(f"dtype={name!r} but weight is {dtype_name(given.weight)}; leave dtype out, or cast the weight")
    xp = namespace(given.weight)
    return xp.where(home.from_host(live), given.weight, xp.zeros_like(given.weight)), live


def _is_array(bias: Any) -> bool:
    return hasattr(bias, "shape") and not isinstance(bias, np.generic)


def read_bias(partition: Partition, given: Given, weight: Array) -> Array | None:
    """Return the bias: none, zeros, or a copy of a given array."""
    if isinstance(given.bias, bool | np.bool_):
        if not given.bias:
            return None
        return backend_of(weight).zeros((partition.channels,), weight.dtype)
    bias = as_array(given.bias, "bias")
    common_backend({"weight": weight, "bias": bias})
    if precision(bias, "bias") != precision(weight, "weight"):
        raise TypeError(
            f"bias is {bias.dtype} but the weight {weight.dtype}; cast one of them to the other's precision"
        )
    if tuple(bias.shape) != (partition.channels,):
        raise ValueError(
            f"bias has shape {tuple(bias.shape)}; pass one entry per channel, shape ({partition.channels},)"
        )
    return astype(bias)


def read_slope(given: Given, weight: Array, partition: Partition) -> Pointwise:
    """Return the pointwise part; a Diagonal must agree with the weight."""
    sigma = read_activation(given.activation, partition.blocks)
    if isinstance(sigma, Diagonal):
        common_backend({"weight": weight, "the Diagonal": sigma.array})
        if precision(sigma.array, "the Diagonal") != precision(weight, "weight"):
            raise TypeError(
                f"the Diagonal is {sigma.array.dtype} but the weight {weight.dtype}; "
                "cast one of them to the other's precision"
            )
        last = sigma.array.shape[-1:]
        if last and last[0] not in (1, partition.channels):
            raise ValueError(f"the Diagonal has {last[0]} channels; pass {partition.channels}, one per channel, or 1")
    return sigma


def read_keep(mask: Any, partition: Partition) -> np.ndarray:
    """Return a pruning mask on the host."""
    if not hasattr(mask, "shape") or dtype_name(mask) != "bool":
        kind = dtype_name(mask) if hasattr(mask, "shape") else type(mask).__name__
        raise TypeError(
            f"mask is {kind}; pass a bool array, True where a weight is kept, such as abs(weight) > threshold"
        )
    if tuple(mask.shape) != partition.weight_shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}; pass the shape of the weight, {partition.weight_shape}")
    return np.array(to_host(mask), dtype=bool)


def on_device_of(array: Array, mask: np.ndarray) -> Array:
    """Return a host mask where an array is: itself for NumPy, a copy elsewhere."""
    return mask if isinstance(array, np.ndarray) else backend_of(array).from_host(mask)
