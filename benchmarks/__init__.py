"""What the work costs and what it is worth, measured: ``python -m benchmarks`` (``make bench``).

Everything is written below ``build/``, also the database, unless ``FORECOURT_DATA_DIR`` or ``DATABASE_URL`` names
another one.
"""

import os
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build" / "benchmarks"
os.environ.setdefault("FORECOURT_DATA_DIR", str(BUILD / ".data"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
