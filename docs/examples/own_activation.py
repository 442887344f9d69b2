"""An activation of your own: checked, then used in one block of a convolution machine."""

import numpy as np

import machinekit as mk

bump = mk.Activation(lambda y: y / (1.0 + y * y), name="bump")  # its derivative is taken by the complex step
print(mk.testing.check_activation(bump, rng=0))

machine = mk.ConvMachine((1, 3, 2), ["identity", "tanh", bump], padding=((2, 1),), rng=0)
print(mk.testing.check_machine(machine, rng=0, laws=["machine equation", "uniqueness", "adjoint identity"]))

signal = np.sin(np.linspace(0.0, 6.0, 20))[:, None]
print("output block at the middle:", machine(signal)[10, 4:])
