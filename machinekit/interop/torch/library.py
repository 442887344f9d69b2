"""PyTorch, or one line that tells how to install it."""

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("machinekit.interop.torch needs PyTorch; pip install 'machinekit[torch]'") from None

__all__ = ["torch"]
