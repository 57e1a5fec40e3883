# docker build --build-arg EXTRAS=cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
# docker build --build-arg EXTRAS=gpu .
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ARG EXTRAS=cpu
ARG TORCH_INDEX=
WORKDIR /source
COPY . .
# The wheel brings the page, which its build backend (ui/backend.py) makes with Node from a wheel.
RUN python -m venv /opt/syntopy \
 && /opt/syntopy/bin/pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    -c constraints.txt ".[${EXTRAS},clusters,dimse,encoders,qdrant,serve,sr,tracing,words]"

FROM python:${PYTHON} AS runtime
ARG EXTRAS=cpu
ARG VERSION=local
ARG REVISION=
LABEL org.opencontainers.image.title="Syntopy" \
      org.opencontainers.image.description="Embedding index and retrieval for medical imaging (${EXTRAS})" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/syntopy/syntopy" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --no-create-home --home-dir /tmp --shell /usr/sbin/nologin --uid 10001 syntopy \
 && mkdir /library && chown syntopy /library
COPY --from=build /opt/syntopy /opt/syntopy
# Everything is written below /library and /tmp: the root may be read-only.
ENV PATH=/opt/syntopy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    SYNTOPY_LIBRARY=/library/main \
    SYNTOPY_MODELS=/library/models
USER 10001
EXPOSE 8000 11112
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v1/health', timeout=5)"]
ENTRYPOINT ["syntopy"]
