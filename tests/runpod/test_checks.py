"""Whether a worker is fit, and what it does before its first job."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oscine.config import Settings
from oscine.engines.protocol import Missing
from oscine.errors import InvalidRequest, NotAvailable
from oscine.runpod import checks
from oscine.runpod.actions import act
from oscine.runpod.checks import fitness_checks, health
from oscine.runpod.handler import make_handler
from oscine.runpod.start import main, prepare
from oscine.runpod.worker import MOST_JOBS, Worker
from oscine.synthesis.studio import Studio
from oscine.voices.library import RECORDING, UPLOAD
from tests.echo import echo
from tests.runpod.conftest import TONES, Start
from tests.runpod.engines import SECRETS, entry_points
from tests.runpod.house import ROOT, Client, Process
from tests.voices.recordings import recording
from tests.waiting import until

Make = Callable[..., Worker]


@pytest.fixture
def make(tmp_path: Path):
    """A worker of this process that speaks tones."""
    made = []

    def make(*, engine: dict[str, Any] | None = None, **names: str) -> Worker:
        settings = Settings.from_env({"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", **names})
        made.append(Worker(Studio(settings, factories={"echo": echo(**(engine or {}))})))
        return made[-1]

    yield make
    for worker in made:
        worker.studio.close()


def why_not(worker: Worker) -> list[str]:
    """The sentences of the checks that fail."""
    found = []
    for check in fitness_checks(worker):
        try:
            check()
        except NotAvailable as error:
            found.append(error.message)
    return found


def test_a_worker_that_lacks_nothing_is_fit(make: Make):
    worker = make()
    prepare(worker)
    assert why_not(worker) == []
    assert health(worker, store=lambda: None)["status"] == "healthy"


def test_a_folder_that_cannot_be_written_is_told_without_its_path(make: Make, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    worker = make(OUTPUT_AUDIO_DIR=str(tmp_path / "file" / "output"))
    (told,) = why_not(worker)
    assert "OUTPUT_AUDIO_DIR" in told
    assert str(tmp_path) not in told
    checked = health(worker, store=lambda: None)
    assert checked["status"] == "unhealthy"
    assert checked["checks"]["configuration"]["status"] == "fail"


def test_a_volume_that_is_nearly_full_is_told(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "LEAST_DISK_GB", 10.0**9)  # no disk has so much
    (told,) = why_not(make())
    assert told.startswith("The volume has ")


def test_an_engine_that_is_not_installed_makes_a_worker_unfit(make: Make):
    missing = Missing("a package", 'pip install "oscine[echo]"')
    assert why_not(make(engine={"missing": missing})) == [
        'The engine echo is missing a package; run: pip install "oscine[echo]"'
    ]


def test_the_health_of_a_worker_whose_store_does_not_answer_is_told_soon(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("oscine.runpod.actions._HEALTH_STORE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        worker = make(
            S3_ENDPOINT_URL=address,
            S3_ACCESS_KEY_ID="key",
            S3_SECRET_ACCESS_KEY="secret",
            S3_BUCKET_NAME="bucket",
            S3_TIMEOUT_SECONDS="600",
        )
        begin = time.monotonic()
        checked = act(worker, {}, "health_check", {})
    assert checked["checks"]["s3"]["status"] == "fail"
    assert checked["status"] == "unhealthy"
    assert time.monotonic() - begin < 120  # of the 600 that a result is worth
    assert worker.store_for({}) is worker.store


def test_weights_that_are_not_there_yet_do_not_make_a_worker_unfit_but_unhealthy(make: Make):
    worker = make(engine={"missing": Missing("its weights", "oscine download echo")})
    prepare(worker)
    assert why_not(worker) == []
    checked = health(worker, store=lambda: None)["checks"]["checkpoints"]
    assert checked["status"] == "fail"
    assert "oscine download echo" in checked["details"]


def test_an_engine_that_cannot_be_loaded_makes_a_worker_unfit(make: Make):
    worker = make(engine={"load_failures": [RuntimeError("CUDA out of memory on /dev/nvidia0")] * 9})
    prepare(worker)
    assert why_not(worker) == ["The engine echo could not be loaded (RuntimeError)."]


def test_an_engine_that_must_be_loaded_and_cannot_be_ends_the_worker(make: Make):
    with pytest.raises(NotAvailable, match="could not be loaded"):
        prepare(make(engine={"load_failures": [RuntimeError("no")] * 9}, OSCINE_PRELOAD="always"))
    with pytest.raises(NotAvailable, match="is missing its weights"):
        prepare(make(engine={"missing": Missing("its weights", "get them")}, OSCINE_PRELOAD="always"))


def test_a_worker_that_loads_at_the_first_job_takes_one_until_then(make: Make):
    worker = make(OSCINE_PRELOAD="never")
    prepare(worker)
    assert worker.jobs_at_once() == 1
    assert [document["status"] for document in answers(worker, {"text": "One."})] == ["completed"]
    assert worker.jobs_at_once() == 4
    assert make(OSCINE_WORKER_JOBS="7").jobs_at_once() == 7


def test_no_more_jobs_are_taken_than_there_are_threads_for(make: Make):
    worker = make(engine={"lanes": 100})
    prepare(worker)
    assert worker.jobs_at_once() == MOST_JOBS


def test_each_of_the_jobs_at_once_has_a_thread(make: Make):
    worker = make(OSCINE_WORKER_JOBS="40")
    meet = threading.Barrier(40)

    async def all_at_once() -> None:
        await last_of(worker.answer({"id": "a-job", "input": {"action": "list_voices"}}))
        await asyncio.gather(*(asyncio.to_thread(meet.wait, 60) for _ in range(40)))

    asyncio.run(all_at_once())


def test_a_gpu_that_pytorch_cannot_use_makes_a_worker_unfit_unless_the_processor_was_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """PyTorch's part is played; so is that of a driver that is too old for it, on which models would take for ever."""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    monkeypatch.setattr(checks, "_DEVICES", tmp_path)
    (tmp_path / "nvidiactl").touch()
    worker = make()
    prepare(worker)
    assert why_not(worker) == []
    (tmp_path / "nvidia3").touch()
    (told,) = why_not(worker)
    assert told.startswith("PyTorch cannot use the GPU that is here")
    assert health(worker, store=lambda: None)["checks"]["hardware"] == {"status": "fail", "details": told}
    assert why_not(make(DEVICE="cpu")) == []


async def last_of(documents: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    return [document async for document in documents][-1]


def test_a_store_that_is_required_and_a_voice_that_is_needed_are_missed(make: Make):
    missed = health(make(S3_REQUIRED="true"), store=lambda: None)
    assert missed["status"] == "unhealthy"
    assert missed["checks"]["s3"]["status"] == "fail"
    assert health(make(), store=lambda: None)["checks"]["s3"]["status"] == "warn"
    voiceless = health(make(engine={"cloning": True}), store=lambda: None)["checks"]["checkpoints"]
    assert voiceless["status"] == "warn"
    assert "add_voice" in voiceless["details"]


def test_a_check_that_breaks_tells_neither_why_nor_where(make: Make):
    def broken() -> None:
        raise RuntimeError(f"no route from {SECRETS[0]} to {SECRETS[1]}")

    assert health(make(), store=broken)["checks"]["s3"] == {
        "status": "fail",
        "details": "The check failed (RuntimeError).",
    }


def test_an_engine_that_broke_is_unhealthy(make: Make):
    worker = make(engine={"load_failures": [RuntimeError("no")] * 9})
    prepare(worker)
    checked = health(worker, store=lambda: None)["checks"]["checkpoints"]
    assert checked == {"status": "fail", "details": "The engine echo could not be loaded (RuntimeError)."}


def test_a_gpu_whose_memory_others_have_taken_makes_a_worker_unfit_until_its_engine_is_loaded(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    """PyTorch's part is played: there is no GPU here."""
    free = SimpleNamespace(is_available=lambda: True, mem_get_info=lambda: (int(1e9), int(24e9)))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=free))
    worker = make()
    assert why_not(worker) == ["The GPU has 1.0 GB of its memory left, less than 2.0 GB; free some."]
    prepare(worker)
    assert why_not(worker) == []


@pytest.mark.parametrize("single", ["true", "false"])
def test_a_broken_worker_asks_for_another_whatever_the_shape_of_its_results(make: Make, single: str):
    worker = make(OSCINE_SINGLE_RESULT=single)
    asked: list[str] = []
    handle = make_handler(worker, lambda: asked.append("another"))

    async def done() -> None:
        answer = handle({"id": "a-job", "input": {"action": "list_voices"}})
        await (answer if single == "true" else last_of(answer))

    asyncio.run(done())
    assert asked == []
    worker.broken = True
    asyncio.run(done())
    assert asked == ["another"]


def test_each_job_leaves_a_line_in_the_log_and_nothing_of_what_was_said(make: Make, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "oscine.runpod")
    worker = make()
    answers(worker, {"text": "The heron stands."})
    answers(worker, {"text": "The heron stands.", "stream": True})
    answers(worker, {"text": "The heron flies.", "voice": "Moorhen"})
    told = [record.getMessage() for record in caplog.records]
    assert [re.sub(r"[0-9.]+ s", "N s", line) for line in told] == [
        "job a-job: N s of speech by echo in N s, and N s beside it, as base64",
        "job a-job: N s of speech by echo in N s, and N s beside it, as pieces",
        "job a-job failed (voice_not_found)",
    ]


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_fault_that_nobody_thought_of_leaves_its_traceback_where_that_is_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, debug: str
):
    monkeypatch.setenv("OSCINE_DEBUG", debug)
    monkeypatch.setattr("oscine.runpod.start.keep_heaps_few", lambda: sys.exit(0))  # no further than the log
    logger = logging.getLogger("oscine")
    former = logger.level
    try:
        with pytest.raises(SystemExit):
            main([])
        worker = make()
        monkeypatch.setattr(worker.output, "folder", lambda _: 1 / 0)
        answers(worker, {"text": "One."})
    finally:
        logger.setLevel(former)
    failed = [record for record in caplog.records if record.getMessage().startswith("job a-job failed")]
    assert [record.levelname for record in failed] == ["ERROR", *(["DEBUG"] if debug else [])]
    assert [record.exc_info is not None for record in failed] == [False, *([True] if debug else [])]


def test_an_engine_that_others_ask_for_and_does_not_suit_the_machine_asks_for_no_other_worker(tmp_path: Path):
    settings = Settings.from_env({"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo"})
    other = echo(name="other", load_failures=[RuntimeError("too large")] * 9)
    with Studio(settings, factories={"echo": echo(), "other": other}) as studio:
        worker = Worker(studio)
        prepare(worker)
        (told,) = answers(worker, {"text": "One.", "engine": "other"})
        assert told["error"] == "The engine other could not be loaded (RuntimeError)."
        assert not worker.broken


def answers(worker: Worker, asked: dict[str, Any]) -> list[dict[str, Any]]:
    async def all_of_them() -> list[dict[str, Any]]:
        return [document async for document in worker.answer({"id": "a-job", "input": asked})]

    return asyncio.run(all_of_them())


def test_voices_are_listed_added_from_base64_replaced_and_deleted(make: Make):
    worker = make(engine={"cloning": True})
    sound = base64.b64encode(recording()).decode()

    def done(action: str, **fields: object) -> dict[str, Any]:
        (document,) = answers(worker, {"action": action, **fields})
        return document

    assert done("list_voices")["names"] == ["low", "high"]
    assert done("add_voice", name="Anna", voice_audio=sound) == {"status": "completed", "voice": "Anna"}
    assert done("list_voices")["voices"][-1] == {"name": "Anna", "type": "recording"}
    assert "Anna" in done("list_voices")["names"]
    assert "name" in done("add_voice", name="Anna", voice_audio=sound)["error"]
    assert done("add_voice", name="Anna", voice_audio=sound, replace=True)["voice"] == "Anna"
    assert "name" in done("add_voice", name="low", voice_audio=sound)["error"]
    assert "name" in done("add_voice", name="../up", voice_audio=sound)["error"]
    assert "name" in done("add_voice", voice_audio=sound)["error"]
    assert "voice_audio" in done("add_voice", name="Bert")["error"]
    assert "voice_audio" in done("add_voice", name="Bert", voice_audio="no base64!")["error"]
    assert "s3_key" in done("add_voice", name="Bert", s3_key="bert.wav")["error"]
    assert done("delete_voice", name="Anna") == {"status": "completed", "deleted": "Anna"}
    told = done("delete_voice", name="Anna")["error"]
    assert told.startswith("name is not the name of a voice here")
    assert "the action add_voice" in told
    assert done("speak", text="One.")["status"] == "completed"
    for field in ("voice", "speaker_voice"):
        refused = done("speak", **{"text": "One.", field: "Nobody"})
        assert refused["error_type"] == "voice_not_found"
        told = refused["error"]
        assert told.startswith(f"{field} is not the name of a voice here; there are low, high"), told
        assert "the action add_voice" in told
        assert "oscine voices" not in told
    told = done("speak", input=" ")["error"]
    assert told.startswith("input holds only blanks"), told


def test_a_recording_from_the_store_may_be_larger_than_one_that_a_request_carries(make: Make, tmp_path: Path):
    (tmp_path / "store").mkdir()
    worker = make(engine={"cloning": True}, OSCINE_STORE_URL=(tmp_path / "store").as_uri())
    sound, filling = recording(), UPLOAD.max_bytes
    large = sound[8:12] + struct.pack("<4sI", b"JUNK", filling) + bytes(filling) + sound[12:]
    (tmp_path / "store" / "large.wav").write_bytes(struct.pack("<4sI", b"RIFF", len(large)) + large)
    added = act(worker, {}, "add_voice", {"name": "Large", "s3_key": "large.wav"})
    assert added == {"status": "completed", "voice": "Large"}
    with (tmp_path / "store" / "larger.wav").open("wb") as file:
        file.truncate(RECORDING.max_bytes + 1)
    with pytest.raises(InvalidRequest, match=r"^s3_key: the file in the object store is larger than "):
        act(worker, {}, "add_voice", {"name": "Larger", "s3_key": "larger.wav"})


def test_old_results_go_and_what_is_in_the_making_stays(make: Make):
    worker = make(CLEANUP_DAYS="1")
    folder = worker.output.folder("echo")
    now = time.time()

    def file(name: str, days: float) -> Path:
        path = folder / name
        path.write_bytes(b"x")
        os.utime(path, (now - days * 86_400, now - days * 86_400))
        return path

    old = [file("old.mp3", 2), file("old.result.json", 2), file(".gone.mp3.0-1-a.part", 2)]
    long = "s" * 60
    kept = [file("new.mp3", 0.5), file("busy.mp3", 2), file(f".{f'{long}.mp3'[:48]}.0-1-a.part", 2)]
    (folder / "folder").mkdir()

    async def swept() -> int:
        async with worker.output.session("busy"), worker.output.session(long):
            return worker.output.sweep(now=now)

    assert asyncio.run(swept()) == 3
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in [*kept, folder / "folder"])


@pytest.mark.parametrize("folder", ["vibevoice/output", "indextts/output_audio"])
def test_a_finished_job_has_old_results_removed_from_the_folders_of_every_engine(
    make: Make, tmp_path: Path, folder: str
):
    old = tmp_path / folder / "of-another.ogg"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x")
    os.utime(old, (0, 0))
    worker = make()

    async def swept() -> None:
        await last_of(worker.answer({"id": "a-job", "input": {"text": "One."}}))
        await asyncio.gather(*worker._later)

    asyncio.run(swept())
    assert not old.exists()


def test_a_link_to_a_file_elsewhere_is_no_result(make: Make, tmp_path: Path):
    (tmp_path / "elsewhere").write_bytes(b"x")
    worker = make()
    link = worker.output.folder("echo") / "old.mp3"
    link.symlink_to(tmp_path / "elsewhere")
    os.utime(link, (0, 0), follow_symlinks=False)
    assert worker.output.sweep() == 0
    assert link.is_symlink()


def test_what_was_touched_within_the_hour_stays_however_early_results_shall_go(make: Make):
    worker = make(CLEANUP_DAYS="0")
    young = worker.output.folder("echo") / ".another-workers.mp3.0-1-a.part"
    young.write_bytes(b"x")
    assert worker.output.sweep() == 0
    os.utime(young, (0, 0))
    assert worker.output.sweep() == 0, "it is looked for them once an hour"
    assert worker.output.sweep(now=time.time() + 7_300) == 1


def test_actions_are_asked_for_by_their_names(make: Make):
    worker = make()
    for none in (None, ""):
        assert answers(worker, {"action": none, "text": "One."})[-1]["status"] == "completed"
    for action in ("dance", 3, ["speak"], {"a": 1}):
        (document,) = answers(worker, {"action": action})
        assert document["error"].startswith("action must be one of speak, health_check, ")
    assert act(worker, {}, "health_check", {})["status"] == "healthy"


@pytest.mark.slow
def test_an_unfit_worker_ends_and_the_platform_is_told_why(platform: Client, start: Start, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    process: Process = start(taking=False, OUTPUT_AUDIO_DIR=str(tmp_path / "file" / "output"), **TONES)
    assert process.ended() == 1
    assert "OUTPUT_AUDIO_DIR" in process.log()
    until(lambda: platform.plane.pings)  # it does not wait for long that it was heard
    (told,) = platform.plane.pings
    assert (told["status"], told["check"]) == ("unhealthy", "oscine_volume")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "code", "told"),
    [
        ({"OSCINE_ENGINE": "tones", "OSCINE_PRELOAD": "never"}, 0, "warm"),
        ({"S3_BUCKET_NAME": "speech"}, 2, "S3_"),
        ({"OSCINE_WORKER_JOBS": "many"}, 2, "OSCINE_WORKER_JOBS"),
        ({"OSCINE_ENGINE": "nobody"}, 3, "OSCINE_ENGINE"),
    ],
)
def test_warming_up_loads_the_engine_and_ends(tmp_path: Path, names: dict[str, str], code: int, told: str):
    path = os.pathsep.join([entry_points(tmp_path / "engines"), str(ROOT)])
    (tmp_path / "volume").mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "handler.py"), "--warmup"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "OSCINE_VOLUME": str(tmp_path / "volume"), **names},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    if code == 0:
        assert (tmp_path / "volume" / "opened").read_text() == "Ready.\n"
