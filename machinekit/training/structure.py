"""What an objective reads of a model's structure: which axes of its outputs are grid, by its parts."""

from __future__ import annotations

from typing import Any

from ..graph.op import parts

__all__ = ["grid_axes", "machine_axes", "output_axes", "partition_of"]


def partition_of(op: Any) -> Any:
    """Return the partition of a machine, or of the machine that an op wraps; None for any other op."""
    own = getattr(op, "partition", None)
    return partition_of(op.op) if own is None and hasattr(op, "op") else own


def _inside(op: Any) -> list[Any]:
    """Return the parts of a container, or the one op that an op wraps."""
    return [op.op] if hasattr(op, "op") else list(parts(op).values())


def machine_axes(op: Any) -> int:
    """Return the most grid axes of a machine in the model."""
    own = getattr(getattr(op, "partition", None), "axes", 0)
    return max([own, *map(machine_axes, _inside(op))])


def output_axes(op: Any) -> int:
    """Return the most grid axes that the output may have: those of the machines since the last `Reshape`, or its own"""
    after = getattr(op, "after", None)
    if isinstance(after, tuple):
        return max(len(after) - 1, 0)
    if not hasattr(op, "ops"):
        return machine_axes(op)
    axes = 0
    for one in reversed(op.ops):
        axes = max(axes, output_axes(one))
        if isinstance(getattr(one, "after", None), tuple):
            break
    return axes


def grid_axes(op: Any) -> int:
    """Return the most axes before the channels along which a part of the model couples positions.

    Machines, convolutions, pooling, reshapes and the like tell; an op of one's own is taken to have none.
    """
    shapes = [getattr(op, name, None) for name in ("kernel_size", "size", "factor")]
    samples = [getattr(op, name, None) for name in ("before", "after", "last")]
    spaces, axis = getattr(op, "spaces", None), getattr(op, "axis", None)
    found = [
        machine_axes(op),
        *(len(shape) for shape in shapes if isinstance(shape, tuple)),
        *(len(shape) - 1 for shape in samples if isinstance(shape, tuple)),
        *(len(shape) - 1 for shape in (spaces.values() if isinstance(spaces, dict) else ())),
        *(-number - 1 for number in (axis,) if isinstance(number, int)),
        *map(grid_axes, _inside(op)),
        0,
    ]
    return max(found)
