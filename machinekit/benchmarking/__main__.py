"""``python -m machinekit.benchmarking``: the benchmarks from an installed package."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
