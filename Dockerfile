# The project as an image: what a Kubeflow task, a TrainJob and the service run. Built from the same lock as everywhere.
#
#   docker build -t acol .
#   docker run --rm -p 8000:8000 -e MLFLOW_TRACKING_URI=http://mlflow:5000 acol
FROM python:3.11-slim-bookworm AS libraries
WORKDIR /project
ENV VIRTUAL_ENV=/venv PATH=/venv/bin:$PATH
COPY requirements.lock ./
RUN python -m venv /venv \
    && awk '/^[^ ]/ {keep = /^uv==/} keep' requirements.lock > uv.lock \
    && pip install --no-cache-dir --require-hashes -r uv.lock \
    && uv pip sync --no-cache --require-hashes --compile-bytecode requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --uid 1000 --create-home acol
COPY --from=libraries /venv /venv
ENV VIRTUAL_ENV=/venv PATH=/venv/bin:$PATH PYTHONPATH=/project PYTHONDONTWRITEBYTECODE=1 \
    DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /project
COPY --chown=1000 . .
USER 1000
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "pipeline.serve", "--host", "0.0.0.0"]
