"""A stand-in for CuPy on machines without a GPU: its interface on host memory, its refusals, and a count of transfers.

``install()`` puts it in the place of ``cupy``, before anything imports that. It has the functions, methods and keywords
of CuPy 14.2 and no others (``names.json``, which a test compares with CuPy itself where it is installed). Like CuPy it
refuses NumPy arrays, NumPy functions and implicit conversions, gives arrays without axes where NumPy gives scalars,
and does not notice singular matrices. Unlike CuPy it keeps count: `transfers` lists every copy between host and
device and every wait for the device. Kernels written in CUDA are compiled for the host; see `kernels`.

It says nothing about speed, streams, races between blocks, or rounding on a GPU.
"""

from .arrays import ndarray
from .choice import without_kernels
from .install import install, installed
from .ledger import Transfer, launches, transfers

__all__ = ["Transfer", "install", "installed", "launches", "ndarray", "transfers", "without_kernels"]
