#!/usr/bin/env bash
# What the images for GPUs need of Ubuntu: Python with what virtual environments are made of, its headers, which Triton
# and OSCINE_VIBEVOICE_COMPILE, USE_CUDA_KERNEL compile against, and ninja, without which PyTorch builds no kernel; the
# compilers are in NVIDIA's image. Sound is read and written by libraries that come in wheels (PyAV has FFmpeg's,
# soundfile has libsndfile), so the system's ffmpeg and libsndfile are not needed by any engine.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install --yes --no-install-recommends ca-certificates ninja-build python3.12 python3.12-dev python3.12-venv
ln -sf /usr/bin/python3.12 /usr/local/bin/python
rm -rf /var/lib/apt/lists/*
