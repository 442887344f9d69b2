"""The file of a model: an npz without pickle, written atomically, every checksum read."""

from __future__ import annotations

import io
import json
import os
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

__all__ = ["UNREADABLE", "read_archive", "write_archive"]

_FORMAT, _VERSION = "machinekit", 1
_TEXT = "structure"
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, LookupError, ValueError, TypeError, AttributeError,
    ArithmeticError, OSError,
)  # fmt: skip
"""What reading bytes that are not, or no longer, a model may raise."""


def read_archive(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the structure and the arrays in the bytes of a file.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    data : bytes

    Raises
    ------
    ValueError
        Damaged, truncated or foreign bytes, or those of a newer version.
    """
    if not data.startswith(b"PK"):
        raise ValueError(f"{name} is not a model file; pass one that mk.save wrote")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.removesuffix(".npy"): archive.read(entry) for entry in archive.namelist()}
    except UNREADABLE as error:
        raise ValueError(f"{name} is damaged or cut short ({error}); restore it or save again") from error
    try:
        text = json.loads(_array(entries.pop(_TEXT)).item())
        version, foreign = text["version"], text["format"] != _FORMAT
    except UNREADABLE:
        foreign = True
    if foreign:
        raise ValueError(f"{name} is an archive but not a model file; pass one that mk.save wrote")
    if not isinstance(version, int) or version > _VERSION:
        raise ValueError(
            f"{name} has format version {version} but this machinekit reads up to {_VERSION}; "
            "upgrade machinekit, or save the model again with this version"
        )
    try:
        return text, {key: _array(raw) for key, raw in entries.items()}
    except UNREADABLE as error:
        raise ValueError(f"{name} is damaged ({error}); restore it or save again") from error


def _array(raw: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)


def write_archive(path: str, text: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz beside the target, flush it to the disk, and let it take the target's name.

    Raises
    ------
    OSError
        If any of that fails; a file already there is then as it was, and nothing new is left behind.
    """
    whole = json.dumps({"format": _FORMAT, "version": _VERSION, **text}, allow_nan=False)
    target = os.path.realpath(path)  # a link stays a link
    temporary = os.path.join(os.path.dirname(target), f".{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            np.savez(file, **{_TEXT: np.array(whole), **arrays})  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):  # a private file stays private
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"the model was not saved ({reason}); choose a writable path", path) from error
        raise
