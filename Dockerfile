# Oscine as a RunPod worker: four images, each a target. All of them run queue workers and, with the command
# `oscine serve`, load-balancing workers.
#
# cpu        the built-in voice, which is in the package; no PyTorch, the smallest
# slim       CUDA and Python; packages and weights are installed on the volume at the first start
# vibevoice  every package baked in, OSCINE_ENGINE=vibevoice; weights come to the volume at the first start
# indextts   the same with OSCINE_ENGINE=indextts2, and with the grammars that IndexTTS reads numbers with
#
#   docker build --target vibevoice --platform linux/amd64 -t oscine:vibevoice .
#
# Without a target the last one is built, as RunPod's Hub does it: it holds all that any preset asks for.
#
# What layers run lies in scripts/container, and the tests run it. PyTorch, the locked packages and this project are
# layers of their own, so that a new version of the code is a few hundred kilobytes. There is no HEALTHCHECK: a queue
# worker listens on no port, and RunPod asks load-balancing workers for /ping itself.
ARG CUDA_IMAGE=nvidia/cuda:12.8.1-cudnn-devel-ubuntu24.04
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS cpu
LABEL org.opencontainers.image.title="Oscine" \
      org.opencontainers.image.description="Text to speech with the built-in voice, as a RunPod worker or a server" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/oscine/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RUNPOD_LOG_LEVEL=INFO \
    OSCINE_ENGINE=hibari \
    OSCINE_HOST=0.0.0.0
RUN --mount=type=cache,target=/cache/uv \
    --mount=type=bind,source=requirements,target=/build/requirements \
    --mount=type=bind,source=scripts/container,target=/build/scripts/container \
    export UV_CACHE_DIR=/cache/uv && \
    /build/scripts/container/install.sh environment worker /opt/oscine && \
    /build/scripts/container/install.sh packages worker /opt/oscine
RUN --mount=type=bind,target=/build \
    /build/scripts/container/install.sh oscine worker /opt/oscine && \
    /build/scripts/container/install.sh check worker /opt/oscine && \
    useradd --uid 10001 --create-home oscine
COPY handler.py /app/
# It needs no volume. One that only root may write to is refused: run it as root (`--user 0`), or leave it away.
USER 10001
WORKDIR /app
EXPOSE 8000
CMD ["python", "-u", "/app/handler.py"]

FROM ${CUDA_IMAGE} AS cuda
LABEL org.opencontainers.image.title="Oscine" \
      org.opencontainers.image.description="Text to speech in a cloned voice, as a RunPod worker or a server" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1 \
    RUNPOD_LOG_LEVEL=INFO \
    OSCINE_HOST=0.0.0.0
RUN --mount=type=bind,source=requirements,target=/build/requirements \
    --mount=type=bind,source=scripts/container,target=/build/scripts/container \
    /build/scripts/container/system.sh && \
    PYTHON=python3.12 /build/scripts/container/install.sh uv gpu /usr/local
WORKDIR /app
# As root: RunPod mounts network volumes as root's and has no setting for the user of a container.
EXPOSE 8000
ENTRYPOINT ["/app/bootstrap.sh"]

FROM cuda AS slim
ENV OSCINE_ENGINE=vibevoice
COPY . /app/

FROM cuda AS gpu
ENV BOOTSTRAP_ENVIRONMENT=/opt/oscine \
    PATH=/opt/oscine/bin:$PATH
RUN --mount=type=cache,target=/cache/uv \
    --mount=type=bind,source=requirements,target=/build/requirements \
    --mount=type=bind,source=scripts/container,target=/build/scripts/container \
    export UV_CACHE_DIR=/cache/uv PYTHON=python3.12 && \
    /build/scripts/container/install.sh environment gpu /opt/oscine && \
    /build/scripts/container/install.sh torch gpu /opt/oscine
RUN --mount=type=cache,target=/cache/uv \
    --mount=type=bind,source=requirements,target=/build/requirements \
    --mount=type=bind,source=scripts/container,target=/build/scripts/container \
    export UV_CACHE_DIR=/cache/uv && \
    /build/scripts/container/install.sh packages gpu /opt/oscine
RUN --mount=type=bind,target=/build \
    /build/scripts/container/install.sh oscine gpu /opt/oscine && \
    /build/scripts/container/install.sh check gpu /opt/oscine
COPY bootstrap.sh handler.py /app/

FROM gpu AS vibevoice
ENV OSCINE_ENGINE=vibevoice

FROM gpu AS indextts
ENV OSCINE_ENGINE=indextts2 \
    BOOTSTRAP_GRAMMARS=/opt/grammars
RUN --mount=type=bind,source=scripts/container,target=/build/scripts/container \
    /opt/oscine/bin/python /build/scripts/container/grammars.py /opt/grammars
