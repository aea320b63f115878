"""The lists of models, in the shapes that OpenAI's SDKs and Open WebUI read."""

from __future__ import annotations

from oscine.config import Settings
from oscine.engines.protocol import Engine, Missing
from tests.echo import EchoEngine, echo
from tests.http.asking import ECHO, get, refused, speak
from tests.http.conftest import Running, Serve

OPENAI = ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"]


def test_models_are_listed_as_openai_lists_them(server: Running):
    body = get(server, "/v1/models").json()
    assert set(body) == {"object", "data"}
    assert body["object"] == "list"
    for model in body["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert isinstance(model["owned_by"], str)
    assert [model["id"] for model in body["data"]] == ["hibari", *OPENAI]


def test_every_model_of_the_list_can_be_shown_and_speaks(server: Running):
    for model in get(server, "/v1/models").json()["data"]:
        assert get(server, f"/v1/models/{model['id']}").json() == model
        assert speak(server, "Hello.", model=model["id"]).status_code == 200


def test_a_model_that_is_not_in_the_list_is_not_found(server: Running):
    answer = get(server, "/v1/models/gpt-9")
    assert answer.status_code == 404
    error = refused(answer)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert get(server, "/v1/models/").status_code == 404


def test_open_webui_finds_the_same_models_for_speech(server: Running):
    body = get(server, "/v1/audio/models").json()
    assert set(body) == {"models"}
    assert [model["id"] for model in body["models"]] == ["hibari", *OPENAI]


def test_the_engine_that_answers_comes_first(serve: Serve):
    running = serve(factories={name: lambda _: EchoEngine() for name in ("alpha", "echo", "zeta")}, **ECHO)
    ids = [model["id"] for model in get(running, "/v1/models").json()["data"]]
    assert ids == ["echo", "alpha", "zeta", *OPENAI]


def test_engines_that_cannot_speak_here_are_no_models_but_for_the_one_that_answers(serve: Serve):
    def broken(_settings: Settings) -> Engine:
        raise RuntimeError("not today")

    missing = Missing("its weights", "oscine download alpha")
    factories = {"alpha": echo(missing=missing), "broken": broken, "echo": echo(missing=missing), "zeta": echo()}
    running = serve(factories=factories, wait=False, **ECHO)
    ids = [model["id"] for model in get(running, "/v1/models").json()["data"]]
    assert ids == ["echo", "zeta", *OPENAI]
    assert get(running, "/v1/models/alpha").status_code == 404
