"""What `/openapi.json` says of bodies, with examples; the speech request's fields come from `SpeechRequest` itself."""

from __future__ import annotations

from typing import Any, Final

from pydantic import AliasChoices

from oscine.request import SpeechRequest

_OPENAI_NAMES: Final = {"text": "input", "format": "response_format"}
_NOT_HERE: Final = frozenset({"stream"})
"""Fields that this route has no use for."""
_VOICE: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 200},
        {
            "type": "object",
            "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 200}},
            "required": ["id"],
        },
    ]
}


def _error(description: str, message: str, kind: str, param: str | None = None, code: str | None = None) -> Any:
    example = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}


ERROR_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_WRONG: Final = _error(
    "Something in the request is wrong; the message names it and the way out.",
    "speed must be a number from 0.25 to 4.",
    "invalid_request_error",
    "speed",
)
_NO_KEY: Final = _error(
    "A key is needed, or this one is not valid.",
    "A key is needed; send one of this server's keys as Authorization: Bearer KEY.",
    "authentication_error",
    code="invalid_api_key",
)
_NOT_FOUND: Final = _error(
    "What it needs is not here.", "There is no voice of that name here.", "invalid_request_error", "voice"
)
KEYED: Final[dict[int | str, dict[str, Any]]] = {400: _WRONG, 401: _NO_KEY}
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The sound while it is made, or with `stream_format` sse its events.",
        "headers": {
            "Server-Timing": {"schema": {"type": "string"}, "description": "Milliseconds until the first sound."},
            "x-request-id": {"schema": {"type": "string"}, "description": "What the log calls this request."},
            "x-oscine-seed": {"schema": {"type": "string"}, "description": "With it the speech can be made again."},
        },
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm")
        }
        | {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **KEYED,
    404: _NOT_FOUND,
    408: _error(
        "The body came too slowly.", "The body did not arrive within 120 s; send it again.", "invalid_request_error"
    ),
    413: _error("The body is too large.", "The body is larger than 16 MB; send less at once.", "invalid_request_error"),
    429: _error(
        "The queue is full, or the key's rate is used up; Retry-After says when to come back.",
        "All places in the queue are taken; try again later.",
        "rate_limit_error",
        code="rate_limit_exceeded",
    ),
    500: _error("The engine could not speak it.", "The engine could not speak this piece.", "server_error"),
    503: _error("The engine is broken or still loading.", "There was no sound within 120 s.", "server_error"),
}


def _speech_body() -> dict[str, Any]:
    """The schema of a speech request, by OpenAI's names where it has them."""
    made = SpeechRequest.model_json_schema(by_alias=False)
    properties: dict[str, Any] = {}
    for field, info in SpeechRequest.model_fields.items():
        if field in _NOT_HERE:
            continue
        name = _OPENAI_NAMES.get(field, field)
        shape = _with_bounds(made["properties"][field])
        shape.pop("title", None)
        if "type" in shape and not info.is_required():
            shape["type"] = [shape["type"], "null"]
        others = info.validation_alias.choices if isinstance(info.validation_alias, AliasChoices) else []
        also = ", ".join(str(other) for other in others if other != name)
        if also:
            shape["description"] = f"{shape['description']}; also taken as {also}"
        properties[name] = shape
    properties["voice"] = {
        "anyOf": [*_VOICE["anyOf"], {"type": "null"}],
        "description": properties["voice"]["description"],
    }
    properties["voices"]["anyOf"][0]["additionalProperties"] = _VOICE
    properties["input"] |= {"minLength": 1}
    properties["stream_format"] = {
        "type": "string",
        "enum": ["audio", "sse"],
        "default": "audio",
        "description": "audio: the bytes of an audio file; sse: server-sent events with base64",
    }
    return {"type": "object", "required": ["input"], "properties": properties}


_BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def _with_bounds(shape: Any) -> Any:
    """A schema with its bounds by their right names: pydantic keeps its own ones behind a validator."""
    if isinstance(shape, dict):
        return {_BOUNDS.get(name, name): _with_bounds(value) for name, value in shape.items()}
    return [_with_bounds(each) for each in shape] if isinstance(shape, list) else shape


SPEECH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _speech_body(),
                "examples": {
                    "OpenAI's fields": {
                        "value": {
                            "model": "tts-1",
                            "input": "Hello world. How are you today?",
                            "voice": "alloy",
                            "response_format": "mp3",
                        }
                    },
                    "Oscine's fields": {
                        "value": {
                            "input": "The first part. [pause:1.5s] The second part.",
                            "voice": {"id": "heart"},
                            "response_format": "pcm",
                            "speed": 0.9,
                            "seed": 42,
                            "loudness": -16,
                            "pronunciations": {"SQL": "sequel"},
                        }
                    },
                    "Server-sent events": {
                        "value": {"model": "gpt-4o-mini-tts", "input": "Hello world.", "stream_format": "sse"}
                    },
                },
            }
        },
    }
}

VOICE_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio_sample", "name"],
                    "properties": {
                        "audio_sample": {
                            "type": "string",
                            "format": "binary",
                            "description": "a recording of one speaker, 3 to 120 s, at most 10 MiB",
                        },
                        "name": {"type": "string", "minLength": 1, "description": "what the voice is called"},
                        "consent": {
                            "type": "string",
                            "description": "that the speaker agreed; false, no or 0 is refused",
                        },
                        "type": {"type": "string", "enum": ["audio_sample"]},
                        "replace": {"type": "string", "enum": ["true", "false"], "default": "false"},
                    },
                }
            }
        },
    }
}
