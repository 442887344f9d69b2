"""The engine: the reference sweep, normative and readable."""

from .reference import sweep

__all__ = ["sweep"]
