#!/bin/sh
# The web server. It waits for the database and refuses to start on a schema that is not this release's.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python}
"$PYTHON" manage.py wait_ready --seconds "${FORECOURT_WAIT_SECONDS:-60}"
if [ "${FORECOURT_MODE:-development}" = production ]; then
    "$PYTHON" manage.py collectstatic --noinput --verbosity 0
fi
exec "$PYTHON" -m gunicorn config.wsgi:application \
    --bind "${FORECOURT_BIND:-127.0.0.1}:${PORT:-8000}" \
    --workers "${FORECOURT_WEB_PROCESSES:-1}" --threads "${FORECOURT_WEB_THREADS:-8}" \
    --timeout 120 --graceful-timeout 30 --no-control-socket --log-level warning "$@"
