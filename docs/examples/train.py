"""Train with SciPy directly, then with `mk.fit`: one vector over live parameters, gradients by the dual."""

import numpy as np
from scipy import optimize

import machinekit as mk

rng = np.random.default_rng(0)
x = rng.uniform(-3.0, 3.0, (200, 1))
targets = np.sin(2.0 * x) + 0.1 * rng.standard_normal(x.shape)
model = mk.Chain([mk.DenseMachine((1, 8, 8), "tanh", bias=True, rng=0), mk.Affine(17, 1, rng=1)])

objective = mk.Objective(model, "squared_error", x, targets, penalties=[mk.penalties.l2(1e-4)])
print("gradient against the complex step:", objective.check_gradient(rng=0))
result = optimize.minimize(objective.fun, objective.theta0, jac=True, method="L-BFGS-B", options={"maxiter": 300})
print("scipy.optimize:", result.fun)

fitted = mk.fit(model, "squared_error", x, targets, penalties=[mk.penalties.l2(1e-4)], steps=300, progress=False)
print(fitted)
