"""`machinekit forecast`: a real series, from a CSV file to a figure."""

from .experiment import Outcome, Settings, run
from .outputs import write
from .series import Series, read_series, sunspots

__all__ = ["Outcome", "Series", "Settings", "read_series", "run", "sunspots", "write"]
