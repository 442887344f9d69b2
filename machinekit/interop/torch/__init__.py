"""Machines inside PyTorch models: `to_module`, and kernels from PyTorch's layers and back."""

from .kernels import from_conv1d, from_conv2d, from_kernel, from_linear, to_conv1d, to_conv2d, to_kernel, to_linear
from .module import MachineModule, to_module
from .recurrent import from_rnn, to_rnn

__all__ = [
    "MachineModule",
    "from_conv1d",
    "from_conv2d",
    "from_kernel",
    "from_linear",
    "from_rnn",
    "to_conv1d",
    "to_conv2d",
    "to_kernel",
    "to_linear",
    "to_module",
    "to_rnn",
]
