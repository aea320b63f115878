"""Starts the worker: `python handler.py [--warmup]`, and what RunPod's own package takes beside."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oscine.config import Settings, debugging, is_set, set_default
from oscine.errors import NotAvailable, OscineError
from oscine.heap import keep_heaps_few
from oscine.runpod import heartbeat, trial
from oscine.runpod.checks import fitness_checks
from oscine.runpod.draining import Drain
from oscine.runpod.handler import make_handler
from oscine.runpod.patience import Patience
from oscine.runpod.waking import Waking
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Load the engine and take jobs until the platform ends the worker. Exit code.

    With `--warmup` it only loads the engine; where the platform did not start it, it does one job, see `trial`. Raises
    SystemExit where an argument is nobody's.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # Tracebacks, which may quote a request and name the machine, only where they are asked for.
    logging.getLogger("oscine").setLevel(logging.DEBUG if debugging() else logging.INFO)
    keep_heaps_few()
    signal.signal(signal.SIGTERM, _end)
    asked = _understood(arguments)
    warmup = asked.warmup
    try:
        settings = Settings.from_env()
        job = trial.given(asked.test_input or None) if _is_trial(asked) else None
        if warmup:
            settings = settings.model_copy(update={"preload": "always"})
        worker = Worker(Studio(settings, on_progress=_told))
        worker.store  # noqa: B018 - a configuration that cannot be is told before a job finds it
        if not warmup and job is None:
            _begin_to_import_the_sdk()
        prepare(worker)
    except OscineError as error:
        log.error("%s", error.message)
        return error.exit_code
    if warmup:
        log.info("warm")
        worker.studio.close()
        return 0
    if job is not None:
        try:
            return trial.tried(worker, job, Path())
        finally:
            worker.studio.end(5.0)
    take_jobs(worker)
    return 0


def prepare(worker: Worker) -> None:
    """Load the engine and have it speak, where the settings say so, before the first job.

    Where the platform freezes a worker that is ready, it is thawed with the engine loaded. Raises OscineError where it
    must be loaded and cannot be.
    """
    if worker.settings.preload == "never":
        return
    must = worker.settings.preload == "always"
    engine = worker.studio.registry.get(worker.studio.registry.select(None, None))
    missing = engine.missing()
    if missing is not None:
        told = f"The engine {engine.info.name} is missing {missing.what}; run: {missing.remedy}"
        if must:
            raise NotAvailable(told)
        log.warning("%s", told)
        return
    worker.readiness.prepare()
    if worker.readiness.problem is not None and must:
        raise worker.readiness.problem


def take_jobs(worker: Worker) -> None:
    """Run the platform's loop; returns when the worker was asked to stop and its jobs are done."""
    _quieten_the_sdk()
    import runpod

    config: dict[str, Any] = {
        "return_aggregate_stream": True,
        "concurrency_modifier": worker.jobs_at_once,
    }

    Patience().watch()
    drain = Drain()
    drain.watch()  # after it: whoever is asked to stop waits for no pause
    Waking().watch()
    heartbeat.watch()

    def refresh() -> None:
        if not config.get("refresh_worker"):
            log.error("the engine broke down for good; another worker is asked for")
            config["refresh_worker"] = True
            drain.begin()

    config["handler"] = make_handler(worker, refresh)
    for check in fitness_checks(worker):
        runpod.serverless.register_fitness_check(check)
    try:
        runpod.serverless.start(config)
    finally:
        worker.studio.end(5.0)


def _understood(arguments: Sequence[str]) -> argparse.Namespace:
    if set(arguments) <= {"--warmup"}:  # whoever is in a hurry does not wait for the SDK to be imported
        return argparse.Namespace(warmup=bool(arguments), test_input=None, rp_serve_api=None)
    _quieten_the_sdk()
    from runpod.serverless import parser

    own = argparse.ArgumentParser(
        "handler.py", description="Takes the jobs of a RunPod endpoint.", parents=[parser], add_help=False
    )
    own.add_argument("--warmup", action="store_true", help="Load the engine and end.")
    return own.parse_args(arguments)


def _is_trial(asked: argparse.Namespace) -> bool:
    """Whether the job comes from whoever started this, as the SDK tells it."""
    if asked.warmup or asked.rp_serve_api or is_set("RUNPOD_REALTIME_PORT"):
        return False
    return bool(asked.test_input) or not is_set("RUNPOD_WEBHOOK_GET_JOB")


def _end(_number: int, _frame: object) -> None:
    """What asks a worker to end that has not taken a job yet; the first process of a container has no such default."""
    log.info("asked to stop before the first job")
    os._exit(128 + signal.SIGTERM)


def _quieten_the_sdk() -> None:
    """Its own default writes what jobs answer, and so what was said, into the log."""
    set_default("RUNPOD_LOG_LEVEL", "INFO")


def _begin_to_import_the_sdk() -> None:
    """It takes a second or two, most of it waiting for other programs; meanwhile the engine is loaded."""
    _quieten_the_sdk()

    def bring() -> None:
        import runpod  # noqa: F401

    threading.Thread(target=bring, name="oscine-import", daemon=True).start()


def _told(what: str, share: float | None) -> None:
    if share is None or share >= 1:
        log.info("%s", what if share is None else f"{what}: done")
