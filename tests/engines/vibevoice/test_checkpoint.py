"""Where a model is looked for, what is refused, and how it comes here."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oscine.config import Settings
from oscine.engines.protocol import Missing
from oscine.engines.vibevoice import checkpoint
from oscine.engines.vibevoice.checkpoint import LARGE, SMALL, Checkpoint
from oscine.errors import NotAvailable
from tests.engines import hub as hubs
from tests.engines.hub import COMMIT, TOKEN, Hub, write

BIRD = "org/Bird-hf"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
NATIVE = {"model_type": "vibevoice", "text_config": {"hidden_size": 3584}, "audio_config": {"hidden_size": 64}}
OLD = {"model_type": "vibevoice", "decoder_config": {"hidden_size": 3584}, "acoustic_tokenizer_config": {}}
PROGRAM = """
import json, sys
from pathlib import Path
from oscine.config import Settings
from oscine.engines.vibevoice.checkpoint import Checkpoint
from oscine.errors import NotAvailable

shares = []
checkpoint = Checkpoint(sys.argv[1], Settings(volume=Path(sys.argv[2])))
try:
    checkpoint.download(lambda what, share: shares.append((what, share)))
    error, folder = None, str(checkpoint.folder())
except NotAvailable as problem:
    error, folder = problem.message, None
print(json.dumps({"error": error, "folder": folder, "shares": shares}))
"""


def files(config: dict[str, Any] = NATIVE, *, weights: int = 3000, shards: int = 2) -> dict[str, bytes]:
    """What lies in a repository of the native format; the smallest that looks right from outside."""
    found = {
        "config.json": json.dumps(config).encode(),
        "generation_config.json": b"{}",
        "processor_config.json": b"{}",
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"Speech:",
    }
    if shards == 1:
        return {**found, "model.safetensors": hubs.safetensors(weights)}
    names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    index = {"weight_map": {f"w{number}": name for number, name in enumerate(names)}}
    found["model.safetensors.index.json"] = json.dumps(index).encode()
    return {**found, **{name: hubs.safetensors(weights, number) for number, name in enumerate(names)}}


@dataclass(frozen=True)
class Outcome:
    """What a download said."""

    error: str | None
    folder: Path | None
    shares: list[tuple[str, float | None]]
    printed: str


def download(home: Path, port: int, model: str = BIRD, **environment: str) -> Outcome:
    """Run `Checkpoint.download`; the user's cache and Oscine's volume lie in `home`."""
    told, printed = hubs.run(PROGRAM, home, port, model, str(home / "volume"), **environment)
    shares = [(what, share) for what, share in told["shares"]]
    return Outcome(told["error"], Path(told["folder"]) if told["folder"] else None, shares, printed)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of the Hub."""
    folder = tmp_path / "hf" / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({BIRD: files()}) as serving:
        yield serving


def of(model: str | Path, home: Path) -> Checkpoint:
    return Checkpoint(str(model), Settings(volume=home / "volume"))


def why(model: str | Path, home: Path) -> str:
    """Why there is no folder; `missing` and `download` say the same, without any network."""
    chosen = of(model, home)
    with pytest.raises(NotAvailable) as refused:
        chosen.folder()
    missing = chosen.missing()
    assert isinstance(missing, Missing)
    if missing.remedy != checkpoint.COMMAND:
        assert missing.remedy.split("=")[1] in refused.value.message
        with pytest.raises(NotAvailable) as again:
            chosen.download(lambda _what, _share: None)
        assert again.value.message == refused.value.message
    assert str(home) not in refused.value.message + missing.what + missing.remedy
    return refused.value.message


def snapshot(storage: Path, content: dict[str, bytes], *, commit: str = COMMIT, ref: str | None = COMMIT) -> Path:
    if ref is not None:
        write(storage / "refs", {"main": ref.encode()})
    return write(storage / "snapshots" / commit, content)


class TestPlaces:
    def test_a_folder_wins(self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        snapshot(cache / "models--org--Bird-hf", files())
        write(tmp_path / BIRD, files())
        assert of(BIRD, tmp_path).folder() == Path(BIRD)
        assert of(tmp_path / BIRD, tmp_path).missing() is None

    def test_runpods_cache_comes_before_the_users(self, tmp_path: Path, cache: Path) -> None:
        own = snapshot(cache / "models--org--Bird-hf", files())
        assert of(BIRD, tmp_path).folder() == own
        runpod = tmp_path / "volume" / "huggingface-cache" / "hub" / "models--org--Bird-hf"
        cached = snapshot(runpod, files())
        assert of(BIRD, tmp_path).folder() == cached

    def test_a_ref_decides_among_snapshots(self, tmp_path: Path, cache: Path) -> None:
        storage = cache / "models--org--Bird-hf"
        only = snapshot(storage, files(), commit="a" * 40, ref=None)
        assert of(BIRD, tmp_path).folder() == only
        other = snapshot(storage, files(), commit="b" * 40, ref=None)
        assert "oscine download vibevoice" in why(BIRD, tmp_path)
        write(storage / "refs", {"main": b"b" * 40 + b"\n"})
        assert of(BIRD, tmp_path).folder() == other

    def test_a_ref_does_not_leave_its_cache(self, tmp_path: Path, cache: Path) -> None:
        write(tmp_path / "elsewhere", files())
        snapshot(cache / "models--org--Bird-hf", files(), ref="../../../../elsewhere")
        assert "not downloaded" in why(BIRD, tmp_path)

    @pytest.mark.parametrize("absent", [name for name in files() if name not in (FIRST, "generation_config.json")])
    def test_an_incomplete_snapshot_does_not_count(self, tmp_path: Path, cache: Path, absent: str) -> None:
        folder = snapshot(cache / "models--org--Bird-hf", files())
        (folder / absent).unlink()
        assert why(BIRD, tmp_path) == f"The model {BIRD} is not downloaded; run: oscine download vibevoice"
        assert of(BIRD, tmp_path).missing() == Missing(f"the model {BIRD}", "oscine download vibevoice")

    @pytest.mark.parametrize(
        "left", [b"", b"version https://git-lfs.github.com/spec/v1\n", hubs.safetensors(3000)[:-1]]
    )
    def test_weights_that_are_cut_do_not_count(self, tmp_path: Path, left: bytes) -> None:
        write(tmp_path / "here", files() | {SECOND: left})
        assert "lacks files" in why(tmp_path / "here", tmp_path)

    def test_pickled_weights_beside_what_is_still_to_come_do_no_harm(self, tmp_path: Path, cache: Path) -> None:
        begun = {"config.json": files()["config.json"], "pytorch_model.bin": b"\x80\x04"}
        snapshot(cache / "models--org--Bird-hf", begun)
        assert of(BIRD, tmp_path).missing() == Missing(f"the model {BIRD}", "oscine download vibevoice")

    def test_an_index_does_not_leave_its_folder(self, tmp_path: Path) -> None:
        write(tmp_path, {"x.safetensors": hubs.safetensors(10)})
        index = json.dumps({"weight_map": {"w": "../x.safetensors"}}).encode()
        write(tmp_path / "here", files() | {"model.safetensors.index.json": index})
        assert "lacks files" in why(tmp_path / "here", tmp_path)

    @pytest.mark.parametrize("shards", ["5GB", "1MB"])
    def test_what_transformers_writes_is_whole(self, tmp_path: Path, shards: str) -> None:
        from tests.engines.vibevoice import tiny

        tiny.model().save_pretrained(tmp_path / "here", max_shard_size=shards)
        assert "lacks files" in why(tmp_path / "here", tmp_path)
        tiny.processor().save_pretrained(tmp_path / "here")
        assert len(list((tmp_path / "here").glob("*.safetensors"))) > (shards == "1MB")
        assert of(tmp_path / "here", tmp_path).folder() == tmp_path / "here"


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "right"),
        [
            ("microsoft/VibeVoice-1.5B", SMALL),
            ("vibevoice/VibeVoice-1.5B", SMALL),
            ("vibevoice/VibeVoice-7B", LARGE),
            ("VIBEVOICE/vibevoice-7b", LARGE),
            ("aoi-ot/VibeVoice-Large", LARGE),
            ("WestZhang/VibeVoice-Large-pt", LARGE),
            ("microsoft/VibeVoice-Large", LARGE),
        ],
    )
    def test_a_well_known_old_name_tells_the_right_one(self, tmp_path: Path, name: str, right: str) -> None:
        assert why(name, tmp_path) == f"{name} has VibeVoice's old format; set MODEL_PATH to {right}."
        assert of(name, tmp_path).missing() == Missing(
            f"a model that it can load ({name} has VibeVoice's old format)", f"export MODEL_PATH={right}"
        )

    @pytest.mark.parametrize(("width", "right"), [(1536, SMALL), (3584, LARGE), (None, LARGE), ("x", LARGE)])
    def test_an_old_folder_tells_the_right_name_by_its_size(self, tmp_path: Path, width: Any, right: str) -> None:
        write(tmp_path / "here", files(OLD | {"decoder_config": {"hidden_size": width}}))
        assert why(tmp_path / "here", tmp_path).endswith(f"old format; set MODEL_PATH to {right}.")

    def test_an_old_snapshot_is_refused(self, tmp_path: Path, cache: Path) -> None:
        snapshot(cache / "models--org--Bird-hf", files(OLD))
        assert why(BIRD, tmp_path).startswith("org/Bird-hf has VibeVoice's old format")

    @pytest.mark.parametrize(
        ("config", "says"),
        [
            ({"model_type": "llama"}, "is no VibeVoice"),
            ({}, "is no VibeVoice"),
            (NATIVE | {"model_type": "vibevoice_asr"}, "is no VibeVoice"),
            (OLD | {"model_type": "vibevoice_streaming"}, "Realtime"),
        ],
    )
    def test_other_models_are_refused(self, tmp_path: Path, config: dict[str, Any], says: str) -> None:
        write(tmp_path / "here", files(config))
        assert says in why(tmp_path / "here", tmp_path)

    def test_realtime_is_refused_by_name(self, tmp_path: Path) -> None:
        assert "clones no voices" in why("microsoft/VibeVoice-Realtime-0.5B", tmp_path)

    def test_pickled_weights_are_refused(self, tmp_path: Path) -> None:
        content = {name: data for name, data in files(shards=1).items() if not name.endswith(".safetensors")}
        write(tmp_path / "here", content | {"pytorch_model.bin": b"\x80\x04"})
        assert "no weights in the format safetensors" in why(tmp_path / "here", tmp_path)

    @pytest.mark.parametrize(
        "name",
        [
            "../..", "../../etc", "/etc/nothing-here", "./nothing", "~/nothing-here", "~nobody-here/x", "C:\\models\\x",
            "a\0/b", "org/..", "org/a..b", "org/a--b", "a/b/c", "org", "", " ", "org/name\n", "ørg/name", "x" * 9000,
            "https://huggingface.co/org/name", f"org/{'x' * 200}",
        ],
    )  # fmt: skip
    def test_what_is_no_name_is_never_looked_up(self, tmp_path: Path, name: str) -> None:
        said = why(name, tmp_path)
        assert "MODEL_PATH" in said
        assert len(said) < 200
        assert of(name, tmp_path).name.isprintable()


class TestDownload:
    def test_everything_comes_once(self, tmp_path: Path, hub: Hub) -> None:
        extra = {
            "README.md": b"#",
            "run.py": b"1",
            "pytorch_model.bin": b"0",
            "sub/config.json": b"{}",
            "x.safetensors": b"0",
        }
        hub.repositories[BIRD] |= extra
        first = download(tmp_path, hub.port)
        assert first.error is None
        assert first.printed == ""
        assert first.folder == tmp_path / "hf" / "hub" / "models--org--Bird-hf" / "snapshots" / COMMIT
        assert {entry.name: entry.read_bytes() for entry in first.folder.iterdir()} == files()
        assert of(BIRD, tmp_path).missing() is None
        shares = [share for _, share in first.shares if share is not None]
        assert {what for what, _ in first.shares} == {"downloading Bird-hf"}
        assert shares == sorted(set(shares))
        assert shares[-1] == 1.0
        # The token goes to the Hub, and not to where the Hub's content lies.
        assert {each.token for each in hub.asked if each.path.startswith("/content/")} == {None}
        assert {each.token for each in hub.asked if not each.path.startswith("/content/")} == {f"Bearer {TOKEN}"}

        seen = len(hub.asked)
        second = download(tmp_path, hub.port)
        assert (second.folder, second.shares) == (first.folder, [])
        assert len(hub.asked) == seen

    def test_a_download_that_was_cut_goes_on_where_it_was(self, tmp_path: Path, hub: Hub) -> None:
        hub.repositories[BIRD] = files(weights=24 << 20, shards=1)
        hub.cut["model.safetensors"] = 23 << 20
        first = download(tmp_path, hub.port)
        assert first.error is not None
        assert "what has come stays; run the command again" in first.error
        assert of(BIRD, tmp_path).missing() is not None

        hub.cut.clear()
        hub.asked.clear()
        second = download(tmp_path, hub.port)
        assert second.folder is not None
        assert [each.start for each in hub.asked_for("model.safetensors")] == [20 << 20]
        assert (second.folder / "model.safetensors").read_bytes() == files(weights=24 << 20, shards=1)[
            "model.safetensors"
        ]
        assert min(share for _, share in second.shares if share) > 0.8

    def test_a_file_that_arrives_changed_is_refused_and_comes_again(self, tmp_path: Path, hub: Hub) -> None:
        hub.changed.add(SECOND)
        first = download(tmp_path, hub.port)
        assert first.error == f"A file of {BIRD} arrived damaged and was removed; run the command again."
        assert of(BIRD, tmp_path).missing() is not None
        hub.changed.clear()
        assert download(tmp_path, hub.port).error is None
        assert len(hub.asked_for(FIRST)) == 1
        assert [each.start for each in hub.asked_for(SECOND)] == [0, 0]

    def test_what_was_damaged_here_comes_again(self, tmp_path: Path, hub: Hub) -> None:
        folder = download(tmp_path, hub.port).folder
        assert folder is not None
        (folder / "config.json").write_bytes(b"")
        (folder / SECOND).write_bytes(b"cut")
        assert download(tmp_path, hub.port).error is None
        assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == files()

    def test_without_links_nothing_is_here_twice(self, tmp_path: Path, hub: Hub) -> None:
        ran = download(tmp_path, hub.port, HF_HUB_DISABLE_SYMLINKS="1")
        assert ran.error is None
        assert ran.folder is not None
        assert not any(entry.is_symlink() for entry in ran.folder.iterdir())
        found = [path.name for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 3000]
        assert sorted(found) == [FIRST, SECOND]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (files(OLD), f"org/Bird-hf has VibeVoice's old format; set MODEL_PATH to {LARGE}."),
            ({name: data for name, data in files().items() if name != "tokenizer.json"}, "lacks files of the model"),
            ({name: data for name, data in files().items() if name != SECOND}, "lacks files of the model"),
            (
                {name: data for name, data in files(shards=1).items() if name != "model.safetensors"}
                | {"pytorch_model.bin": b"0"},
                "no weights in the format safetensors",
            ),
        ],
        ids=["old", "no-tokenizer", "no-shard", "pickled"],
    )
    def test_the_wrong_repository_is_refused_before_its_weights_come(
        self, tmp_path: Path, hub: Hub, content: dict[str, bytes], says: str
    ) -> None:
        hub.repositories[BIRD] = content
        error = download(tmp_path, hub.port).error
        assert error is not None
        assert says in error
        assert not [each for each in hub.asked if each.path.endswith((".safetensors", ".bin"))]


class TestTrouble:
    def test_a_repository_that_is_not_there(self, tmp_path: Path, hub: Hub) -> None:
        said = download(tmp_path, hub.port, "org/Wrong-hf")
        assert said.error == (
            "The Hub has no model org/Wrong-hf for all; correct MODEL_PATH, or set HF_TOKEN if it is private."
        )

    def test_a_gated_repository(self, tmp_path: Path, hub: Hub) -> None:
        hub.gated.add(BIRD)
        assert "accept its terms" in str(download(tmp_path, hub.port).error)

    def test_a_hub_that_is_down(self, tmp_path: Path) -> None:
        with hubs.nobody() as port:
            said = download(tmp_path, port)
        assert said.error == (
            f"The connection to the Hub broke while {BIRD} was downloaded; what has come stays; run the command again."
        )
        assert said.printed == ""

    def test_offline(self, tmp_path: Path, hub: Hub) -> None:
        said = download(tmp_path, hub.port, HF_HUB_OFFLINE="1")
        assert said.error == f"HF_HUB_OFFLINE forbids to download {BIRD}; unset it and run the command again."
        assert hub.asked == []

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path, hub: Hub) -> None:
        (tmp_path / "hf").write_text("a file")
        assert "The Hugging Face cache cannot be written" in str(download(tmp_path, hub.port).error)

    def test_a_disk_that_is_too_small(self, tmp_path: Path, hub: Hub) -> None:
        hub.claimed[SECOND] = 10**15
        assert "org/Bird-hf needs 1000000.0 GB more" in str(download(tmp_path, hub.port).error)
        assert not hub.asked_for(FIRST)

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (OSError(errno.ENOSPC, "No space left", "/home/jane/x"), "The disk is full"),
            (PermissionError(errno.EACCES, "Permission denied", "/home/jane/x"), "cannot be written"),
            (ConnectionResetError(errno.ECONNRESET, "https://cdn.example/jane"), "The connection to the Hub broke"),
            (RuntimeError("https://cdn.example/jane"), "could not be downloaded (RuntimeError)"),
        ],
    )
    def test_errors_of_the_system_are_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
    ) -> None:
        def fail(hub: str, progress: object) -> None:
            raise error

        monkeypatch.setattr(checkpoint, "_download", fail)
        with pytest.raises(NotAvailable, match=re.escape(says)) as told:
            of(BIRD, tmp_path).download(lambda _what, _share: None)
        assert "jane" not in told.value.message
        assert told.value.__cause__ is None


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint.missing_packages() is None
    monkeypatch.setattr(checkpoint, "find_spec", lambda name: None if name in ("torch", "diffusers") else object())
    assert checkpoint.missing_packages() == Missing("the packages torch, diffusers", 'pip install "oscine[vibevoice]"')


def test_a_download_without_its_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "find_spec", lambda _name: None)
    with pytest.raises(NotAvailable, match=r'huggingface_hub; run: pip install "oscine\[vibevoice\]"'):
        of(BIRD, tmp_path).download(lambda _what, _share: None)


def test_looking_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from oscine.config import Settings; from oscine.engines.vibevoice import checkpoint as c;"
        "c.missing_packages(); c.Checkpoint('org/Bird-hf', Settings()).missing();"
        "print([m for m in ('torch', 'transformers', 'httpx', 'httpx2', 'diffusers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=hubs.HERE, check=True)
    assert ran.stdout == "[]\n"
