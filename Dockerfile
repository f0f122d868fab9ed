# Images of Meet Transcriber; each runs as uid 10001 and writes only to /data, /models,
# /media and /tmp.
#
#   docker build -t meet-transcriber .                    API, worker and commands, on the CPU
#   docker build --build-arg PYANNOTE=1 .                 the same with pyannote and torch
#   docker build --build-arg MODEL=base .                 the same with all weights
#   docker build --target api -t meet-transcriber-api .   the API alone, without an engine
#   docker build --target worker-gpu .                    with CUDA 12; takes both arguments as well
#
# Pin the base with --build-arg BASE_IMAGE=python:3.12-slim-bookworm@sha256:...
ARG BASE_IMAGE=python:3.12-slim-bookworm

# --- packages: each environment from one lock, every package by its hash ---------------------

FROM ${BASE_IMAGE} AS installer
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/tools && python -m venv --without-pip /opt/venv
WORKDIR /build

FROM installer AS wheel
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip install -q --only-binary :all: --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src/meet_transcriber src/meet_transcriber
RUN /opt/tools/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir /wheels .

FROM installer AS api-packages
# hadolint ignore=DL3008
RUN apt-get update -q && apt-get install -y -q --no-install-recommends binutils && \
    rm -rf /var/lib/apt/lists/*
COPY requirements/api.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q \
    --only-binary :all: --require-hashes -r requirements/api.txt && \
    strip --strip-debug /opt/venv/lib/python3*/site-packages/uvloop/*.so \
    /opt/venv/lib/python3*/site-packages/monocypher*.so  # 13 of their 16 MB

FROM installer AS cpu-packages
ARG PYANNOTE=
COPY requirements/runtime.txt requirements/image-pyannote.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q \
    --only-binary :all: --require-hashes \
    -r "requirements/$([ -n "$PYANNOTE" ] && echo image-pyannote || echo runtime).txt" && \
    rm -r \
    /opt/venv/lib/python3*/site-packages/onnxruntime/transformers \
    /opt/venv/lib/python3*/site-packages/onnxruntime/tools \
    /opt/venv/lib/python3*/site-packages/onnxruntime/quantization \
    /opt/venv/lib/python3*/site-packages/onnxruntime/datasets && \
    /opt/venv/bin/python -m ensurepip  # fetches weights where the hub cannot be reached

FROM installer AS gpu-packages
ARG PYANNOTE=
COPY requirements/image-gpu.txt requirements/image-pyannote.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q \
    --only-binary :all: --require-hashes \
    -r "requirements/image-$([ -n "$PYANNOTE" ] && echo pyannote || echo gpu).txt" && \
    rm -r \
    /opt/venv/lib/python3*/site-packages/onnxruntime/transformers \
    /opt/venv/lib/python3*/site-packages/onnxruntime/tools \
    /opt/venv/lib/python3*/site-packages/onnxruntime/quantization \
    /opt/venv/lib/python3*/site-packages/onnxruntime/datasets && \
    /opt/venv/bin/python -m ensurepip

# --- images ----------------------------------------------------------------------------------

FROM ${BASE_IMAGE} AS ground
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data meet-transcriber && \
    install -d -o 10001 -g 10001 /data /media /models /secrets /certificates
# The cache of the hub, with pyannote's weights, is beside the models.
ENV PATH=/opt/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    API_HOST=0.0.0.0 \
    DATA_DIR=/data \
    MODELS_DIR=/models \
    HF_HOME=/models
WORKDIR /app
COPY src/api src/api
COPY src/worker src/worker
EXPOSE 8000
# Otherwise the volumes of ECS on Fargate belong to root.
VOLUME ["/data", "/models"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/health' % (os.environ.get('PORT') or os.environ.get('API_PORT') or 8000), timeout=4)"]
CMD ["meet-transcriber", "serve"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Meet Transcriber" \
      org.opencontainers.image.description="Self-hosted meeting transcription: who said what, when" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"

FROM ground AS api
COPY --from=api-packages /opt/venv /opt/venv
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    --mount=from=installer,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q --no-deps --no-cache-dir /wheels/*.whl
ENV EMBEDDED_WORKER=off
USER 10001:10001

FROM ground AS worker-gpu
COPY --from=gpu-packages /opt/venv /opt/venv
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    --mount=from=installer,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q --no-deps --no-cache-dir /wheels/*.whl && \
    ln -s "$(python -c 'import nvidia.cublas as it; print(list(it.__path__)[0])')/lib" /opt/cuda
# CTranslate2 loads cuBLAS by name when it first computes; this check fails at build time instead.
ENV LD_LIBRARY_PATH=/opt/cuda
RUN python -c "import ctypes; ctypes.CDLL('libcublas.so.12'); import ctranslate2"
ARG MODEL=
ARG HF_ENDPOINT
RUN --mount=source=deploy/weights,target=/weights sh /weights/bake.sh "$MODEL"
USER 10001:10001
CMD ["celery", "-A", "src.worker.celery_app", "worker", "--loglevel=INFO", "--concurrency=1"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["meet-transcriber", "health"]

FROM ground AS cpu
COPY --from=cpu-packages /opt/venv /opt/venv
RUN --mount=from=wheel,source=/wheels,target=/wheels \
    --mount=from=installer,source=/opt/tools,target=/opt/tools \
    /opt/tools/bin/pip --python /opt/venv/bin/python install -q --no-deps --no-cache-dir /wheels/*.whl
ARG MODEL=
ARG HF_ENDPOINT
RUN --mount=source=deploy/weights,target=/weights sh /weights/bake.sh "$MODEL"
USER 10001:10001
