"""Digits: a two-dimensional convolution machine with a linear head, against logistic regression."""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import machinekit as mk

SIZES = (1, 6, 6)  # the image, and two blocks of six channels
pixels, digit = load_digits(return_X_y=True)
train, test, train_digit, test_digit = train_test_split(
    pixels / 16, digit, test_size=0.5, stratify=digit, random_state=0
)
images, test_images = (x.reshape(-1, 8, 8, 1) for x in (train, test))


def classifier(seed):
    """Return image -> z of all blocks -> one logit per digit."""
    rng, channels = np.random.default_rng(seed), sum(SIZES)
    machine = mk.ConvMachine(SIZES, ["identity", "tanh", "tanh"], padding=((1, 1), (1, 1)), bias=True, rng=rng)
    return mk.Chain([machine, mk.Reshape((8, 8, channels), 64 * channels), mk.Affine(64 * channels, 10, rng=rng)])


model, penalty = classifier(seed=0), mk.penalties.l2(1e-3)
print(model.parts()["0"].describe())
problem = mk.Objective(model, "softmax_cross_entropy", images[:50], train_digit[:50], penalty)
error = problem.check_gradient(rng=0)
print(f"gradient against the complex step: {error:.1e}")
assert error <= 1e-12

# 120 iterations of L-BFGS on all images at once
fitted = mk.fit(model, "softmax_cross_entropy", images, train_digit, penalties=penalty, steps=120, progress=False)
print(fitted)
machine = fitted.model.parts()["0"]
guess = np.argmax(fitted.model(test_images), axis=-1)
accuracy = np.mean(guess == test_digit)
regression = LogisticRegression(max_iter=5000).fit(train, train_digit)
linear = regression.score(test, test_digit)
print(f"machine and head: {accuracy:.4f} of {len(test)} right, {fitted.theta.size} live parameters")
print(f"logistic regression: {linear:.4f} right, {regression.coef_.size + regression.intercept_.size} parameters")
assert accuracy >= 0.968
assert accuracy > linear
assert not machine.weight[~machine.live].any()

if len(sys.argv) > 1:
    from matplotlib.figure import Figure

    ink, shown = "#22303c", [np.flatnonzero(test_digit == each)[0] for each in (0, 2, 5, 8)]
    wrong = np.flatnonzero(guess != test_digit)
    gray = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    figure = Figure(figsize=(10.6, 5.7), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0)
    upper, lower = figure.subfigures(2, 1, height_ratios=(4.4, 2.8))
    z = np.concatenate([test_images, machine(test_images)[..., 1:]], axis=-1)[shown]  # without the bias of block 0
    grid = upper.add_gridspec(4, 15, width_ratios=[1, 0.2, *[1] * 6, 0.2, *[1] * 6])  # narrow gaps between blocks
    places = [k for k in range(15) if k not in (1, 8)]
    cells = np.array([[upper.add_subplot(grid[line, k]) for k in places] for line in range(4)])
    for (sample, k), axes in np.ndenumerate(cells):
        options = gray if k == 0 else {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
        axes.imshow(z[sample, ..., k], **options)
        axes.spines[:].set_color("#c9ced3")
        axes.set(xticks=[], yticks=[])
    for k, axes in enumerate(cells[0]):
        words = ["image"] + [f"block {block}, {channel}" for block in (1, 2) for channel in range(1, 7)]
        axes.set_title(words[k], color=ink, fontsize=8)
    lower.suptitle(f"The {len(wrong)} of {len(test)} test digits that are read wrongly", color=ink, fontsize=11)
    spots = lower.subplots(2, (len(wrong) + 1) // 2)
    for axes in spots.flat:
        axes.axis("off")
    for axes, k in zip(spots.flat, wrong, strict=False):
        axes.imshow(test_images[k, ..., 0], **gray)
        axes.set_title(f"{test_digit[k]} → {guess[k]}", color="#c44e52", fontsize=9)
    figure.savefig(sys.argv[1], dpi=100)
