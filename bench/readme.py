"""Write the table of the README from the kept results: ``python -m bench.readme``."""

from __future__ import annotations

import csv
from pathlib import Path

__all__ = ["insert", "main", "table"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "table-numpy-float32-threads-1.csv"
OPEN, CLOSE = "<!-- bench: from bench/results -->", "<!-- /bench -->"
PEERS = {"torch": "minimum_us", "torch-compile": "minimum_us", "jax": "median_us", "thinc": "minimum_us"}


def table(results: Path = RESULTS) -> str:
    """Return the markdown table: gradients in microseconds, and how many times faster than each peer."""
    lines = results.read_text(encoding="utf-8").splitlines()
    head = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    rows = [r for r in csv.DictReader(x for x in lines if not x.startswith("#")) if r["operation"] == "gradient"]
    by = {(r["workload"], r["competitor"]): r for r in rows if r["minimum_us"]}
    peers = [p for p in PEERS if any(name == p for _, name in by)]
    out = [
        "| gradient of | µs | " + " | ".join(f"× {p}" for p in peers) + " | ÷ floor |",
        "|---|---:|" + "---:|" * (len(peers) + 1),
    ]
    for workload in dict.fromkeys(r["workload"] for r in rows):
        own = by[workload, "machinekit"]
        cells = [f"{float(own['minimum_us']):,.3g}" if float(own["minimum_us"]) < 1e3 else _thousands(own)]
        for peer in peers:
            other, statistic = by.get((workload, peer)), PEERS[peer]
            cells.append("–" if other is None else f"{float(other[statistic]) / float(own[statistic]):.2g}")
        floor = by.get((workload, "gemm floor"))
        cells.append("–" if floor is None else f"{float(own['minimum_us']) / float(floor['minimum_us']):.2g}")
        out.append(f"| {workload} | " + " | ".join(cells) + " |")
    where = f"One thread, float32, {head['processor']}, {head['versions']}, {head['date'][:10]}."
    note = "Ratios of one interleaved run (of minima; of medians for JAX). The floor is the bare products of the live"
    return "\n".join([*out, "", f"{where} {note} weights. All figures and conditions: [bench/results](bench/results)."])


def _thousands(row: dict[str, str]) -> str:
    return f"{float(row['minimum_us']):,.0f}"


def insert(readme: str, text: str) -> str:
    """Return the README with the table between its marks."""
    before, rest = readme.split(OPEN)
    return f"{before}{OPEN}\n{text}\n{CLOSE}{rest.split(CLOSE)[1]}"


def main() -> None:
    """Rewrite the README."""
    path = ROOT / "README.md"
    path.write_text(insert(path.read_text(encoding="utf-8"), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
