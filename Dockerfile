# syntax=docker/dockerfile:1
# First stage: the dependencies, in an environment of their own. Second stage: that environment and the code, not as root.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt /tmp/requirements.txt
RUN /venv/bin/pip install --requirement /tmp/requirements.txt

FROM python:3.11-slim-bookworm
# LightGBM's OpenMP; everything else comes in wheels.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 forecourt \
    && useradd --uid 10001 --gid forecourt --home-dir /app --shell /usr/sbin/nologin forecourt \
    && install --directory --owner forecourt --group forecourt /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY config ./config
COPY ledger ./ledger
COPY tenants ./tenants
COPY integrations ./integrations
COPY forecasting ./forecasting
COPY productization ./productization
COPY templates ./templates
COPY static ./static
COPY deploy ./deploy
ARG REVISION=""
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FORECOURT_MODE=production \
    FORECOURT_BIND=0.0.0.0 \
    FORECOURT_DATA_DIR=/data \
    FORECOURT_REVISION=$REVISION
USER forecourt
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["deploy/web.sh"]
