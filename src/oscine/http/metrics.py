"""Figures for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS: Final = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 60.0, 120.0)
_FACTORS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "oscine_http_requests", "HTTP requests.", ("method", "route", "status"), registry=registry
        )
        self.speech = Counter(
            "oscine_speech_requests",
            "Speech requests that nothing was wrong with, by how they ended.",
            ("engine", "format", "outcome"),
            registry=registry,
        )
        self.errors = Counter("oscine_errors", "Errors by OpenAI type and code.", ("type", "code"), registry=registry)
        self.active = Gauge(
            "oscine_requests_active", "Speech requests that are spoken or wait for it.", registry=registry
        )
        self.queue = Gauge("oscine_queue_depth", "Speech requests that have no sound yet.", registry=registry)
        self.lanes = Gauge("oscine_lanes", "Lanes of an engine.", ("engine",), registry=registry)
        self.lanes_busy = Gauge("oscine_lanes_busy", "Lanes that are open.", ("engine",), registry=registry)
        self.first_audio = Histogram(
            "oscine_first_audio_seconds",
            "From the request to its first sound.",
            ("engine",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "oscine_real_time_factor",
            "Time to speak over time to listen; lower is faster.",
            ("engine",),
            buckets=_FACTORS,
            registry=registry,
        )
        self.audio_seconds = Counter(
            "oscine_audio_seconds", "Seconds of audio that were delivered.", ("engine",), registry=registry
        )
        self.characters = Counter(
            "oscine_characters", "Characters that were spoken and delivered.", ("engine",), registry=registry
        )
