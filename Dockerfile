# The project as an image, which a Kubeflow task, a TrainJob and the service run. It is built from the same lock,
# without the tools for development.
#
#   docker build -t acol .
#   docker run --rm -p 8000:8000 -e MLFLOW_TRACKING_URI=http://mlflow:5000 acol
FROM python:3.11-slim-bookworm AS libraries
WORKDIR /project
COPY pyproject.toml requirements.lock ./
RUN python -m venv /uv \
    && awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock > uv.lock \
    && /uv/bin/pip install --no-cache-dir --require-hashes -r uv.lock \
    && python -m venv --without-pip /venv \
    && VIRTUAL_ENV=/venv /uv/bin/uv pip install --no-cache --require-hashes --compile-bytecode \
        --constraint requirements.lock --requirements pyproject.toml --all-extras

FROM python:3.11-slim-bookworm
RUN useradd --uid 1000 --create-home acol
COPY --from=libraries /venv /venv
ENV VIRTUAL_ENV=/venv PATH=/venv/bin:$PATH PYTHONPATH=/project PYTHONDONTWRITEBYTECODE=1 \
    DVC_NO_ANALYTICS=1 DVC_SITE_CACHE_DIR=/home/acol/.cache/dvc MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /project
COPY --chown=1000 . .
USER 1000
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "pipeline.serve", "--host", "0.0.0.0"]
