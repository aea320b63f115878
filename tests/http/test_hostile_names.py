"""Names that somebody might try, wherever a request names something: nothing outside is read, written or deleted."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tests.echo import echo
from tests.http.conftest import Running, Serve, is_ready, running
from tests.http.raw import Answer, ask, request, speech, upload
from tests.voices.hostile import NAMES, WANTED
from tests.voices.recordings import recording

CANARY = b"what nobody may read"
TRIED = [
    *(
        "../outside",
        "../outside.wav",
        "..\\outside",
        "..\\..\\outside.wav",
        "./anna",
        "../voices/anna",
        "....//outside",
    ),
    *("/etc/passwd", "/etc/passwd\0.wav", "//host/share/outside", "\\\\host\\share\\outside", "file:///etc/passwd"),
    *("C:\\Windows\\win.ini", "C:outside", "c:/outside.wav", "anna.wav:stream", "~/outside", "~root/outside", "$HOME"),
    *(
        "..%2foutside",
        "%2e%2e/outside",
        "%2e%2e%2foutside.wav",
        "..%5coutside",
        "%00",
        "anna%00.wav",
        "..%c0%afoutside",
    ),
    *(
        "anna\0",
        "\0",
        "an\nna",
        "\r\nSet-Cookie: a=b",
        "linked",
        "linked.wav",
        "linked/secret",
        "inner",
        "inner/secret",
    ),
    *(
        ".hidden",
        ".hidden.wav",
        ".oscine-lock",
        "voices.json",
        ".",
        "..",
        "...",
        " ",
        "",
        "-",
        "--help",
        "*",
        "?",
        "[a]",
    ),
    *("CON", "nul", "com1.wav", "LPT9", "aux.txt", "CONIN$", "a" * 256, "a" * 5000, "é" * 200, "\U0001f426" * 100),
    *("．．／outside", "․․∕outside", "..／outside", "..⁄outside", "‮vaw.anna", "a\u0300\u0316" * 90),
    *(
        "${jndi:ldap://127.0.0.1/a}",
        "'; DROP TABLE voices; --",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "anna|id",
        "`id`",
    ),
]


@pytest.fixture(scope="module")
def hunted(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server that clones, with one voice, and canaries all around its folder of voices."""
    volume = tmp_path_factory.mktemp("hunted")
    voices = volume / "voices"
    (voices / "inner").mkdir(parents=True)
    (voices / "anna.wav").write_bytes(recording("wav"))
    for canary in canaries(volume):
        canary.parent.mkdir(parents=True, exist_ok=True)
        canary.write_bytes(CANARY)
    (voices / "linked.wav").symlink_to(volume / "outside.wav")
    (voices / "linked").symlink_to(volume / "elsewhere", target_is_directory=True)
    (voices / "chain.wav").symlink_to(voices / "linked.wav")
    (voices / "pipe.wav").symlink_to("/dev/zero")
    with running(volume, {"echo": echo(cloning=True, options=["emo_audio_prompt"])}, OSCINE_ENGINE="echo") as found:
        yield is_ready(found)


def canaries(volume: Path) -> list[Path]:
    return [
        volume / "outside.wav",
        volume / "outside",
        volume / "elsewhere" / "secret.wav",
        volume / "voices" / ".hidden.wav",
        volume / "voices" / "inner" / "secret.wav",
        volume / "voices2" / "secret.wav",
    ]


def everything(volume: Path) -> dict[str, bytes | str]:
    """Every file, folder and link of the volume, with what is in it."""
    return {
        str(path.relative_to(volume)): "link"
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in sorted(volume.rglob("*"))
        if path.name != ".oscine-lock"
    }


def refused(answer: Answer, server: Running, *, statuses: tuple[int, ...] = (400, 404, 405)) -> None:
    """It was turned away, and what was said tells nothing of the machine."""
    assert answer.status in statuses, (answer.status, answer.body[:300])
    home = server.settings.home
    said = answer.body + "".join(f"{name}: {value}\n" for name, value in answer.headers.items()).encode()
    for secret in (CANARY, str(home).encode(), home.name.encode(), b"Traceback", b"/usr/", b"/home/", b"site-packages"):
        assert secret not in said
    assert "set-cookie" not in answer.headers
    if answer.status in (400, 404, 405):
        assert answer.error["message"]


def wishes(name: str) -> list[dict[str, object]]:
    """Every field of a request that names something."""
    return [
        {"voice": name},
        {"voice": {"id": name}},
        {"voices": {"Anna": name}, "voice": "anna"},
        {"emo_audio_prompt": name},
        {"session_id": name},
        {"engine": name},
    ]


@pytest.mark.parametrize("name", TRIED)
def test_a_name_in_a_request_for_speech_never_leads_out_of_the_folder(hunted: Running, name: str) -> None:
    before = everything(hunted.settings.home)
    for wish in wishes(name):
        answer = ask(hunted.port, speech("Anna: Hello.", **wish))
        if answer.status == 200:
            # Blanks mean the default voice.
            blank = (not name.strip() and "emo_audio_prompt" not in wish) or "session_id" in wish
            assert blank or name in (".", "-"), (name, wish)
            assert answer.headers["x-oscine-voice"] in ("low", "anna")
        else:
            refused(answer, hunted)
    assert everything(hunted.settings.home) == before


@pytest.mark.parametrize("name", TRIED)
def test_a_name_in_a_path_never_leads_out_of_the_folder(hunted: Running, name: str) -> None:
    before = everything(hunted.settings.home)
    encoded = {quote(name, safe=""), quote(quote(name, safe=""), safe=""), quote(name.replace("/", "%2f"), safe="%")}
    for part in encoded:
        for method, target in (
            ("GET", f"/v1/audio/voices/{part}"),
            ("GET", f"/v1/audio/voices/{part}/sample"),
            ("DELETE", f"/v1/audio/voices/{part}"),
            ("GET", f"/v1/models/{part}"),
            ("GET", f"/page/{part}"),
            ("GET", f"/{part}"),
        ):
            answer = ask(hunted.port, request(method, target))
            lists = method == "GET" and target.rstrip("/") in ("", "/v1/audio/voices", "/v1/models")
            if not (lists or (not part and answer.status == 200)):
                refused(answer, hunted)
    assert everything(hunted.settings.home) == before


@pytest.mark.parametrize("target", ["../outside", "../../../../etc/passwd", "..\\outside", "%2e%2e/%2e%2e/etc/passwd"])
def test_a_path_that_was_not_made_by_a_browser_leads_nowhere(hunted: Running, target: str) -> None:
    """Clients tidy `..` away; here it comes as it is."""
    for prefix in ("/v1/audio/voices/", "/page/", "/", "//", "/v1/audio/voices/anna/", "/v1/models/"):
        refused(ask(hunted.port, request("GET", prefix + target)), hunted)
        refused(ask(hunted.port, request("DELETE", prefix + target)), hunted)


@pytest.mark.parametrize("name", TRIED)
def test_an_uploaded_name_never_becomes_a_path(hunted: Running, name: str) -> None:
    before = everything(hunted.settings.home)
    answer = ask(hunted.port, upload(name, recording("wav")))
    if answer.status == 200:
        kept = answer.json["name"]
        assert set(everything(hunted.settings.home)) - set(before) == {f"voices/{kept}.wav"}
        assert ask(hunted.port, request("DELETE", f"/v1/audio/voices/{quote(kept, safe='')}")).status == 200
        assert not set(kept) & set('/\\:*?"<>|\0\n\r')
    else:
        refused(answer, hunted)
    assert everything(hunted.settings.home) == before


@pytest.mark.parametrize(
    "filename", ["../../outside.wav", "/etc/cron.d/x", "C:\\\\outside.wav", "a\0b.wav", "x" * 4000, "outside.py", ""]
)
def test_what_an_uploaded_file_is_called_does_not_matter(hunted: Running, filename: str) -> None:
    before = everything(hunted.settings.home)
    answer = ask(hunted.port, upload("bert", recording("wav"), filename=filename))
    if answer.status == 200:
        assert set(everything(hunted.settings.home)) - set(before) == {"voices/bert.wav"}
        assert ask(hunted.port, request("DELETE", "/v1/audio/voices/bert")).status == 200
    else:
        refused(answer, hunted)
    assert everything(hunted.settings.home) == before


def test_links_that_lead_out_are_neither_listed_nor_spoken_nor_overwritten(hunted: Running) -> None:
    before = everything(hunted.settings.home)
    listed = [voice["id"] for voice in ask(hunted.port, request("GET", "/v1/audio/voices?all=true")).json["voices"]]
    assert "anna" in listed
    assert not {"linked", "chain", "pipe", "secret", ".hidden", "inner"} & set(listed)
    for name in ("linked", "chain", "pipe"):
        refused(ask(hunted.port, speech(voice=name)), hunted)
        refused(ask(hunted.port, request("GET", f"/v1/audio/voices/{name}/sample")), hunted)
        refused(ask(hunted.port, request("DELETE", f"/v1/audio/voices/{name}")), hunted)
        refused(ask(hunted.port, upload(name, recording("wav"))), hunted)
    assert everything(hunted.settings.home) == before


def test_a_recording_that_replaces_a_link_leaves_what_the_link_led_to(serve: Serve) -> None:
    server = serve()
    voices = server.settings.voice_home
    voices.mkdir(parents=True)
    outside = server.settings.home / "outside.wav"
    outside.write_bytes(CANARY)
    (voices / "bert.wav").symlink_to(outside)
    answer = ask(server.port, upload("bert", recording("wav"), replace="true"))
    assert answer.status == 200
    assert outside.read_bytes() == CANARY
    assert ask(server.port, request("GET", "/v1/audio/voices/bert/sample")).body == recording("wav")
    assert ask(server.port, request("DELETE", "/v1/audio/voices/bert")).status == 200
    assert outside.read_bytes() == CANARY


def test_names_that_only_look_alike_are_different_and_spellings_of_one_are_the_same(serve: Serve) -> None:
    server = serve()
    for name in ("anna", "\u0430nna", "Zoe\u0308"):
        assert ask(server.port, upload(name, recording("wav"))).status == 200
    assert ask(server.port, upload("Zo\u00eb", recording("wav"))).error["code"] == "voice_exists"
    assert ask(server.port, upload("ANNA", recording("wav"))).error["code"] == "voice_exists"
    assert ask(server.port, request("DELETE", f"/v1/audio/voices/{quote('zoë')}")).json["id"] == "Zo\u00eb"
    assert ask(server.port, request("DELETE", "/v1/audio/voices/anna")).status == 200
    left = [voice["id"] for voice in ask(server.port, request("GET", "/v1/audio/voices?all=true")).json["voices"]]
    assert "\u0430nna" in left
    assert "anna" not in left


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=WANTED, new=NAMES)
def test_no_name_at_all_touches_what_is_outside(hunted: Running, wanted: str, new: str) -> None:
    before = everything(hunted.settings.home)
    data = json.dumps({"input": "Hello.", "voice": wanted, "response_format": "pcm"}).encode()
    assert ask(hunted.port, request("POST", "/v1/audio/speech", data)).status in (200, 400)
    part = quote(wanted.encode("utf-8", "surrogatepass"), safe="")
    assert ask(hunted.port, request("GET", f"/v1/audio/voices/{part}")).status in (200, 404)
    kept = ask(hunted.port, upload(new, recording("wav")))
    assert kept.status in (200, 400)
    after = everything(hunted.settings.home)
    assert set(after) - set(before) <= ({f"voices/{kept.json['name']}.wav"} if kept.status == 200 else set())
    assert {name: after[name] for name in before} == before
    if kept.status == 200:
        gone = quote(kept.json["id"], safe="")
        assert ask(hunted.port, request("DELETE", f"/v1/audio/voices/{gone}")).status == 200
        assert everything(hunted.settings.home) == before
