"""``python -m benchmarks [--quick] [--only PART,...]``: every part in a process of its own, then the two reports.

A part that is ended by its time limit or by hand keeps what it measured. ``--report`` writes the reports again from
what is kept under ``build/benchmarks/parts``, and measures nothing. ``--quick`` takes small panels and a few minutes,
shows that everything runs, and says nothing of the aims: its reports go to ``build/benchmarks``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import BUILD
from benchmarks.place import prepare
from benchmarks.report import PARTS, write_reports


def main(words: list[str]) -> int:
    """Run the parts; 1 where one of them did not end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args(words)
    only = [name for name in asked.only.split(",") if name]
    if unknown := [name for name in only if name not in PARTS]:
        parser.error(f"unknown part: {', '.join(unknown)}")
    out = BUILD if asked.quick else Path(__file__).parent
    ended = True
    if not asked.report:
        prepare()  # this process holds the database for the parts, and is idle while they run
        for name in only:
            ended &= _run(name, asked.quick)
            write_reports(out, quick=asked.quick)
    print(f"{write_reports(out, quick=asked.quick)} written")
    return 0 if ended else 1


def _run(name: str, quick: bool) -> bool:
    """One part; whether it ended well."""
    module, limit = PARTS[name]
    print(f"{name} ...", flush=True)
    command = [sys.executable, "-m", module, *(["--quick"] if quick else [])]
    try:
        status = subprocess.run(command, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        print(f"{name} took more than {limit} s", flush=True)
        return False
    return status == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
