"""`/v1/models` and `/v1/audio/models`: the engines, and the names that OpenAI's clients send."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request

from oscine.errors import NotAvailable
from oscine.http.schema import ERRORS
from oscine.http.service import Service

router = APIRouter(tags=["models"])

OPENAI_MODELS: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""They mean the default engine, as any other name does that is no engine's."""


@router.get("/v1/models", operation_id="listModels", summary="List the models")
async def list_models(request: Request) -> dict[str, Any]:
    """As OpenAI lists them."""
    service: Service = request.app.state.service
    return {"object": "list", "data": [_model(service, name) for name in await _names(service)]}


@router.get("/v1/models/{model}", operation_id="getModel", summary="Show a model", responses={404: ERRORS[404]})
async def get_model(request: Request, model: str) -> dict[str, Any]:
    """One of those in the list."""
    service: Service = request.app.state.service
    if model not in await _names(service):
        raise NotAvailable("model is none of those that GET /v1/models lists.", param="model", code="model_not_found")
    return _model(service, model)


@router.get("/v1/audio/models", operation_id="listSpeechModels", summary="List the models for speech")
async def list_speech_models(request: Request) -> dict[str, Any]:
    """As Open WebUI asks for them."""
    return {"models": [{"id": name, "name": name} for name in await _names(request.app.state.service)]}


async def _names(service: Service) -> tuple[str, ...]:
    """The engine that answers comes first; of the others those that could."""
    return await asyncio.to_thread(_found, service)


def _found(service: Service) -> tuple[str, ...]:
    default = service.settings.engine
    names = [name for name in service.studio.registry.names if name == default or _is_ready(service, name)]
    return (*sorted(names, key=lambda name: name != default), *OPENAI_MODELS)


def _is_ready(service: Service, name: str) -> bool:
    try:
        return service.studio.registry.get(name).missing() is None
    except Exception:  # an engine of another package may raise anything; it cannot speak then
        return False


def _model(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(service.started), "owned_by": "oscine"}
