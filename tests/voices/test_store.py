"""Recordings that become prompts: what is refused and why, and that an unchanged file is read once."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from oscine.errors import InvalidRequest, NotAvailable
from oscine.voices.library import RECORDING, UPLOAD, VoiceLibrary
from oscine.voices.store import PromptStore
from tests.voices.recordings import (
    CONTAINERS,
    RATE,
    encoded,
    float_wav,
    hours_of_flac,
    recording,
    speech,
    wav_that_claims,
)


def store(folder: Path, **limits: int) -> tuple[VoiceLibrary, PromptStore]:
    library = VoiceLibrary([], folder)
    return library, PromptStore(library, **limits)


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_recording_in_any_container_becomes_mono_float32_at_its_own_rate(tmp_path: Path, extension: str) -> None:
    (tmp_path / f"anna.{extension}").write_bytes(recording(extension))
    library, prompts = store(tmp_path)
    prompt = prompts.prompt(library.find("anna"))
    assert prompt.name == "anna"
    assert prompt.key.startswith("sha256:")
    assert prompt.reference is not None
    assert prompt.reference.sample_rate == (48_000 if extension in {"opus", "webm"} else RATE)
    assert prompt.reference.samples.dtype == np.float32
    assert prompt.reference.samples.ndim == 1
    assert prompt.reference.duration == pytest.approx(4.0, abs=0.1)


def test_a_stereo_recording_is_mixed_to_mono(tmp_path: Path) -> None:
    left = speech()
    _, prompts = store(tmp_path)
    prompt = prompts.prompt_from_bytes(encoded(np.stack([left, np.zeros_like(left)]), "flac"))
    assert prompt.reference is not None
    mono = prompt.reference.samples
    assert len(mono) == len(left)
    assert np.corrcoef(mono, left)[0, 1] > 0.999


def loud(seconds: float) -> bytes:
    return encoded(np.clip(speech(seconds) * 100, -1, 1), "flac")


UNUSABLE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "truncated": lambda: recording("m4a")[:3000],
    "header only": lambda: recording("wav")[:44],
    "text": lambda: b"Dear diary, today I spoke for a long while.\n" * 500,
    "playlist": lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "list of files": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "noise of bytes": lambda: np.random.default_rng(1).bytes(50_000),
    "2 s": lambda: recording("wav", 2.0),
    "130 s": lambda: hours_of_flac(130 / 3600),
    "3 hours": lambda: hours_of_flac(3),
    "3 hours by its header": lambda: wav_that_claims(3 * 3600, bytes(4_000)),
    "NaN": lambda: float_wav(np.where(np.arange(4 * RATE) == RATE, np.nan, speech(4.0)).astype(np.float32)),
    "infinite": lambda: float_wav(np.where(np.arange(4 * RATE) == RATE, np.inf, speech(4.0)).astype(np.float32)),
    "silence": lambda: encoded(np.zeros(4 * RATE, np.float32), "flac"),
    "nearly silence": lambda: encoded(speech(4.0) * 1e-4, "wav"),
    "clipped": lambda: loud(4.0),
    "192 kHz": lambda: encoded(speech(32.0), "flac", rate=192_000),
    "8 channels": lambda: encoded(np.tile(speech(4.0), (8, 1)), "flac"),
    "192 kHz 8 channels": lambda: encoded(np.tile(speech(32.0), (8, 1)), "flac", rate=192_000),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_recording_that_cannot_be_used_is_one_sentence_that_names_the_field(tmp_path: Path, what: str) -> None:
    data = UNUSABLE[what]()
    (tmp_path / "anna.wav").write_bytes(data)
    library, prompts = store(tmp_path)
    attempts: dict[str, Callable[[], object]] = {
        "voice_audio": lambda: prompts.prompt_from_bytes(data),
        "emo_audio_prompt": lambda: prompts.prompt(library.find("anna"), field="emo_audio_prompt"),
    }
    for field, attempt in attempts.items():
        with pytest.raises(InvalidRequest) as caught:
            attempt()
        assert caught.value.param == field
        assert field in caught.value.message
        assert str(tmp_path) not in caught.value.message
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 250


def test_an_upload_ends_at_7_mb_and_a_recording_in_the_library_does_not(tmp_path: Path) -> None:
    big = encoded(np.tile(speech(80.0), (2, 1)), "wav")
    assert UPLOAD.max_bytes < len(big) < RECORDING.max_bytes
    (tmp_path / "anna.wav").write_bytes(big)
    library, prompts = store(tmp_path)
    reference = prompts.prompt(library.find("anna")).reference
    assert reference is not None
    assert reference.duration > 40
    with pytest.raises(InvalidRequest, match="voice_audio"):
        prompts.prompt_from_bytes(big)


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,", "\n data:audio/wav;base64,\r\n"])
def test_base64_is_understood_as_programs_write_it(tmp_path: Path, prefix: str) -> None:
    _, prompts = store(tmp_path)
    data = recording()
    key = prompts.prompt_from_bytes(data).key
    for text in (base64.b64encode(data), base64.encodebytes(data), base64.b64encode(data) + b" \t\r\n"):
        assert prompts.prompt_from_base64(prefix + text.decode()).key == key
    for wrong in ("no base64!", "UklGRg", "UklGRg==\xa0", "ü" * 8):
        with pytest.raises(InvalidRequest, match="base64") as caught:
            prompts.prompt_from_base64(wrong)
        assert caught.value.param == "voice_audio"


def test_an_upload_in_base64_has_the_same_limit_as_its_bytes(tmp_path: Path) -> None:
    _, prompts = store(tmp_path)
    most = recording("wav")
    most += b"\0" * (UPLOAD.max_bytes - len(most))
    assert prompts.prompt_from_base64(base64.encodebytes(most).decode()).key == prompts.prompt_from_bytes(most).key
    for more in (1, 3, 5_000_000):
        with pytest.raises(InvalidRequest, match="larger than"):
            prompts.prompt_from_base64(base64.b64encode(most + b"\0" * more).decode())


def test_equal_recordings_share_one_key_and_one_decoded_copy(tmp_path: Path) -> None:
    for filename in ("anna.wav", "bea.wav"):
        (tmp_path / filename).write_bytes(recording())
    (tmp_path / "carl.wav").write_bytes(recording(seed=2))
    library, prompts = store(tmp_path)
    anna, bea, carl = (prompts.prompt(library.find(name)) for name in ("anna", "bea", "carl"))
    upload = prompts.prompt_from_bytes(recording(), "voice_audio")
    assert anna.key == bea.key == upload.key != carl.key
    assert anna.reference is bea.reference is upload.reference
    assert [anna.name, bea.name, upload.name] == ["anna", "bea", "voice_audio"]


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, prompts = store(tmp_path)
    library.add("anna", recording())
    first = prompts.prompt(library.find("anna"))
    hashed: list[int] = []

    def counted(data: bytes) -> object:
        hashed.append(len(data))
        return hashlib.sha256(data)

    monkeypatch.setattr("oscine.voices.store.hashlib", SimpleNamespace(sha256=counted))
    assert prompts.prompt(library.find("anna")).reference is first.reference
    assert hashed == []
    changed = bytearray(recording())
    changed[100_000] ^= 1
    before = (tmp_path / "anna.wav").stat()
    (tmp_path / "anna.wav").write_bytes(changed)
    os.utime(tmp_path / "anna.wav", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert prompts.prompt(library.find("anna")).key != first.key
    library.add("anna", recording("flac", seed=2), replace=True)
    assert prompts.prompt(library.find("anna")).key != first.key
    assert len(hashed) == 2


def test_a_shared_reference_cannot_be_written_to(tmp_path: Path) -> None:
    reference = store(tmp_path)[1].prompt_from_bytes(recording()).reference
    assert reference is not None
    with pytest.raises(ValueError, match="read-only"):
        reference.samples[0] = 1.0


@pytest.mark.parametrize("limits", [{"max_items": 2}, {"max_bytes": 2 * 4 * 4 * RATE}, {"max_bytes": 1000}])
def test_the_store_keeps_the_latest_within_its_bounds(tmp_path: Path, limits: dict[str, int]) -> None:
    _, prompts = store(tmp_path, **limits)
    data = [recording(seed=seed) for seed in range(1, 5)]
    held = [prompts.prompt_from_bytes(each).reference for each in data]
    again = [prompts.prompt_from_bytes(each).reference for each in reversed(data)]
    again.reverse()
    kept = [old is new for old, new in zip(held, again, strict=True)]
    assert kept == ([False, False, True, True] if limits != {"max_bytes": 1000} else [False] * 4)


def test_a_recording_that_went_away_is_a_clear_error(tmp_path: Path) -> None:
    library, prompts = store(tmp_path)
    voice = library.add("anna", recording())
    voice.path.unlink()
    with pytest.raises(NotAvailable, match="anna") as caught:
        prompts.prompt(voice)
    assert str(tmp_path) not in caught.value.message


def test_many_threads_get_the_right_voices_from_a_small_store(tmp_path: Path) -> None:
    library, prompts = store(tmp_path, max_items=2)
    for seed in range(1, 5):
        library.add(f"voice{seed}", recording(seed=seed))
    right = {f"voice{seed}": PromptStore(library).prompt(library.find(f"voice{seed}")).key for seed in range(1, 5)}
    wrong: list[object] = []

    def ask(offset: int) -> None:
        for n in range(40):
            name = f"voice{(n + offset) % 4 + 1}"
            prompt = prompts.prompt(library.find(name))
            if prompt.key != right[name] or prompt.reference is None or prompt.reference.duration < 3.9:
                wrong.append(prompt)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
