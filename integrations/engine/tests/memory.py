"""How much more memory a process of its own needs to read a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrations.engine.contract import DataContract

_PROGRAM = """
import json, sys
from pathlib import Path
from integrations.engine.contract import DataContract
from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.sniff import sniff_file

def peak():
    # Not getrusage: its maximum is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

asked = json.load(sys.stdin)
first = Path(asked["first"])
answers = []
for name, path, text in asked["files"]:
    contract = DataContract.model_validate_json(text)
    read_batch(contract, {Role.TRANSACTIONS: [first]})  # loads the libraries
    before = peak()
    result = read_batch(contract, {Role.TRANSACTIONS: [Path(path)]})
    sniff_file(Path(path))
    codes = [found.code for found in result.findings if found.severity == "error"]
    answers.append({"name": name, "mib": peak() - before, "codes": codes, "units": result.units})
print(json.dumps(answers))
"""


def readings(folder: Path, files: Mapping[str, tuple[Path, DataContract]]) -> dict[str, dict[str, Any]]:
    """Read (and sniff) each file in one fresh process: its errors' codes, its units, and by how many MiB it raised
    the process's peak of memory."""
    first = folder / "first.bin"
    first.write_bytes(b"day,shop,sku,qty,price\n2017-01-02,A,milk,1,1\n")
    asked = [(name, str(path), contract.model_dump_json()) for name, (path, contract) in files.items()]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps({"first": str(first), "files": asked}),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {answer["name"]: answer for answer in json.loads(done.stdout)}
