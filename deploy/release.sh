#!/bin/sh
# Bring the database to this release. Run it once, before the processes of the release start; it may run again.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
"$PYTHON" manage.py wait_ready --database-only --seconds "${FORECOURT_WAIT_SECONDS:-60}"
exec "$PYTHON" manage.py release "$@"
