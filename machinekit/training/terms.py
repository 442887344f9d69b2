"""Terms: the penalties of an objective, whether they read the parameters alone or the model and the data too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from ..arrays import Array
from .evaluation import Evaluation
from .layout import Layout

__all__ = ["Term", "read_terms"]

_EXAMPLE = "pass objects such as penalties.l2(0.01)"


class Term:
    """One penalty, asked by one set of methods.

    Parameters
    ----------
    penalty : object
        With ``value(params)`` and ``gradient(params)``, and ``hessp(params, d)`` where second derivatives are
        wanted; or, if it reads the model and the data, with ``value_at(at)``, ``gradient_at(at)`` and
        ``hessp_at(at, d)`` of an `Evaluation`, maybe ``gauss_newton_at(at, d)``.
    name : str
        What messages call it.
    """

    def __init__(self, penalty: Any, name: str) -> None:
        self.penalty, self.name = penalty, name
        self._reads_model = hasattr(penalty, "value_at")

    def value(self, at: Evaluation) -> Any:
        """Return the penalty."""
        return self.penalty.value_at(at) if self._reads_model else self.penalty.value(at.params)

    def gradient(self, at: Evaluation) -> Mapping[str, Array]:
        """Return its gradient by name; a name that is left out is zero."""
        return self.penalty.gradient_at(at) if self._reads_model else self.penalty.gradient(at.params)

    def hessp(self, at: Evaluation, d: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return its Hessian times d, by name.

        Raises
        ------
        TypeError
            If the penalty has none.
        """
        verb = "hessp_at" if self._reads_model else "hessp"
        product = getattr(self.penalty, verb, None)
        if product is None:
            raise TypeError(
                f"{self.name} is {self.penalty!r}, which has no {verb}, and second derivatives need it; "
                f"give it a method {verb}({'at' if self._reads_model else 'params'}, d) that returns its Hessian "
                "times d, by name"
            )
        return product(at if self._reads_model else at.params, d)

    def gauss_newton(self, at: Evaluation, d: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return its own Gauss–Newton product, if it has one, else its Hessian's."""
        product = getattr(self.penalty, "gauss_newton_at", None)
        return self.hessp(at, d) if product is None else product(at, d)

    def of_strength_one(self) -> Term:
        """Return the same penalty of strength 1, whose gradient is ∂²J/∂θ∂λ.

        Raises
        ------
        TypeError
            If the penalty is no dataclass with a field ``strength``.
        """
        if not (is_dataclass(self.penalty) and hasattr(self.penalty, "strength")):
            raise TypeError(
                f"{self.name} is {self.penalty!r}, which is no dataclass with a field strength; make it one, "
                "or build the objective without it and give the derivative of its gradient as a column of cross"
            )
        return Term(replace(self.penalty, strength=1.0), self.name)  # type: ignore[type-var]


def read_terms(penalties: Any, layout: Layout) -> tuple[Term, ...]:
    """Check one penalty or several, and hand each the live masks.

    Raises
    ------
    TypeError
        For anything that is no penalty.
    """
    given = (penalties,) if _is_penalty(penalties) else tuple(penalties)
    terms = []
    for k, penalty in enumerate(given):
        if not _is_penalty(penalty):
            raise TypeError(f"penalties[{k}] is {penalty!r}; {_EXAMPLE}")
        bound = penalty.bind(layout.masks) if hasattr(penalty, "bind") else penalty
        terms.append(Term(bound, f"penalties[{k}]"))
    return tuple(terms)


def _is_penalty(given: Any) -> bool:
    if isinstance(given, type):
        return False
    return any(
        callable(getattr(given, value, None)) and hasattr(given, slope)
        for value, slope in (("value", "gradient"), ("value_at", "gradient_at"))
    )
