"""The tables of `machinekit.gpu.tables`, carried out entry by entry: slow, on the host, for one machine at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np

from machinekit.gpu.tables import constants

C = constants()


class Reading:
    """One table; arrays are flat in their positions, (samples · positions, channel)."""

    def __init__(self, table):
        self.table = [int(n) for n in table]

    def __getitem__(self, name):
        return self.table[C[name]]

    def record(self, part, size, k):
        """Return the k-th record of a part, as a function of the names of its entries."""
        at = self[part] + C[size] * k
        return lambda name: self.table[at + C[name]]

    @property
    def extents(self):
        return [self[f"EXTENT{a}"] for a in range(3)]

    def flat(self, x):
        n = self.extents
        return (x[0] * n[1] + x[1]) * n[2] + x[2]

    def linear(self, step, x, sample, channel, weight, z):
        """Return Σ over the taps of a step of W z for one output."""
        total = 0
        for j in range(step("TAP_BEGIN"), step("TAP_END")):
            tap = self.record("TAPS", "TAP_SIZE", j)
            source = [a - tap(f"LAG{k}") for k, a in enumerate(x)]
            if all(0 <= a < n for a, n in zip(source, self.extents, strict=True)):
                row = sample * self["POSITIONS"] + self.flat(x) - tap("SHIFT")
                assert self.flat(source) == self.flat(x) - tap("SHIFT")
                for c in range(tap("READ_BEGIN"), tap("READ_END")):
                    total = total + z[row, c] * weight[tap("KERNEL") + c * self["CHANNELS"] + channel]
        return total

    def outputs(self, step):
        """Yield sample, position and channel of every entry of an index set."""
        box = [range(step(f"START{a}"), step(f"START{a}") + step(f"BOX{a}")) for a in range(3)]
        channels = range(step("FIRST"), step("FIRST") + step("SIZE"))
        yield from itertools.product(range(self["SAMPLES"]), itertools.product(*box), channels)

    def sweep(self, weight, sigma, y0, z0):
        """Solve y = W z + y0, z = σ(y, block) + z0; an entry that is read before it is computed is not a number."""
        y, z = np.full_like(y0, np.nan), np.full_like(y0, np.nan)
        for k in range(self["STEP_COUNT"]):
            step = self.record("STEPS", "STEP_SIZE", k)
            done = []
            for sample, x, channel in self.outputs(step):
                row = sample * self["POSITIONS"] + self.flat(x)
                y[row, channel] = y0[row, channel] + self.linear(step, x, sample, channel, weight, z)
                done.append((row, channel))
            for at in done:
                assert np.isnan(z[at]), "computed twice"
                z[at] = sigma(y[at], step("NUMBER"), at) + z0[at]
        return y, z

    def products(self, weight, z):
        """Return W z."""
        y = np.full_like(z, np.nan)
        for k in range((self["TAPS"] - self["BLOCKS"]) // C["STEP_SIZE"]):
            step = self.record("BLOCKS", "STEP_SIZE", k)
            for sample, x, channel in self.outputs(step):
                row = sample * self["POSITIONS"] + self.flat(x)
                y[row, channel] = self.linear(step, x, sample, channel, weight, z)
        return y

    def rows(self, j):
        """Yield the rows at which the target of a tap is, in order."""
        meeting = self.record("MEETINGS", "MEETING_SIZE", j)
        counts = [range(meeting(f"COUNT{a}")) for a in range(4)]
        for x in itertools.product(*counts):
            yield meeting("BEGIN") + sum(a * meeting(f"PITCH{k}") for k, a in enumerate(x[:3])) + x[3]

    def contract(self, z, v):
        """Return the weight cotangent, flat, and Σ v; what is read of the live ranges is checked against the strips."""
        taps, c = self["KERNEL_TAPS"], self["CHANNELS"]
        out = np.zeros((taps, c, c), z.dtype)
        for j, o in itertools.product(range(taps), range(c)):
            at, strip = self["LIVE"] + 2 * (j * c + o), self["STRIPS"] + 2 * (j * math.ceil(c / 32) + o // 32)
            low, high = self.table[at : at + 2]
            if low < high:
                assert self.table[strip] <= low
                assert high <= self.table[strip + 1]
            shift = self.record("MEETINGS", "MEETING_SIZE", j)("MEETING_SHIFT")
            for row in self.rows(j):
                out[j, low:high, o] += z[row - shift, low:high] * v[row, o]
        return out, sum((v[row] for row in self.rows(taps)), np.zeros(c, v.dtype))
