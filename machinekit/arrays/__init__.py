"""The array module: library, device and precision are read from the arrays, never guessed.

Every public call asks here, once, which library its arrays belong to, and is refused if they
disagree; nothing is ever moved or cast silently. This is the only place, besides the GPU kernels,
where the name ``cupy`` appears.
"""

from .backend import NUMPY, Array, Backend, astype, backend_of, dtype_name, every, namespace, real, to_host
from .checks import DTYPES, as_array, check_alike, common_backend, integer, near, plainly_alike, precision
from .erf import erfc
from .fresh import Slab, add_to, plus, product
from .pick import pick_backend
from .products import Buffer, products_into, sum_of_products
from .windows import Frame, framed, taps, windows

__all__ = [
    "DTYPES",
    "NUMPY",
    "Array",
    "Backend",
    "Buffer",
    "Frame",
    "Slab",
    "add_to",
    "as_array",
    "astype",
    "backend_of",
    "check_alike",
    "common_backend",
    "dtype_name",
    "erfc",
    "every",
    "framed",
    "integer",
    "namespace",
    "near",
    "pick_backend",
    "plainly_alike",
    "plus",
    "precision",
    "product",
    "products_into",
    "real",
    "sum_of_products",
    "taps",
    "to_host",
    "windows",
]
