"""VGG-16 without and with batch normalisation, to the digits, and the order that is claimed of the bounds."""

import math
import time

import pytest

from machinekit.smoothness import vgg16, vgg_report
from machinekit.smoothness.vgg import COLUMNS

SHARP = {
    "smooth": (8.886762, 18.250206),
    "eps+sigma, after pooling, 0.01": (33.324516, 67.039015),
    "eps+sigma, after pooling, 100": (2.758185, 5.562542),
    "eps+sigma, input, 0.01": (31.327518, 63.177285),
    "eps+sigma, input, 100": (3.211398, 6.516994),
    "sqrt, after pooling, 0.01": (20.430792, 41.233459),
    "sqrt, after pooling, 100": (2.837968, 5.728109),
    "sqrt, input, 0.01": (19.43, 39.37),
    "sqrt, input, 100": (3.31, 6.72),
    "relu, max": (9.452442, math.inf),
}
SUMS = {
    "smooth": (9.497237, 19.438874),
    "eps+sigma, after pooling, 0.01": (33.358476, 67.106936),
    "eps+sigma, after pooling, 100": (2.907320, 5.875625),
}
PRINTED = {  # to two digits: constants of arXiv:2002.09051, as printed and in the form sums
    "printed": "14.77/29.55 40.12/80.34 3.70/7.40 37.86/75.87 4.65/9.31 27.60/55.30 6.17/12.36 26.30/52.74 6.87/13.75",
    "sums": "11.50/23.12 40.12/80.34 3.54/7.09 37.85/75.84 4.29/8.61 27.44/54.98 4.30/8.75 26.14/52.42 4.94/9.96",
}


def log(number):
    return math.log10(number)


@pytest.mark.parametrize(("form", "cases"), [("sharp", SHARP), ("sums", SUMS)])
def test_bounds_of_vgg(form, cases):
    for column, (slope, smooth) in cases.items():
        found = vgg16(form=form, **COLUMNS[column])
        digits = 1e-4 if slope != round(slope, 2) else 6e-3  # some are known to two digits only
        assert abs(log(found.lipschitz) - slope) < digits, column
        assert found.smoothness == smooth or abs(log(found.smoothness) - smooth) < digits, column
        assert abs(log(found.size) - 1.053605) < 1e-6


@pytest.mark.parametrize("form", PRINTED)
def test_published_constants_give_the_published_numbers(form):
    for column, pair in zip(COLUMNS, PRINTED[form].split(), strict=False):
        slope, smooth = map(float, pair.split("/"))
        found = vgg16(form=form, constants="published", **COLUMNS[column])
        assert abs(log(found.lipschitz) - slope) <= 0.00501, column
        assert abs(log(found.smoothness) - smooth) <= 0.00501, column
    relu = vgg16(form=form, constants="published", **COLUMNS["relu, max"])
    assert abs(log(relu.lipschitz) - {"printed": 12.21, "sums": 8.95}[form]) < 0.005


def test_batch_normalisation_is_rougher_with_a_small_epsilon_and_smoother_with_a_large_one():
    """All 32 comparisons, of l and of L, within two seconds."""
    began = time.perf_counter()
    found = vgg_report.claims(vgg_report.measure())
    assert time.perf_counter() - began < 2.0
    assert len(found) == 32
    assert all(claim.held for claim in found)
    assert sum(claim.larger for claim in found) == 16


@pytest.mark.parametrize(
    "options", [{"radius": 0.25}, {"radius": 0.5}, {"radius": 2.0}, {"batch": 1}, {"batch": 8}, {"image": 32}]
)
def test_the_order_survives_other_sizes(options):
    plain = vgg16(**options)
    rough, smooth = (vgg16(batch_norm="eps+sigma", epsilon=e, **options) for e in (1e-2, 1e2))
    assert smooth.lipschitz <= plain.lipschitz <= rough.lipschitz
    assert smooth.smoothness <= plain.smoothness <= rough.smoothness


def test_a_smaller_radius():
    """R = 1/4: 2.73/6.51, 24.31/50.17 and 2.51/5.05."""
    nets = ({}, {"batch_norm": "eps+sigma", "epsilon": 1e-2}, {"batch_norm": "eps+sigma", "epsilon": 1e2})
    found = [vgg16(radius=0.25, **net) for net in nets]
    pairs = [(round(log(b.lipschitz), 2), round(log(b.smoothness), 2)) for b in found]
    assert pairs == [(2.73, 6.51), (24.31, 50.17), (2.51, 5.05)]


def test_sharp_is_at_most_sums_and_ball_at_most_sharp():
    for net in COLUMNS.values():
        ball, sharp, sums = (vgg16(form=form, **net) for form in ("ball", "sharp", "sums"))
        assert ball.lipschitz <= sharp.lipschitz * (1 + 1e-12) <= sums.lipschitz * (1 + 1e-12)
        assert ball.smoothness <= sharp.smoothness * (1 + 1e-12)
        assert sharp.smoothness <= sums.smoothness * (1 + 1e-12)


def test_layers_of_vgg_are_rows():
    found = vgg16(activation="relu", pooling="max")
    assert [row.name for row in found.table] == ["images", *(f"layer {k}" for k in range(1, 17))]
    assert found.rough == ("relu", "max pooling")
    one = vgg16(radius=(1.0,) * 16)
    assert one == vgg16()


def test_table_and_figure(tmp_path):
    measured = vgg_report.measure(image=32, batch=2)
    text = vgg_report.table(measured)
    assert text.count("\n| ") == 4
    assert "of 32 comparisons" in text
    pytest.importorskip("matplotlib")
    vgg_report.figure(tmp_path / "vgg.svg", measured)
    assert "<svg" in (tmp_path / "vgg.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pooling": "mean"}, "pooling is 'mean'"),
        ({"batch_norm": "sqrt"}, "give both"),
        ({"epsilon": 1.0}, "give both"),
        ({"batch_norm": "sqrt", "epsilon": 0.0}, "epsilon is 0"),
        ({"image": 16}, "image is 16"),
        ({"batch": 0}, "batch is 0"),
        ({"radius": -1.0}, "radius"),
        ({"radius": (1.0, 2.0)}, "2 numbers for 16 layers"),
        ({"input_bound": -1.0}, "input_bound is -1"),
        ({"form": "published"}, "form is 'published'"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        vgg16(**options)
