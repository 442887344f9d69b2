"""A small U-Net that takes noise off digits: strided convolutions down, transposed ones up, skips by hyperedges."""

import sys

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import machinekit as mk

NOISE, DRAWS, C = 0.4, 16, 8
rng = np.random.default_rng(0)


def unet(seed):
    """Return image -> clean: 8 × 8, 4 × 4 and 2 × 2 positions, with C, 2 C and 4 C channels."""
    rng = np.random.default_rng(seed)

    def relu(kind, n_in, n_out, size, **options):
        conv = kind(n_in, n_out, (size, size), rng=rng, dtype="float32", **options)
        return mk.Chain([conv, mk.Pointwise("relu")])

    half = {"stride": 2, "padding": ((1, 0), (1, 0))}
    edges = [
        mk.Edge("enter", relu(mk.Conv, 1, C, 3, padding=1), "image -> d0"),
        mk.Edge("down1", relu(mk.Conv, C, 2 * C, 3, **half), "d0 -> d1"),
        mk.Edge("down2", relu(mk.Conv, 2 * C, 4 * C, 3, **half), "d1 -> d2"),
        mk.Edge("up1", relu(mk.ConvTranspose, 4 * C, 2 * C, 2, stride=2), "d2 -> u1"),
        mk.Edge("merge1", relu(mk.Conv, 4 * C, 2 * C, 3, padding=1), "u1 d1 -> m1"),
        mk.Edge("up0", relu(mk.ConvTranspose, 2 * C, C, 2, stride=2), "m1 -> u0"),
        mk.Edge("merge0", relu(mk.Conv, 2 * C, C, 3, padding=1), "u0 d0 -> m0"),
        mk.Edge("leave", mk.Conv(C, 1, (1, 1), rng=rng, dtype="float32"), "m0 -> clean"),
    ]
    spaces = {
        "image": (8, 8, 1), "d0": (8, 8, C), "d1": (4, 4, 2 * C), "d2": (2, 2, 4 * C),
        "u1": (4, 4, 2 * C), "m1": (4, 4, 2 * C), "u0": (8, 8, C), "m0": (8, 8, C),
        "clean": (8, 8, 1),
    }  # fmt: skip
    return mk.Hypergraph(spaces, edges)


images, digit = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1) / 16
train, test, _, label = train_test_split(images, digit, test_size=0.5, stratify=digit, random_state=0)
copies = np.concatenate([train] * DRAWS)  # each image with so many draws of noise
noisy_copies, noisy = (x + NOISE * rng.normal(size=x.shape) for x in (copies, test))

# the gradient, in double precision, against the complex step
net = unet(seed=0)
exact = mk.Objective(net.astype("float64"), "squared_error", noisy_copies[:20], copies[:20])
error = exact.check_gradient(rng=0)
print(net.describe())
print(f"gradient against the complex step: {error:.1e}")
assert error <= 1e-12

# an edge with two sources reads their channel-wise concatenation
state = net.solve(noisy[:4].astype("float32"))
joint = np.concatenate([state["u0"], state["d0"]], axis=-1)
assert np.allclose(state["m0"], net.parts()["merge0"](joint), rtol=1e-5, atol=1e-6)

# Adam, then a few passes at a lower rate
narrow = [x.astype("float32") for x in (noisy_copies, copies)]
settings = {"method": "adam", "batch_size": 32, "progress": False}
first = mk.fit(net, "squared_error", *narrow, steps=3, learning_rate=0.004, rng=0, **settings)
second = mk.fit(first.model, "squared_error", *narrow, steps=2, learning_rate=0.0005, rng=1, **settings)
print(f"{first.theta.size} parameters, {first.seconds + second.seconds:.0f} s")

# peers: a Gaussian filter of the width that is best on the test images, and the best linear map, which knows the
# mean and the covariance of the training images and of the noise: mean + (x − mean) (Σ + σ² 1)⁻¹ Σ
flat, mean = noisy.reshape(-1, 64), train.reshape(-1, 64).mean(axis=0)
covariance = np.cov(train.reshape(-1, 64).T)
wiener = mean + (flat - mean) @ np.linalg.solve(covariance + NOISE**2 * np.eye(64), covariance)
blurred = [gaussian_filter(noisy, (0, s, s, 0)) for s in np.arange(0.3, 1.3, 0.05)]
rows = {
    "clean": test,
    "noisy": noisy,
    "Gaussian": min(blurred, key=lambda x: np.mean((x - test) ** 2)),
    "linear": wiener.reshape(test.shape),
    "U-Net": second.model(noisy.astype("float32")),
}
mse = {name: np.mean((x - test) ** 2) for name, x in rows.items()}
for name in list(rows)[1:]:
    print(f"{name:9} mean squared error {mse[name]:.4f}, PSNR {-10 * np.log10(mse[name]):.1f} dB")
assert mse["U-Net"] < 0.9 * min(mse["Gaussian"], mse["linear"])

if len(sys.argv) > 1:
    from machinekit import figures

    ink = "#22303c"
    figure = figures.draw_network(net, "A U-Net of depth 8: the skips are hyperedges with two sources")
    figure.set_size_inches(10.6, 6.6)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04, wspace=0, hspace=0)
    top, bottom = figure.add_gridspec(2, 1, height_ratios=(1, 2.5))
    figure.axes[0].set_subplotspec(top)
    shown = [np.flatnonzero(label == each)[2] for each in range(10)]
    words = {name: f"{name}\n{-10 * np.log10(mse[name]):.1f} dB" for name in list(rows)[1:]}
    for (name, x), line in zip(rows.items(), bottom.subgridspec(5, 10).subplots(), strict=True):
        for axes, k in zip(line, shown, strict=True):
            axes.imshow(x[k, ..., 0], cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("#c9ced3")
        line[0].set_ylabel(words.get(name, name), color=ink, rotation=0, ha="right", va="center", labelpad=8)
    figure.savefig(sys.argv[1], dpi=100)
