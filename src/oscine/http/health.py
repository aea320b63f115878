"""`/health`, `/ping`, `/v1/test` and `/metrics`: how the server is, for people and for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from oscine.__about__ import __version__
from oscine.http.access import needs_key
from oscine.http.readiness import State
from oscine.http.schema import KEYED
from oscine.http.service import Service

router = APIRouter(tags=["health"])

_PING: Final = {State.LOADING: HTTPStatus.NO_CONTENT, State.BROKEN: HTTPStatus.SERVICE_UNAVAILABLE}


@router.get("/health", operation_id="health", summary="How the server is")
async def health(request: Request) -> dict[str, Any]:
    """Always 200: what is wrong is in `status` and `problem`."""
    service: Service = request.app.state.service
    readiness = service.readiness
    state, problem, scheduler, found = readiness.state, readiness.problem, readiness.scheduler, readiness.engine
    info = found.info if found else None
    return {
        "status": state.value,
        "ready": state in (State.READY, State.IDLE),
        "version": __version__,
        "problem": problem.message if problem else None,
        "engine": {
            "name": service.settings.engine,
            "version": info.version if info else None,
            "device": info.device if info else None,
            "cloning": info.capabilities.cloning if info else None,
            "speakers": info.capabilities.speakers if info else None,
            "sample_rate": info.sample_rate if info else None,
            "languages": list(info.languages) if info else None,
        },
        "device": info.device if info else None,
        "queue": {
            "active": service.places.active,
            "waiting": service.places.waiting,
            "limit": service.places.limit,
        },
        "lanes": {"busy": scheduler.lanes_busy if scheduler else 0, "total": info.max_lanes if info else 0},
    }


@router.get(
    "/ping",
    operation_id="ping",
    summary="Whether requests are welcome",
    response_class=Response,
    responses={
        200: {"description": "Ready."},
        204: {"description": "The engine is being loaded."},
        503: {"description": "The engine cannot be used; /health says why."},
    },
)
async def ping(request: Request) -> Response:
    """As RunPod's load balancer asks: 204 while loading, 200 when ready, 503 when broken."""
    service: Service = request.app.state.service
    return Response(status_code=_PING.get(service.readiness.state, HTTPStatus.OK))


@router.get("/v1/test", operation_id="test", summary="Whether this is a speech server")
async def test() -> dict[str, str]:
    """As Kokoro-FastAPI answers: wyoming-openai then reads the list of voices."""
    return {"status": "ok"}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    dependencies=[Depends(needs_key)],
    response_class=Response,
    responses={200: {"description": "Figures.", "content": {"text/plain": {}}}, 401: KEYED[401]},
)
async def metrics(request: Request) -> Response:
    """Requests, queue, lanes, time to first audio, real-time factor, audio seconds, errors."""
    service: Service = request.app.state.service
    for scheduler in service.studio.all_loaded():
        info = scheduler.engine.info
        service.metrics.lanes.labels(info.name).set(info.max_lanes)
        service.metrics.lanes_busy.labels(info.name).set(scheduler.lanes_busy)
    return Response(generate_latest(service.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})
