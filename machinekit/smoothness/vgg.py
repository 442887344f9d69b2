"""The VGG network with and without batch normalisation: bounds of its size, Lipschitz constant and smoothness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..arrays import integer, near
from . import pieces
from .activations import activation_piece
from .bounds import Bounds, Row
from .composition import Local, affine, compose
from .evaluate import evaluate
from .maps import convolution, dense, window_overlap
from .radii import read_bound, read_bounds
from .recursion import by_block
from .structure import BiAffine, Layer, Piece, Structure, Term, times

__all__ = ["COLUMNS", "Vgg", "vgg16"]

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_CHOICES = {
    "pooling": ("average", "max"),
    "activation": ("softplus", "relu"),
    "batch_norm": (None, "eps+sigma", "sqrt"),
    "place": ("after pooling", "input"),
    "form": ("sharp", "sums", "ball", "printed"),
    "constants": ("true", "published"),
}
COLUMNS: dict[str, dict[str, Any]] = {
    "smooth": {},
    **{
        f"{form}, {place}, {epsilon:g}": {"batch_norm": form, "place": place, "epsilon": epsilon}
        for form in ("eps+sigma", "sqrt")
        for place in ("after pooling", "input")
        for epsilon in (1e-2, 1e2)
    },
    "relu, max": {"activation": "relu", "pooling": "max"},
}
"""The networks that are compared, by name, as options of `vgg16`."""


@dataclass(frozen=True)
class Vgg:
    """The sixteen layers of VGG-16, with what the constants of its pieces depend on; see `vgg16`."""

    image: int = 224
    batch: int = 128
    pooling: str = "average"
    activation: str = "softplus"
    batch_norm: str | None = None
    epsilon: float | None = None
    place: str = "after pooling"
    constants: str = "true"

    def layers(self) -> Iterator[tuple[BiAffine, tuple[Piece, ...]]]:
        """Yield the map and the pieces of each layer."""
        n, last = self.image, len(_STAGES) - 1
        for stage, widths in enumerate(_STAGES):
            for k, channels in enumerate(widths):
                found = [self._activation(channels * n * n)]
                map = self._convolution(n)
                if k == len(widths) - 1:
                    n //= 2
                    found.append(self._pooling())
                final = stage == last and k == len(widths) - 1
                if self.batch_norm and not (self.place == "input" and final):
                    found.append(self.normalisation(channels * n * n))
                yield map, tuple(found)
        fully = dense(self.batch)
        for width in (4096, 4096):
            yield fully, (self._activation(width),)
        yield fully, (self._softmax(1000),)

    def normalisation(self, features: int) -> Piece:
        """Return the constants of a batch normalisation of so many features."""
        piece = pieces.normalisation(features, self.batch, self.epsilon, self.batch_norm)  # type: ignore[arg-type]
        if self.constants == "true":
            return piece
        eps: float = self.epsilon  # type: ignore[assignment]
        slope = 2.0 / (math.sqrt(eps) if self.batch_norm == "sqrt" else eps)
        bend = 2.0 / (math.sqrt(self.batch) * (eps if self.batch_norm == "sqrt" else eps * eps))
        return replace(piece, size=float(features * self.batch), lipschitz=slope, slope=slope, smoothness=bend)

    def start(self, size: float) -> float:
        """Return a bound of what enters the first convolution, from one of the images."""
        if not self.batch_norm or self.place != "input":
            return size
        piece = self.normalisation(3 * self.image * self.image)
        return min(piece.size, times(piece.lipschitz, size))

    def structure(self, radii: tuple[float, ...], size: float) -> Structure:
        """Return the network as a line of layers."""
        layers = tuple(
            Layer(k, (Term(map, (k - 1,), k, radius),), found, f"layer {k}")
            for k, ((map, found), radius) in enumerate(zip(self.layers(), radii, strict=True), start=1)
        )
        names = ("images", *(layer.name for layer in layers))
        return Structure(names, (self.start(size), *(0.0 for _ in layers)), layers)

    def _convolution(self, n: int) -> BiAffine:
        c = window_overlap(3, 1, 1, n)
        map = convolution((c, c), (n, n), n * n, self.batch)
        return map if self.constants == "true" else replace(map, bias=3.0 * math.sqrt(self.batch))

    def _activation(self, entries: int) -> Piece:
        return activation_piece(self.activation, entries * self.batch)

    def _pooling(self) -> Piece:
        if self.pooling == "max":
            return pieces.max_pooling(1)
        return pieces.linear_piece(0.5 if self.constants == "true" else 1.0, name="average pooling")

    def _softmax(self, classes: int) -> Piece:
        piece = pieces.softmax(classes, self.batch)
        return piece if self.constants == "true" else replace(piece, lipschitz=2.0, smoothness=4.0)


def vgg16(
    *,
    image: int = 224,
    batch: int = 128,
    radius: Any = 1.0,
    input_bound: float = 1.0,
    pooling: str = "average",
    activation: str = "softplus",
    batch_norm: str | None = None,
    epsilon: float | None = None,
    place: str = "after pooling",
    form: str = "sharp",
    constants: str = "true",
) -> Bounds:
    """Return bounds of VGG-16 as a function of its parameters, without making them.

    Parameters
    ----------
    image : int
        Pixels along each side of the images, which have 3 channels; at least 32.
    batch : int
        m: images that are taken together, all norms being of the whole batch.
    radius : float or sequence of 16 floats
        Of each layer's weights and bias jointly.
    input_bound : float
        Of the norm of all images together.
    pooling : {"average", "max"}
    activation : {"softplus", "relu"}
    batch_norm : {None, "eps+sigma", "sqrt"}
        Of each of the 13 convolutional layers, dividing by ε + σ or by √(ε + σ²).
    epsilon : float, optional
        ε > 0, given exactly if `batch_norm` is.
    place : {"after pooling", "input"}
        Batch normalisation of what leaves each convolutional layer, after its pooling if it has one, or of what enters.
    form : {"sharp", "sums", "ball", "printed"}
        As for `bounds`; ``"printed"`` is sums with the bilinear term counted twice in m_b, as the algorithm is printed.
    constants : {"true", "published"}
        ``"published"`` are those of arXiv:2002.09051, of which that of the bias is too small: to reproduce, not to use.

    Returns
    -------
    Bounds
        Of the outputs; its table has a row for each layer.

    Raises
    ------
    ValueError, TypeError
        An option that is none; counts, radii and ε out of range; ε without batch normalisation, or the other way.

    Notes
    -----
    Convolutions 3 × 3 with padding 1 and bias, 64, 64, P, 128, 128, P, 256 (3 times), P, 512 (3 times), P, 512 (3
    times), P, with P a pooling 2 × 2 of stride 2 in the same layer; then dense layers of 4096, 4096 and 1000 with a
    softmax. The scalar level of the recursion, as in Roulet and Harchaoui (arXiv:2002.09051, §4 and appendix): with
    batch normalisation l and L are larger at ε = 0.01 and smaller at ε = 100 than without.

    Examples
    --------
    >>> from machinekit.smoothness.vgg import vgg16
    >>> smooth, normed = vgg16(), vgg16(batch_norm="eps+sigma", epsilon=1e2)
    >>> [round(math.log10(b.lipschitz), 6) for b in (smooth, normed)]
    [8.886762, 2.758185]
    >>> vgg16(activation="relu", pooling="max").rough
    ('relu', 'max pooling')
    """
    given = {"pooling": pooling, "activation": activation, "batch_norm": batch_norm, "place": place, "form": form,
             "constants": constants}  # fmt: skip
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise ValueError(f"{name} is {value!r}; {near(str(value), [str(c) for c in _CHOICES[name]])}")
    if (batch_norm is None) != (epsilon is None):
        raise ValueError(f"batch_norm is {batch_norm!r} and epsilon {epsilon!r}; give both, or neither")
    net = Vgg(
        integer("image", image, 32), integer("batch", batch, 1), pooling, activation, batch_norm, epsilon, place,
        constants,
    )  # fmt: skip
    structure = net.structure(read_bounds("radius", radius, 16, "layers"), read_bound("input_bound", input_bound))
    if form == "printed":
        return _printed(structure)
    return evaluate(structure, "parameters", form, "scalar", "last")


def _printed(structure: Structure) -> Bounds:
    """Return the bounds of a line of layers by the algorithm as printed."""
    sizes, local = [structure.starts[0]], []
    for layer in structure.layers:
        (term,) = layer.terms
        of_z, of_v, reach = affine(term.map, sizes[-1], term.radius, "sums")
        twice = times(times(term.map.bilinear, term.radius), sizes[-1])
        local.append(Local(*compose(layer.pieces, reach + twice, "sums")[:3], ((of_z, of_v),)))
        sizes.append(local[-1].size)
    pairs = by_block(structure, local, "parameters", "sums")
    rows = [Row(name, m, *pair) for name, m, pair in zip(structure.names, sizes, pairs, strict=True)]
    rough = evaluate(structure, "parameters", "sums", "scalar", "last").rough
    return Bounds(*rows[-1][1:], tuple(rows), "parameters", "printed", "scalar", rough)
