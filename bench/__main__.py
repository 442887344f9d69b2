"""``python -m bench``: run the benchmarks, results in ``bench/results``."""

from pathlib import Path

from machinekit.benchmarking.cli import main

if __name__ == "__main__":
    raise SystemExit(main(output=str(Path(__file__).parent / "results")))
