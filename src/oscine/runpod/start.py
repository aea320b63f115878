"""Starts the worker: `python handler.py [--warmup]`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from oscine.config import Settings
from oscine.errors import NotAvailable, OscineError
from oscine.runpod.checks import check_fit
from oscine.runpod.handler import make_handler
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Load the engine and take jobs until the platform ends the worker; with `--warmup`, only load it. Exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("oscine").setLevel(logging.INFO)
    try:
        worker = Worker(Studio(Settings.from_env(), on_progress=_told))
        worker.store  # noqa: B018 - a configuration that cannot be is told before a job finds it
        if "--warmup" in arguments:
            prepare(worker, always=True)
            log.info("warm")
            worker.studio.close()
            return 0
        prepare(worker, always=worker.settings.preload == "always")
    except OscineError as error:
        log.error("%s", error.message)
        return error.exit_code
    take_jobs(worker)
    return 0


def prepare(worker: Worker, *, always: bool) -> None:
    """Load the engine before the first job, where the settings say so. Raises OscineError, if `always`.

    Where the platform freezes a worker that is ready, it is thawed with the engine loaded.
    """
    settings = worker.settings
    if settings.preload == "never" and not always:
        return
    engine = worker.studio.registry.get(worker.studio.registry.select(None, None))
    missing = engine.missing()
    if missing is not None:
        told = f"The engine {engine.info.name} is missing {missing.what}; run: {missing.remedy}"
        if always:
            raise NotAvailable(told)
        log.warning("%s", told)
        return
    worker.readiness.prepare()
    if worker.readiness.problem is not None and always:
        raise worker.readiness.problem


def take_jobs(worker: Worker) -> None:
    """Run the platform's loop; returns when the worker was asked to stop and its jobs are done."""
    # The SDK's own default writes what jobs answer, and so what was said, into the log.
    os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
    import runpod

    config: dict[str, Any] = {
        "return_aggregate_stream": True,
        "concurrency_modifier": worker.jobs_at_once,
    }

    def refresh() -> None:
        log.error("the engine broke down for good; another worker is asked for")
        config["refresh_worker"] = True

    config["handler"] = make_handler(worker, refresh)
    runpod.serverless.register_fitness_check(lambda: check_fit(worker))
    try:
        runpod.serverless.start(config)
    finally:
        worker.studio.end(5.0)


def _told(what: str, share: float | None) -> None:
    if share is None or share >= 1:
        log.info("%s", what if share is None else f"{what}: done")
