"""Benchmarks of machinekit; the implementation is in `machinekit.benchmarking`."""
