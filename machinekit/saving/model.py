"""save and load: a model as one file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..activations import Activation
from ..arrays import Backend, near, pick_backend
from .archive import UNREADABLE, read_archive, write_archive
from .kinds import Reader, Writer, own_names

__all__ = ["load", "save"]


def save(path: str | os.PathLike[str], model: Any) -> None:
    """Write a model to a file.

    Parameters
    ----------
    path : str or path
        Taken as it is; ``.npz`` is customary. A file already there is replaced as a whole, or, if
        anything fails, left as it was.
    model : Machine, built-in op, Chain or Hypergraph
        On any backend; containers may nest, and ops that are shared stay shared.

    Raises
    ------
    TypeError
        If the model is or contains something else, such as an op of your own.
    ValueError
        If two different activations of your own have one name.
    OSError
        If the file cannot be written.

    Notes
    -----
    Arrays are stored on the host in C order with their dtype, the live mask where weights were
    pruned, built-in activations by name and options, your own by name only. The bytes go to a new
    file in the same folder first, are flushed to the disk, and take the name in one step.

    Examples
    --------
    >>> import os, tempfile, numpy as np, machinekit as mk
    >>> from machinekit.saving import load, save
    >>> model = mk.Chain([mk.DenseMachine((1, 2), rng=0), mk.Affine(3, 1, rng=1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(os.path.join(folder, "model.npz"), model)
    ...     again = load(os.path.join(folder, "model.npz"))
    >>> bool(np.all(again.parameters()["0.weight"] == model.parameters()["0.weight"]))
    True
    """
    writer = Writer()
    root = writer.add(model, "model")
    write_archive(os.fspath(path), {"root": root, "nodes": writer.nodes}, writer.arrays)


def load(
    path: str | os.PathLike[str],
    *,
    backend: str | Backend | None = None,
    activations: Mapping[str, Activation] | None = None,
) -> Any:
    """Read a model from a file that `save` wrote: the same class, structure, sharing, and bits.

    Parameters
    ----------
    path : str or path
    backend : str, optional
        Where the arrays go: "numpy", "cupy", "cupy:1"; by default `MACHINEKIT_BACKEND`, else NumPy.
    activations : mapping of str to Activation, optional
        Your own activations by the names they had when the model was saved.

    Raises
    ------
    FileNotFoundError, OSError
        If the file cannot be opened.
    ValueError
        A damaged or truncated file, one that is no model, one of a newer version, or an activation
        of your own that is not given.
    TypeError
        If `activations` maps to something else.
    ModuleNotFoundError, RuntimeError
        CuPy not installed; no GPU.

    Notes
    -----
    Nothing in the file is executed: arrays are read with ``allow_pickle=False``.
    """
    home = pick_backend(backend)
    name = os.fspath(path)
    own = _read_own(activations)
    with open(name, "rb") as file:
        data = file.read()
    text, arrays = read_archive(name, data)
    try:
        missing = sorted(own_names(text["nodes"]) - set(own))
    except UNREADABLE as error:
        raise _damaged(name, error) from error
    if missing:
        hint = f" ({near(missing[0], own)})" if own else ""
        raise ValueError(
            f"{name} uses activations that are not built in: {', '.join(missing)}; pass them, as in "
            f"load(path, activations={{{missing[0]!r}: mk.Activation(…)}}){hint}"
        )
    try:
        return Reader(text["nodes"], arrays, home, own).op(text["root"])
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ValueError:
    return ValueError(f"{name} is damaged, its parts do not fit ({error!r}); restore it or save the model again")


def _read_own(activations: Mapping[str, Activation] | None) -> dict[str, Activation]:
    own = dict(activations or {})
    for name, activation in own.items():
        if not isinstance(activation, Activation):
            raise TypeError(f"activations[{name!r}] is {activation!r}; pass an mk.Activation")
    return own
