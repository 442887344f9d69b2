"""The array module: library, device and precision are read from the arrays, never guessed.

Every public call asks here, once, which library its arrays belong to, and is refused if they
disagree; nothing is ever moved or cast silently. This is the only place, besides the GPU kernels,
where the name ``cupy`` appears.
"""

from .backend import NUMPY, Array, Backend, astype, backend_of, dtype_name, erfc, namespace, real, to_host
from .checks import DTYPES, as_array, check_alike, common_backend, near, precision
from .pick import pick_backend

__all__ = [
    "DTYPES",
    "NUMPY",
    "Array",
    "Backend",
    "as_array",
    "astype",
    "backend_of",
    "check_alike",
    "common_backend",
    "dtype_name",
    "erfc",
    "namespace",
    "near",
    "pick_backend",
    "precision",
    "real",
    "to_host",
]
