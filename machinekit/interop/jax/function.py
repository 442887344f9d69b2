"""to_function: a model as a pure function of JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...arrays import backend_of, dtype_name, near
from ...graph.op import check_op_kind, parameters
from ...machines import Stream
from .calls import Call
from .host import Host
from .library import jax, jnp
from .primitives import bind

__all__ = ["to_function"]

_REAL = ("float32", "float64")
_VMAP = ("auto", "join", "sequential")


def to_function(model: Any, *, vmap: str = "auto") -> Callable[..., Any]:
    """Return a model as a function of JAX, ``f(parameters, *inputs)``.

    Parameters
    ----------
    model : op
        A machine, an op, a `Chain` or a `Hypergraph`, real, in NumPy. It does not change.
    vmap : {"auto", "join", "sequential"}
        What `jax.vmap` does over inputs. "join": the axis becomes a batch axis. "sequential": the host loops over it.
        "auto" joins where all ops are known to take samples one by one: those of this library but for `BatchNorm`,
        and a user's own whose attribute ``couples_samples`` is False. Over parameters, and for the cotangents of
        parameters of each sample, the host always loops.

    Returns
    -------
    function
        ``f(parameters, *inputs)``: `parameters` a mapping of name to array as ``model.parameters()``, inputs of shape
        (*batch, *grid, channel), all of the model's precision; a JAX array, or a tuple of them if the model has
        several outputs.

    Raises
    ------
    TypeError, ValueError
        Here: no op, a stream, a complex model or one that is not in NumPy. From the function, when it is traced:
        other names, shapes or dtypes than the model's. `mk.DerivativeError`, a TypeError, when it is differentiated
        more often than the model, or more than twice. What goes wrong later, in compiled code, as an equilibrium that
        does not converge, is raised by JAX, with the message inside.

    Notes
    -----
    The function works under `jax.jit`, `grad`, `vjp`, `jvp`, `vmap`, `jacrev`, `jacfwd`, `hessian` and
    `lax.scan`, in both modes up to order two. Dead weights have the cotangent zero. Forward mode on forward mode is
    the complex step of the tangent, for which ops need to accept complex arrays; all others are the model's verbs.

    Examples
    --------
    >>> import jax, numpy as np, machinekit as mk
    >>> from machinekit.interop.jax import to_function
    >>> machine = mk.DenseMachine((1, 1), "square", weight=np.array([[0, 2], [0, 0]], dtype=np.float32))
    >>> f = to_function(machine)
    >>> x = np.array([3.0], dtype=np.float32)
    >>> loss = lambda parameters, x: f(parameters, x)[-1]  # (2 x²)²
    >>> parameters = machine.parameters()
    >>> print(loss(parameters, x), jax.grad(loss, argnums=1)(parameters, x), jax.grad(loss)(parameters, x)["weight"])
    324.0 [432.] [[  0. 324.]
     [  0.   0.]]
    """
    _check_model(model)
    if vmap not in _VMAP:
        raise ValueError(f"vmap={vmap!r} is unknown; {near(vmap, _VMAP)}")
    host = Host(model, None if vmap == "auto" else vmap == "join")
    shapes = {name: tuple(a.shape) for name, a in parameters(model).items()}
    dtype = next((dtype_name(a) for a in parameters(model).values()), None)

    def function(parameters: Mapping[str, Any], *inputs: Any) -> Any:
        given = _read_parameters(shapes, parameters)
        signals = {f"inputs[{k}]": x for k, x in enumerate(inputs)}
        if not signals:
            raise TypeError("the function got no inputs; call it as f(parameters, *inputs)")
        _check_dtypes({**given, **signals}, dtype)
        arrays = [jnp.asarray(a) for a in (*given.values(), *inputs)]
        outputs = bind("solve", Call(host, len(arrays)), arrays)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    function.__name__ = function.__qualname__ = type(model).__name__
    function.__doc__ = f"Return what {model!r} makes of inputs, with these parameters."
    return function


def _check_model(model: Any) -> None:
    """Refuse what cannot be a pure function of real host arrays."""
    if isinstance(model, Stream):
        raise TypeError(
            "model is a Stream, which carries its past from call to call, but functions of JAX are pure; "
            "pass the machine that it was made from, and whole series"
        )
    check_op_kind(model, "model")
    for name, array in parameters(model).items():
        home = backend_of(array, name)
        if home.name != "numpy":
            raise TypeError(f"parameter {name} is in {home} but JAX calls back to the host; pass model.to('numpy')")
        if dtype_name(array) not in _REAL:
            raise TypeError(
                f"parameter {name} is {dtype_name(array)}; only real models become functions of JAX, "
                "so write real and imaginary part as two channels"
            )


def _read_parameters(shapes: Mapping[str, tuple[int, ...]], given: Any) -> dict[str, Any]:
    """Return the parameters in the model's order; refuse other names and shapes."""
    if not isinstance(given, Mapping):
        raise TypeError(f"parameters is a {type(given).__name__}; pass a mapping of name to array: model.parameters()")
    lacks, has = [name for name in shapes if name not in given], [repr(name) for name in given if name not in shapes]
    if lacks or has:
        told = " and ".join(f"{verb} {', '.join(names)}" for verb, names in (("lacks", lacks), ("has", has)) if names)
        raise ValueError(f"parameters {told}; the model's are {', '.join(shapes) or 'none'}")
    for name, shape in shapes.items():
        if tuple(getattr(given[name], "shape", shape)) != shape:
            raise ValueError(f"parameter {name} has shape {tuple(given[name].shape)}; pass one of shape {shape}")
    return {name: given[name] for name in shapes}


def _check_dtypes(arrays: Mapping[str, Any], dtype: str | None) -> None:
    """Refuse what is no array of the model's dtype, or of one dtype where the model has no parameters."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray | jax.Array):
            raise TypeError(f"{name} is a {type(array).__name__}, not an array; pass jax.numpy.asarray({name}, float)")
        word = str(array.dtype)
        if word not in _REAL:
            raise TypeError(f"{name} is {word}; pass a real floating array, {dtype or ' or '.join(_REAL)}")
        dtype = dtype or word
        if word != dtype:
            raise TypeError(f"{name} is {word} but {_told(dtype)}; cast one of them: {_mend(name, word, dtype)}")
    if dtype == "float64" and jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise TypeError(
            "the model is in double precision (float64) but JAX in single; "
            "call jax.config.update('jax_enable_x64', True) first, or use model.astype('float32')"
        )


def _told(dtype: str) -> str:
    return f"the model in {'double' if dtype == 'float64' else 'single'} precision ({dtype})"


def _mend(name: str, word: str, dtype: str) -> str:
    double = "" if dtype == "float32" else ", after jax.config.update('jax_enable_x64', True)"
    return f"{name}.astype('{dtype}'){double}, or model.astype('{word}')"
