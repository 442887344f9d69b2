"""PyTorch on the device that is timed: threads, TF32, stream, and compiled functions recorded as CUDA graphs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ..arrays import Backend
from .competitors import CannotExpressError, Competitor

__all__ = ["finisher", "prepare", "record"]


def prepare(torch: Any, backend: Backend, threads: int) -> str:
    """Set PyTorch up as its careful users would: full single precision, cuDNN's algorithms tried out.

    Returns
    -------
    str
        The device for its tensors.

    Raises
    ------
    CannotExpressError
        If the backend is on a GPU that this PyTorch cannot use.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # our products are full single precision
    if backend.name != "cupy":
        return "cpu"
    if not torch.cuda.is_available():
        raise CannotExpressError(f"this PyTorch ({torch.__version__}) sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.cuda.set_device(backend.device.id)
    return f"cuda:{backend.device.id}"


def finisher(torch: Any, backend: Backend) -> Callable[[Any], Any] | None:
    """Return what waits for PyTorch on the host; None where its stream is the one that the events are on.

    CuPy and PyTorch both start with the legacy default stream, whose pointer is 0. CuPy leaves it with
    ``CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1``, or where the caller has made another stream current.
    """
    if backend.name != "cupy":
        return None
    with backend.context():
        events = backend.xp.cuda.get_current_stream().ptr
    if torch.cuda.current_stream().cuda_stream == events:
        return None
    return lambda _: torch.cuda.synchronize()


def record(torch: Any, competitor: Competitor) -> str:
    """Call a compiled competitor until its graphs are recorded.

    Returns
    -------
    str
        Why there are no graphs: what was raised, or that the compiler left some out; empty if there are.
    """
    before = _left_out()
    try:
        for call in (competitor.forward, competitor.gradient):
            for _ in range(4):  # compiled, run once as it is, recorded, replayed
                call()
        torch.cuda.synchronize()
    except Exception as error:  # whatever capturing may raise
        text = str(error).strip().splitlines()
        return f"no CUDA graph: {type(error).__name__}: {text[0] if text else ''}"
    count = _left_out() - before
    return f"no CUDA graph: the compiler left out {count} of them" if count else ""


def _left_out() -> int:
    """Return how many graphs the compiler did not record so far, as it counts them itself."""
    try:
        counters = importlib.import_module("torch._dynamo.utils").counters
    except (ImportError, AttributeError):  # not a public name: then only what is raised tells
        return 0
    return int(counters["inductor"]["cudagraph_skips"])
