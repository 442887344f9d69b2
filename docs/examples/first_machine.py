"""A first machine: solve it, pull a seed back, and see that the dual is the same procedure run backwards."""

import numpy as np

import machinekit as mk

machine = mk.DenseMachine((2, 4, 4, 1), "tanh", bias=True, rng=0)
print(machine.describe())

rng = np.random.default_rng(1)
state = machine.solve(rng.standard_normal((5, 2)))

seed = np.zeros((5, 11))
seed[:, -1] = 1.0
cotangent = machine.pullback(state, seed)
dual = machine.dual(state).solve(seed)

print("cotangent of the input, by pullback:", cotangent.y0[0])
print("the same, by running the dual machine:", dual.z[0, :2])
print("the dual:", machine.dual(state))
print("the dual of the dual is the tangent:", machine.dual(state).dual(dual))
