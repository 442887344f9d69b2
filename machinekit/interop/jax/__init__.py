"""Machines as functions of JAX: `to_function`."""

from .function import to_function

__all__ = ["to_function"]
