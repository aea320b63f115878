"""What programs do with OpenAI's package, done with any version of it.

`python sdk_checks.py ADDRESSES FOLDER` runs every check and prints a JSON line for each. ADDRESSES is a JSON object:
`open` is a server without keys, `locked` one whose key is `key`, `limited` one that refuses the second request within
two seconds, `broken` one whose engine gives up in the middle of each text. Sound goes into FOLDER, for whoever can
decode it. Needs Python and openai, and nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

TEXT = "The first sentence is short. The second one, which comes after it, is a little longer. This is the third."
SEED = 7
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm;rate=24000",
}
NOT_RETRIED = 0
ATTEMPTS = 30
"""Requests one after the other of which two come within two seconds."""


class House:
    """Where the servers are, and where sound goes."""

    def __init__(self, addresses: dict[str, str], folder: Path) -> None:
        self.addresses = addresses
        self.folder = folder

    def client(self, server: str = "open", key: str = "any", retries: int = NOT_RETRIED) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.addresses[server]}/v1", api_key=key, max_retries=retries, timeout=60, organization="org-1"
        )

    def keep(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)


Check = Callable[[House], None]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def each_format(function: Callable[[House, str], None]) -> None:
    for name in MEDIA_TYPES:

        def one(house: House, name: str = name) -> None:
            function(house, name)

        CHECKS[f"{function.__name__}_{name}"] = one


class Caught:
    """What was raised."""

    error: Any = None


@contextmanager
def raises(kind: type[Exception]) -> Iterator[Caught]:
    """As pytest has it, which is not here."""
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    else:
        raise AssertionError(f"nothing raised {kind.__name__}")


def speech(**fields: Any) -> dict[str, Any]:
    return {"model": "tts-1", "voice": "alloy", "input": TEXT, "extra_body": {"seed": SEED}, **fields}


@each_format
def create(house: House, name: str) -> None:
    answer = house.client().audio.speech.create(**speech(response_format=name))
    assert answer.response.headers["content-type"] == MEDIA_TYPES[name], answer.response.headers["content-type"]
    house.keep(f"create.{name}", answer.content)


@each_format
def stream(house: House, name: str) -> None:
    with house.client().audio.speech.with_streaming_response.create(**speech(response_format=name)) as answer:
        assert "content-length" not in answer.headers
        parts = list(answer.iter_bytes(4096))
    assert len(parts) > 1
    house.keep(f"stream.{name}", b"".join(parts))


@each_format
def sse(house: House, name: str) -> None:
    """By its lines, as OpenAI's own examples read it: the package has no parser for events of speech."""
    fields = speech(model="gpt-4o-mini-tts", response_format=name, stream_format="sse")
    with house.client().audio.speech.with_streaming_response.create(**fields) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers["content-type"]
        lines = [line for line in answer.iter_lines() if line.startswith("data:")]
    house.keep(f"sse.{name}", sound_of(json.loads(line[5:]) for line in lines if "[DONE]" not in line))


@check
def sse_through_the_stream_class(house: House) -> None:
    """By the package's own event stream, as it reads chats."""
    body = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": TEXT, "seed": SEED, "response_format": "wav"}
    with house.client().post(
        "/audio/speech",
        body={**body, "stream_format": "sse"},
        cast_to=object,
        stream=True,
        stream_cls=openai.Stream[object],
    ) as events:
        house.keep("sse-class.wav", sound_of(events))


@check
def sse_that_breaks_midway_raises(house: House) -> None:
    """What was heard until then has arrived; the error has its words."""
    body = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": TEXT, "response_format": "pcm"}
    heard = 0
    with (
        house.client("broken").post(
            "/audio/speech",
            body={**body, "stream_format": "sse"},
            cast_to=object,
            stream=True,
            stream_cls=openai.Stream[Any],
        ) as events,
        raises(openai.APIError) as caught,
    ):
        for event in events:
            heard += event["type"] == "speech.audio.delta"
    assert heard
    assert len(caught.error.message.split()) > 3, caught.error.message
    assert caught.error.type == "server_error"


@check
def sound_that_breaks_midway_raises(house: House) -> None:
    """A connection that is cut, so that nobody takes a part for the whole."""
    # Of the package's transport: httpx in one generation, httpx2 in the other.
    with raises(Exception) as caught:
        house.client("broken").audio.speech.create(**speech(response_format="pcm"))
    named = [kind.__name__ for kind in type(caught.error).__mro__]
    assert "TransportError" in named or "APIConnectionError" in named, named


def sound_of(events: Iterable[Any]) -> bytes:
    *deltas, done = events
    assert deltas
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    return b"".join(base64.b64decode(event["audio"], validate=True) for event in deltas)


@check
def async_client(house: House) -> None:
    async def ask() -> list[bytes]:
        async with openai.AsyncOpenAI(base_url=f"{house.addresses['open']}/v1", api_key="any", timeout=60) as client:

            async def one() -> bytes:
                fields = speech(response_format="wav")
                async with client.audio.speech.with_streaming_response.create(**fields) as answer:
                    return b"".join([part async for part in answer.iter_bytes()])

            return await asyncio.gather(*(one() for _ in range(4)))

    first, *others = asyncio.run(ask())
    house.keep("async.wav", first)
    assert all(other == first for other in others), "one seed, one sound"


@check
def write_to_file(house: House) -> None:
    house.client().audio.speech.create(**speech(response_format="mp3")).write_to_file(house.folder / "file.mp3")


@check
def stream_to_file(house: House) -> None:
    with house.client().audio.speech.with_streaming_response.create(**speech(response_format="flac")) as answer:
        answer.stream_to_file(house.folder / "streamed.flac")


@check
def mp3_where_no_format_is_asked_for(house: House) -> None:
    answer = house.client().audio.speech.create(**speech())
    assert answer.response.headers["content-type"] == "audio/mpeg"
    house.keep("default.mp3", answer.content)


@check
def voice_as_an_object(house: House) -> None:
    answer = house.client().audio.speech.create(**speech(voice={"id": "heart"}, response_format="wav"))
    house.keep("object.wav", answer.content)


@check
def instructions_do_no_harm(house: House) -> None:
    answer = house.client().audio.speech.create(**speech(instructions="Speak like a pirate.", response_format="wav"))
    house.keep("instructions.wav", answer.content)


@check
def raw_response_carries_headers(house: House) -> None:
    answer = house.client().audio.speech.with_raw_response.create(**speech(response_format="pcm"))
    assert answer.headers["x-request-id"]
    assert "dur=" in answer.headers["server-timing"]
    assert answer.headers["x-oscine-engine"] == "hibari"
    assert answer.headers["x-oscine-seed"] == str(SEED)


@check
def unknown_voice(house: House) -> None:
    error = refused(openai.BadRequestError, house, voice="nobody-of-this-name")
    assert "voice" in error.message
    assert error.param == "voice"
    assert error.type == "invalid_request_error"
    assert error.request_id


@check
def unknown_voice_as_an_object(house: House) -> None:
    assert refused(openai.BadRequestError, house, voice={"id": "nobody-of-this-name"}).param == "voice"


@check
def wrong_fields(house: House) -> None:
    for name, value in {
        "input": "",
        "speed": 9,
        "response_format": "ogg-vorbis",
        "stream_format": "smoke",
        "voice": 5,
    }.items():
        error = refused(openai.BadRequestError, house, **{name: value})
        assert error.param == name, (name, error.param)
        assert name in error.message, (name, error.message)


def refused(kind: type[openai.APIStatusError], house: House, **fields: Any) -> Any:
    with raises(kind) as caught:
        house.client().audio.speech.create(**speech(**fields))
    assert set(caught.error.body) == {"message", "type", "param", "code"}, caught.error.body
    return caught.error


@check
def wrong_key(house: House) -> None:
    with raises(openai.AuthenticationError) as caught:
        house.client("locked", key="sk-wrong").audio.speech.create(**speech())
    assert caught.error.code == "invalid_api_key"
    assert "key" in caught.error.message.lower()
    assert "sk-wrong" not in str(caught.error)


@check
def right_key(house: House) -> None:
    answer = house.client("locked", key=house.addresses["key"]).audio.speech.create(**speech(response_format="wav"))
    house.keep("key.wav", answer.content)


@check
def no_such_path(house: House) -> None:
    with raises(openai.NotFoundError) as caught:
        house.client().post("/audio/transcriptions", body={}, cast_to=object)
    assert caught.error.body["message"]


@check
def wrong_method(house: House) -> None:
    with raises(openai.APIStatusError) as caught:
        house.client().get("/audio/speech", cast_to=object)
    assert caught.error.status_code == 405
    assert caught.error.body["message"]
    assert "POST" in caught.error.response.headers["allow"]


@check
def models(house: House) -> None:
    client = house.client()
    listed = list(client.models.list())
    assert "hibari" in [model.id for model in listed]
    for model in listed:
        assert model.object == "model"
        assert isinstance(model.created, int)
        assert model.owned_by
    assert client.models.retrieve("hibari").id == "hibari"
    with raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert "model" in caught.error.message


@check
def voices(house: House) -> None:
    """Made, listed, shown, heard, refused a second time, and deleted."""
    client = house.client()
    name = f"visitor-{openai.__version__.split('.')[0]}"
    sample = ("visitor.wav", (house.folder / "create.wav").read_bytes(), "audio/wav")
    made = make_voice(client, name, sample)
    assert made["id"] == name
    assert made["object"] == "audio.voice"
    assert made["type"] == "audio_sample"
    assert isinstance(made["created_at"], int)
    listed: Any = client.get("/audio/voices?all=true", cast_to=object)
    assert name in [voice["id"] for voice in listed["voices"]]
    shown: Any = client.get(f"/audio/voices/{name}", cast_to=object)
    assert 3 < shown["duration"] < 120
    with raises(openai.APIStatusError) as caught:
        make_voice(client, name, sample)
    assert caught.error.status_code in (400, 409), caught.error.status_code
    assert "name" in caught.error.message
    deleted = delete_voice(client, name)
    assert deleted == {"id": name, "object": "audio.voice.deleted", "deleted": True}
    with raises(openai.NotFoundError):
        delete_voice(client, name)


def make_voice(client: Any, name: str, sample: tuple[str, bytes, str]) -> dict[str, Any]:
    """Through the package where it knows voices, which is from 2.x on."""
    if hasattr(client.audio, "voices"):
        made = client.audio.voices.create(name=name, audio_sample=sample, consent="cons_1")
        return dict(made.to_dict())
    return dict(
        client.post(
            "/audio/voices",
            body={"name": name, "consent": "cons_1"},
            files={"audio_sample": sample},
            options={"headers": {"Content-Type": "multipart/form-data"}},
            cast_to=object,
        )
    )


def delete_voice(client: Any, name: str) -> dict[str, Any]:
    if hasattr(client.audio, "voices"):
        return dict(client.audio.voices.delete(name).to_dict())
    return dict(client.delete(f"/audio/voices/{name}", cast_to=object))


@check
def a_voice_from_a_prompt_is_refused(house: House) -> None:
    """The package sends it as a form too; only recordings make voices here."""
    client: Any = house.client()
    form = {"headers": {"Content-Type": "multipart/form-data"}}
    with raises(openai.BadRequestError) as caught:
        client.post(
            "/audio/voices",
            body={"name": "dreamed", "type": "prompt", "prompt": "A calm voice"},
            files={},
            options=form,
            cast_to=object,
        )
    assert caught.error.param == "type", caught.error.body


@check
def limit_is_an_error_that_says_when(house: House) -> None:
    client = house.client("limited")
    with raises(openai.RateLimitError) as caught:
        for _ in range(ATTEMPTS):
            client.audio.speech.create(**speech(input="Yes.", response_format="pcm"))
    assert 0 < int(caught.error.response.headers["retry-after"]) <= 60
    assert caught.error.code == "rate_limit_exceeded"


@check
def retry_after_is_honoured(house: House) -> None:
    client = house.client("limited", retries=3)
    for _ in range(ATTEMPTS):
        answer = client.audio.speech.with_raw_response.create(**speech(input="Yes.", response_format="pcm"))
        assert answer.content
        if answer.retries_taken:
            return
    raise AssertionError("nothing was retried")


def main(arguments: list[str]) -> int:
    addresses, folder = arguments
    house = House(json.loads(addresses), Path(folder))
    for name, function in CHECKS.items():
        problem = None
        try:
            function(house)
        except Exception as error:  # every check is told about
            problem = f"{type(error).__name__}: {error}"
        print(json.dumps({"check": name, "openai": openai.__version__, "problem": problem}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
