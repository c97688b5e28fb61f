#!/bin/sh
# A worker, for both queues or (--queue short, --queue long) for one. SIGTERM lets jobs end or hands them back.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
"$PYTHON" manage.py wait_ready --seconds "${FORECOURT_WAIT_SECONDS:-60}"
exec "$PYTHON" manage.py worker "$@"
