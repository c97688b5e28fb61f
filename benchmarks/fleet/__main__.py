"""``python -m benchmarks.fleet [--quick] [--anew] [--only PART,...] [--report]``.

The parts in turn, then the reports. ``provision`` makes the schemas that the others measure.
Without ``--quick`` it takes up to half an hour.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import BUILD
from benchmarks.fleet import TENANTS
from benchmarks.report import Book, write_reports

BOOK = Book(
    "fleet_results.json",
    "FLEET_RESULTS.md",
    f"""# Results of the fleet

Made by `python -m benchmarks.fleet` (`make bench-fleet`): {TENANTS:,} tenants with real schemas on one embedded
PostgreSQL. A shared machine is never idle: each part says when it was made, of which revision (a + means with
uncommitted changes) and under which load (the processes that wanted to run, at its beginning and after each step).
""",
    {
        "provision": ("benchmarks.fleet.provision", 3600),
        "migrate": ("benchmarks.fleet.migrate", 900),
        "dispatch": ("benchmarks.fleet.dispatch", 300),
        "page": ("benchmarks.fleet.page", 300),
    },
)


def main(words: list[str]) -> int:
    """Run the parts, each in a process of its own; 1 where one of them did not end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(BOOK.parts), help=f"of {', '.join(BOOK.parts)}")
    parser.add_argument("--anew", action="store_true", help="take the schemas away that are there, and make all")
    parser.add_argument("--report", action="store_true", help="write the reports from what is kept, measure nothing")
    asked = parser.parse_args(words)
    only = [name for name in asked.only.split(",") if name]
    if unknown := [name for name in only if name not in BOOK.parts]:
        parser.error(f"unknown part: {', '.join(unknown)}")
    ended = True
    for name in () if asked.report else only:
        module, limit = BOOK.parts[name]
        print(f"{name} ...", flush=True)
        command = [sys.executable, "-m", module, *(["--quick"] if asked.quick else [])]
        command += ["--anew"] if asked.anew and name == "provision" else []
        try:
            ended &= subprocess.run(command, timeout=limit).returncode == 0
        except subprocess.TimeoutExpired:
            print(f"{name} took more than {limit} s", flush=True)
            ended = False
    out = BUILD if asked.quick else Path(__file__).parent.parent
    print(f"{write_reports(out, quick=asked.quick, book=BOOK)} written")
    return 0 if ended else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
