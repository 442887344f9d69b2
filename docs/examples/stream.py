"""Streaming: a recurrent machine fed value by value gives the numbers of one call."""

import numpy as np

import machinekit as mk

machine = mk.RecurrentMachine((1, 4, 4), ["identity", "tanh", "tanh"], memory=3, rng=0)
signal = np.random.default_rng(0).standard_normal((100, 1))
together = machine(signal)

stream = machine.stream(())
pieces = [stream.solve(chunk).z for chunk in np.split(signal, [1, 2, 10, 57])]
print("largest difference:", np.abs(np.concatenate(pieces) - together).max())
