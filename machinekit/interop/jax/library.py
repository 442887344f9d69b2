"""What is used of JAX, or one line that tells how to install it."""

try:
    import jax
    import jax.numpy as jnp
    from jax.core import ShapedArray
    from jax.extend.core import Primitive
    from jax.interpreters import ad, batching, mlir
except ModuleNotFoundError as error:
    if error.name not in ("jax", "jaxlib"):
        raise
    raise ImportError("machinekit.interop.jax needs JAX; pip install 'machinekit[jax]'") from None

__all__ = ["Primitive", "ShapedArray", "ad", "batching", "jax", "jnp", "mlir"]
