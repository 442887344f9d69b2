"""Saving models: one npz file without pickle, written atomically, read back bit by bit.

The file holds plain arrays and one JSON text, ``structure``, that says how they make a model.
"""

from .model import load, save

__all__ = ["load", "save"]
