"""The derivatives of a model as nodes of PyTorch's graph: the pullback, and the derivative of the pullback.

x ↦ f(x, θ) has the backward ȳ ↦ (x̄, θ̄) = Jᵀ ȳ, one run of the dual. That is a function of (x, θ, ȳ), and its own
backward, of seeds (a, α), is

    ȳ ↦ J (a, α), one run of the tangent, and (x, θ) ↦ ∂/∂s Jᵀ(x + s a, θ + s α) ȳ, one of the tangent of the dual,

since ⟨(a, α), Jᵀ ȳ⟩ = ⟨J (a, α), ȳ⟩, and second derivatives are symmetric. PyTorch's gradients of complex tensors are
conjugate to cotangents.
"""

from __future__ import annotations

from typing import Any

from ...errors import DerivativeError
from .call import Call
from .library import torch

__all__ = ["Curve", "Pull", "Run"]


class Run(torch.autograd.Function):
    """Inputs and parameters to outputs."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Any) -> Any:
        """Run the model."""
        outputs = call.solve()
        made = call.tensors(outputs, call.state.inputs)
        ctx.call, ctx.conjugate = call, any(t.is_complex() for t in made)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *(made if call.present.kept.reads_outputs else ()))
        if not all(t.is_floating_point() or t.is_complex() for t in made):
            ctx.mark_non_differentiable(*(t for t in made if not (t.is_floating_point() or t.is_complex())))
        return made[0] if len(made) == 1 else tuple(made)

    @staticmethod
    def backward(ctx: Any, *seeds: Any) -> Any:
        """Run the dual."""
        call, needs = ctx.call, ctx.needs_input_grad
        tensors = ctx.saved_tensors[: len(needs) - 1]
        if seeds[0] is None and all(seed is None for seed in seeds):
            return (None,) * len(needs)
        if ctx.conjugate:
            seeds = _conjugates(seeds)
        if torch.is_grad_enabled():
            made = Pull.apply(call, needs[1:], *tensors, *seeds)
        else:
            arrays = [call.home.array(seed) for seed in seeds]
            found = call.cotangents(call.pullback(arrays), needs[1:])
            made = call.tensors(found, arrays)
        return None, *(_conjugates(made, tensors) if ctx.conjugate else made)


class Pull(torch.autograd.Function):
    """Inputs, parameters and seeds to the cotangents of inputs and parameters."""

    @staticmethod
    def forward(ctx: Any, call: Call, needs: tuple[bool, ...], *tensors: Any) -> Any:
        """Run the dual, and keep it."""
        arrays = [call.home.array(seed) for seed in tensors[len(needs) :]]
        cotangent = call.pullback(arrays)
        found = call.cotangents(cotangent, needs)
        made = call.tensors(found, arrays)
        ctx.call, ctx.cotangent, ctx.count = call, cotangent, len(tensors)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *made)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *bars: Any) -> Any:
        """Run the tangent, and the tangent of the dual."""
        _, _, *needs = ctx.needs_input_grad
        tensors = ctx.saved_tensors[: ctx.count]
        if all(bar is None for bar in bars):
            return (None,) * (2 + len(needs))
        bars = _conjugates(bars)
        if torch.is_grad_enabled():
            made = Curve.apply(ctx.call, ctx.cotangent, needs, bars, *tensors, *bars)
        else:
            made = _curve(ctx.call, ctx.cotangent, needs, bars)
        return None, None, *_conjugates(made, tensors)


class Curve(torch.autograd.Function):
    """The backward of `Pull`, which has no backward itself."""

    @staticmethod
    def forward(ctx: Any, call: Call, cotangent: Any, needs: Any, bars: Any, *tensors: Any) -> Any:
        """Run the tangent, and the tangent of the dual."""
        return tuple(_curve(call, cotangent, needs, bars))

    @staticmethod
    def backward(ctx: Any, *seeds: Any) -> Any:
        """Refuse."""
        raise DerivativeError(
            "third derivatives are asked for but a module has those up to order two; take the last one without "
            "create_graph=True"
        )


def _curve(call: Call, cotangent: Any, needs: Any, bars: Any) -> list[Any]:
    """Return the gradients of inputs, parameters and seeds along cotangents of the first two."""
    count = len(bars)
    tangent = call.pushforward([call.home.array(bar) for bar in bars])
    found: list[Any] = [None] * count
    if any(needs[:count]):
        found = call.cotangents(call.pullback_tangent(cotangent, tangent), needs[:count])
    found += [array if need else None for array, need in zip(tangent.outputs, needs[count:], strict=True)]
    return call.tensors(found, ())


def _conjugates(made: Any, like: Any = None) -> Any:
    """Return conjugates, and the real part where the tensor that it is the gradient of is real."""
    real = (False,) * len(made) if like is None else [t is None or not t.is_complex() for t in like]
    return tuple(
        t if t is None or not t.is_complex() else t.real if part else t.conj()
        for t, part in zip(made, real, strict=True)
    )
