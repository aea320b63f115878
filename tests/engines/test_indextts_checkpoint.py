"""Where IndexTTS's files are looked for, what counts as whole, and how they come; needs neither of its packages."""

from __future__ import annotations

import base64
import io
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from oscine.config import Settings
from oscine.engines import hub as hub_of_engines
from oscine.engines import stored
from oscine.engines.indextts import checkpoint, layout
from oscine.engines.indextts.checkpoint import Checkpoint, Files
from oscine.engines.indextts.layout import Model
from oscine.engines.protocol import Missing
from oscine.errors import NotAvailable
from tests.engines import hub as hubs
from tests.engines.hub import COMMIT, Hub, write

TWO, FIVE = "IndexTeam/IndexTTS-2", "IndexTeam/IndexTTS-2.5"
W2V, CODEC, CAMPPLUS = "facebook/w2v-bert-2.0", "amphion/MaskGCT", "funasr/campplus"
BIGVGAN = "nvidia/bigvgan_v2_22khz_80band_256x"
COMMAND = "oscine download indextts2"
PROGRAM = """
import dataclasses, json, sys
from oscine.config import Settings
from oscine.engines.indextts.checkpoint import Checkpoint
from oscine.errors import NotAvailable

shares = []
checkpoint = Checkpoint(sys.argv[1], Settings.from_env())
try:
    checkpoint.download(lambda what, share: shares.append((what, share)))
    error, files = None, {name: str(path) for name, path in dataclasses.asdict(checkpoint.files()).items() if path}
except NotAvailable as problem:
    error, files = problem.message, {}
print(json.dumps({"error": error, "files": files, "shares": shares}))
"""


def archive(size: int = 2000, seed: int = 0) -> bytes:
    """A file as `torch.save` lays it out; what should be a pickle is none, so nothing can have unpickled it."""
    made = io.BytesIO()
    records = {"data.pkl": b"no pickle", "data/0": random.Random(seed).randbytes(size), "version": b"3\n"}
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as opened:
        for name, data in records.items():
            opened.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
    return made.getvalue()


CONFIG: dict[str, Any] = {
    "gpt": {"layers": 1},
    "semantic_codec": {"hidden_size": 1024},
    "s2mel": {"dit_type": "DiT"},
    "gpt_checkpoint": "gpt.pth",
    "s2mel_checkpoint": "s2mel.pth",
    "w2v_stat": "wav2vec2bert_stats.pt",
    "spk_matrix": "feat1.pt",
    "emo_matrix": "feat2.pt",
}
CONFIG_TWO = CONFIG | {
    "dataset": {"bpe_model": "bpe.model"},
    "qwen_emo_path": "qwen0.6bemo4-merge/",
    "vocoder": {"type": "bigvgan", "name": BIGVGAN},
    "version": 2.0,
}
SHARED = {
    "gpt.pth": archive(4000, 1),
    "s2mel.pth": archive(3000, 2),
    "wav2vec2bert_stats.pt": archive(300, 3),
    "feat1.pt": archive(300, 4),
    "feat2.pt": archive(300, 5),
}
EMOTION = {
    "qwen0.6bemo4-merge/config.json": b"{}",
    "qwen0.6bemo4-merge/tokenizer_config.json": b"{}",
    "qwen0.6bemo4-merge/vocab.json": b"{}",
    "qwen0.6bemo4-merge/merges.txt": b"a b",
    "qwen0.6bemo4-merge/model.safetensors": hubs.safetensors(900, 6),
}
UNASKED = {"README.md": b"#", "run.py": b"1", "old.pth": archive(50, 7), "qwen0.6bemo4-merge/Modelfile": b"FROM ."}
PARTS = {
    W2V: {
        "config.json": b'{"w2v": 1}',
        "preprocessor_config.json": b"{}",
        "model.safetensors": hubs.safetensors(2500, 8),
        "conformer_shaw.pt": archive(9000, 9),
    },
    CODEC: {"semantic_codec/model.safetensors": hubs.safetensors(700, 10), "t2s/model.safetensors": b"0"},
    CAMPPLUS: {"campplus_cn_common.bin": archive(600, 11)},
    BIGVGAN: {
        "config.json": b'{"bigvgan": 1}',
        "bigvgan_generator.pt": archive(800, 12),
        "bigvgan_discriminator_optimizer.pt": b"0",
    },
}
ASKED = {
    W2V: ("config.json", "preprocessor_config.json", "model.safetensors"),
    CODEC: ("semantic_codec/model.safetensors",),
    CAMPPLUS: ("campplus_cn_common.bin",),
    BIGVGAN: ("config.json", "bigvgan_generator.pt"),
}


def described(config: dict[str, Any], **changes: Any) -> bytes:
    return str(yaml.safe_dump(config | changes)).encode()


def two(**changes: Any) -> dict[str, bytes]:
    """IndexTTS-2's own files."""
    return {"config.yaml": described(CONFIG_TWO, **changes), "bpe.model": b"\x0a\x05bpe", **SHARED, **EMOTION}


def five(**changes: Any) -> dict[str, bytes]:
    """IndexTTS-2.5's own files."""
    words = base64.b64encode(b"a") + b" 0\n"
    return {
        "config.yaml": described(CONFIG, version=2.5, **changes),
        "codec.pth": archive(500, 13),
        "multilingual_zh_ja_yue_char_del.tiktoken": words,
        **SHARED,
    }


def keep(cache: Path, hub: str, content: dict[str, bytes], commit: str = COMMIT) -> Path:
    """A model in a cache of the Hub."""
    storage = cache / stored.storage_of(hub)
    write(storage / "refs", {"main": commit.encode()})
    return write(storage / "snapshots" / commit, content)


def keep_parts(cache: Path) -> None:
    for hub, names in ASKED.items():
        keep(cache, hub, {name: PARTS[hub][name] for name in names})


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, without what the download needs for itself."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if ".cache/" not in name}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of the Hub; the packages with the models' code count as installed."""
    folder = tmp_path / "hf" / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    looked = find_spec
    monkeypatch.setattr(
        checkpoint, "find_spec", lambda name: object() if name in ("indextts", "indextts25") else looked(name)
    )
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    parts = {name: dict(content) for name, content in PARTS.items()}
    with Hub({TWO: two() | UNASKED, FIVE: five() | UNASKED, **parts}) as serving:
        yield serving


def of(home: Path, model: Model = "indextts2", **settings: Any) -> Checkpoint:
    return Checkpoint(model, Settings(volume=home / "volume", **settings))


def own(home: Path, model: Model = "indextts2") -> Path:
    """Where the model's own files lie."""
    return home / "volume" / ("indextts" if model == "indextts2" else "indextts25") / "checkpoints"


def lacks(home: Path, model: Model = "indextts2", **settings: Any) -> str:
    """What is missing; `files` and `missing` say the same."""
    chosen = of(home, model, **settings)
    missing = chosen.missing()
    assert missing is not None
    with pytest.raises(NotAvailable) as refused:
        chosen.files()
    assert str(home) not in refused.value.message + missing.what
    assert missing.remedy in refused.value.message
    if missing.what.startswith("files of"):
        assert missing.what.partition("(")[2].rstrip(")") in refused.value.message
    return missing.what


@dataclass(frozen=True)
class Outcome:
    """What a download said."""

    error: str | None
    files: dict[str, Path]
    shares: list[tuple[str, float | None]]
    printed: str


def download(home: Path, hub: Hub | int, model: Model = "indextts2", **environment: str) -> Outcome:
    """Run `Checkpoint.download`; the user's cache and Oscine's volume lie in `home`."""
    port = hub if isinstance(hub, int) else hub.port
    told, printed = hubs.run(PROGRAM, home, port, model, **{"OSCINE_VOLUME": str(home / "volume")} | environment)
    files = {name: Path(path) for name, path in told["files"].items()}
    return Outcome(told["error"], files, [(what, share) for what, share in told["shares"]], printed)


class TestPlaces:
    def test_a_folder_of_an_existing_deployment_counts(self, tmp_path: Path, cache: Path) -> None:
        folder = write(tmp_path / "deployed", two() | UNASKED | {".cache/huggingface/download/gpt.pth.metadata": b"x"})
        keep_parts(cache)
        files = of(tmp_path, checkpoints_dir=folder).files()
        assert files == Files(
            folder=folder,
            w2v_bert=cache / "models--facebook--w2v-bert-2.0" / "snapshots" / COMMIT,
            campplus=cache / "models--funasr--campplus" / "snapshots" / COMMIT / "campplus_cn_common.bin",
            bigvgan=cache / stored.storage_of(BIGVGAN) / "snapshots" / COMMIT,
            semantic_codec=cache / "models--amphion--MaskGCT/snapshots" / COMMIT / "semantic_codec/model.safetensors",
            emotion=folder / "qwen0.6bemo4-merge",
        )
        assert of(tmp_path, checkpoints_dir=folder).missing() is None

    def test_a_folder_in_the_volume_counts(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        write(own(tmp_path), two())
        write(own(tmp_path, "indextts25"), five())
        assert of(tmp_path).files().folder == own(tmp_path)
        files = of(tmp_path, "indextts25").files()
        assert (files.folder, files.semantic_codec, files.emotion) == (own(tmp_path, "indextts25"), None, None)

    def test_runpods_cache_counts_for_every_repository(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        runpod = tmp_path / "volume" / "huggingface-cache" / "hub"
        keep_parts(runpod)
        snapshot = keep(runpod, TWO, two())
        files = of(tmp_path).files()
        assert (files.folder, files.emotion) == (snapshot, snapshot / "qwen0.6bemo4-merge")
        assert files.semantic_codec is not None
        assert all(path.is_relative_to(runpod) for path in (files.w2v_bert, files.bigvgan, files.semantic_codec))

    def test_the_users_cache_counts_where_the_folder_lacks_files(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        snapshot = keep(cache, TWO, two())
        write(own(tmp_path), {name: data for name, data in two().items() if name != "gpt.pth"})
        assert of(tmp_path).files().folder == snapshot

    @pytest.mark.parametrize("model", ["indextts2", "indextts25"])
    def test_what_lies_in_hf_cache_beside_the_weights_counts(self, tmp_path: Path, model: Model) -> None:
        beside = {
            **{f"hf_cache/w2v-bert-2.0/{name}": PARTS[W2V][name] for name in ASKED[W2V]},
            **{f"hf_cache/bigvgan/{name}": PARTS[BIGVGAN][name] for name in ASKED[BIGVGAN]},
            "hf_cache/campplus_cn_common.bin": PARTS[CAMPPLUS]["campplus_cn_common.bin"],
            "hf_cache/semantic_codec_model.safetensors": PARTS[CODEC]["semantic_codec/model.safetensors"],
        }
        folder = write(own(tmp_path, model), (two() if model == "indextts2" else five()) | beside)
        files = of(tmp_path, model).files()
        assert files.w2v_bert == folder / "hf_cache" / "w2v-bert-2.0"
        assert files.campplus == folder / "hf_cache" / "campplus_cn_common.bin"
        assert files.bigvgan == folder / "hf_cache" / "bigvgan"
        assert (files.semantic_codec is None) == (model == "indextts25")
        (folder / "hf_cache" / "w2v-bert-2.0" / "model.safetensors").write_bytes(hubs.safetensors(90)[:-1])
        (folder / "hf_cache" / "bigvgan" / "config.json").unlink()
        assert lacks(tmp_path, model) == f"files of {layout.KINDS[model].title} ({W2V}, {BIGVGAN})"

    def test_a_hub_cache_beside_the_weights_counts(self, tmp_path: Path) -> None:
        write(own(tmp_path), two())
        keep_parts(own(tmp_path) / "hf_cache")
        assert of(tmp_path).files().w2v_bert.is_relative_to(own(tmp_path) / "hf_cache")

    def test_files_go_by_the_names_in_the_configuration(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        names = {"gpt_checkpoint": "tuned/my gpt.pth", "dataset": {"bpe_model": "./音.model"}}
        content = two(**names)
        content["tuned/my gpt.pth"] = content.pop("gpt.pth")
        content["音.model"] = content.pop("bpe.model")
        write(own(tmp_path), content)
        assert of(tmp_path).missing() is None
        (own(tmp_path) / "tuned" / "my gpt.pth").unlink()
        assert lacks(tmp_path) == "files of IndexTTS-2 (tuned/my gpt.pth)"

    @pytest.mark.parametrize("relative", [True, False])
    def test_the_vocoder_may_be_a_folder(self, tmp_path: Path, cache: Path, relative: bool) -> None:
        keep_parts(cache)
        here = own(tmp_path) / "voc" if relative else tmp_path / "elsewhere"
        write(own(tmp_path), two(vocoder={"name": "./voc" if relative else str(here)}))
        write(here, {name: PARTS[BIGVGAN][name] for name in ASKED[BIGVGAN]})
        assert of(tmp_path).files().bigvgan == here

    def test_the_vocoder_may_be_another_of_the_hub(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        write(own(tmp_path), two(vocoder={"name": "org/other"}))
        assert lacks(tmp_path) == "files of IndexTTS-2 (org/other)"
        other = keep(cache, "org/other", {name: PARTS[BIGVGAN][name] for name in ASKED[BIGVGAN]})
        assert of(tmp_path).files().bigvgan == other

    def test_the_model_of_emotions_stops_nothing(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        write(own(tmp_path), two())
        (own(tmp_path) / "qwen0.6bemo4-merge" / "model.safetensors").write_bytes(b"cut")
        assert of(tmp_path).missing() is None
        assert of(tmp_path).files().emotion is None


class TestMissing:
    def test_packages_come_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            checkpoint, "find_spec", lambda name: None if name in ("torch", "indextts", "indextts25") else object()
        )
        assert of(tmp_path).missing() == Missing(
            "the packages indextts2-inference, torch", 'pip install "oscine[indextts2]"'
        )
        assert of(tmp_path, "indextts25").missing() == Missing(
            "the packages indextts25-inference, torch", 'pip install "oscine[indextts25]"'
        )

    @pytest.mark.parametrize("absent", ["huggingface_hub", "yaml"])
    def test_a_download_without_its_packages_names_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str
    ) -> None:
        looked = find_spec
        monkeypatch.setattr(checkpoint, "find_spec", lambda name: None if name == absent else looked(name))
        with pytest.raises(NotAvailable, match=rf'{absent}; run: pip install "oscine\[indextts2\]"'):
            of(tmp_path).download(lambda _what, _share: None)
        assert of(tmp_path).version() == "IndexTTS-2"

    def test_everything(self, tmp_path: Path) -> None:
        assert lacks(tmp_path) == f"files of IndexTTS-2 ({TWO}, {W2V}, {CODEC}, {CAMPPLUS}, {BIGVGAN})"
        assert lacks(tmp_path, "indextts25") == f"files of IndexTTS-2.5 ({FIVE}, {W2V}, {CAMPPLUS}, {BIGVGAN})"

    @pytest.mark.parametrize("absent", [name for name in two() if not name.startswith(("qwen", "config"))])
    def test_a_file_of_indextts_2(self, tmp_path: Path, cache: Path, absent: str) -> None:
        keep_parts(cache)
        write(own(tmp_path), two())
        (own(tmp_path) / absent).unlink()
        assert lacks(tmp_path) == f"files of IndexTTS-2 ({absent})"
        assert of(tmp_path).missing() == Missing(f"files of IndexTTS-2 ({absent})", COMMAND)

    @pytest.mark.parametrize("absent", [name for name in five() if name != "config.yaml"])
    def test_a_file_of_indextts_25(self, tmp_path: Path, cache: Path, absent: str) -> None:
        keep_parts(cache)
        write(own(tmp_path, "indextts25"), five())
        (own(tmp_path, "indextts25") / absent).unlink()
        assert lacks(tmp_path, "indextts25") == f"files of IndexTTS-2.5 ({absent})"

    @pytest.mark.parametrize(("hub", "name"), [(hub, name) for hub, names in ASKED.items() for name in names])
    def test_a_file_of_an_auxiliary_model(self, tmp_path: Path, cache: Path, hub: str, name: str) -> None:
        keep_parts(cache)
        write(own(tmp_path), two())
        (cache / stored.storage_of(hub) / "snapshots" / COMMIT / name).unlink()
        assert lacks(tmp_path) == f"files of IndexTTS-2 ({hub})"

    @pytest.mark.parametrize(
        "left",
        [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", archive(4000)[:-1], archive(4000)[:900]],
        ids=["empty", "pointer", "cut", "half"],
    )
    def test_weights_that_are_cut_do_not_count(self, tmp_path: Path, cache: Path, left: bytes) -> None:
        keep_parts(cache)
        write(own(tmp_path), two() | {"gpt.pth": left, "bpe.model": left[:40]})
        assert lacks(tmp_path).startswith("files of IndexTTS-2 (gpt.pth")

    def test_weights_from_before_zip_archives_count(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        old = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
        write(own(tmp_path), two() | {"feat1.pt": old})
        assert of(tmp_path).missing() is None

    def test_what_torch_writes_is_whole(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        for number, kept in enumerate(({"w": torch.randn(9, 9)}, torch.randn(3), {"net": {}})):
            file = tmp_path / f"{number}.pth"
            torch.save(kept, file)
            assert stored.is_torch(file)
            assert not stored.is_damaged_torch(file)
            file.write_bytes(file.read_bytes()[:-7])
            assert not stored.is_torch(file)

    def test_a_configuration_that_cannot_be_read(self, tmp_path: Path) -> None:
        (own(tmp_path) / "config.yaml").mkdir(parents=True)
        assert lacks(tmp_path) == "a model that it can load (config.yaml of IndexTTS-2 cannot be read)"


OUTSIDE = ["../gpt.pth", "/etc/passwd", "a/../../b", "~/gpt.pth", "C:\\gpt.pth", "..", "gpt.pth\n", "a/", "x" * 999]


class TestConfiguration:
    @pytest.mark.parametrize("path", OUTSIDE)
    @pytest.mark.parametrize("entry", layout._NAMED)
    def test_a_file_outside_of_the_folder_is_refused(self, tmp_path: Path, cache: Path, entry: str, path: str) -> None:
        keep_parts(cache)
        write(own(tmp_path), two(**{entry: path}))
        wrong = f"config.yaml of IndexTTS-2 names a file outside of its folder ({entry})"
        assert lacks(tmp_path) == f"a model that it can load ({wrong})"
        write(own(tmp_path, "indextts25"), five(**{entry: path}))
        assert "names a file outside of its folder" in lacks(tmp_path, "indextts25")

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"dataset": {"bpe_model": "../bpe.model"}}, "names a file outside of its folder (dataset.bpe_model)"),
            ({"dataset": "bpe.model"}, "names no file (dataset.bpe_model)"),
            ({"qwen_emo_path": "../qwen"}, "names a folder outside of its own (qwen_emo_path)"),
            ({"gpt_checkpoint": None}, "names no file (gpt_checkpoint)"),
            ({"gpt_checkpoint": ["gpt.pth"]}, "names no file (gpt_checkpoint)"),
            ({"gpt_checkpoint": "${oc.env:HOME}/gpt.pth"}, "names a file outside of its folder (gpt_checkpoint)"),
            ({"vocoder": {"name": "../../vocoder"}}, "names a vocoder that is not there (vocoder.name)"),
            ({"vocoder": {"name": "/nothing/here"}}, "names a vocoder that is not there (vocoder.name)"),
            ({"vocoder": {"name": "a\0b"}}, "names a vocoder that is not there (vocoder.name)"),
            ({"vocoder": None}, "names no vocoder (vocoder.name)"),
            ({"version": 1.5}, "is of IndexTTS-1.5, and not of IndexTTS-2"),
            ({"version": 2.5}, "is of IndexTTS-2.5, and not of IndexTTS-2"),
            ({"s2mel": None}, "is not of IndexTTS-2"),
        ],
    )
    def test_what_the_engine_cannot_load_is_refused(
        self, tmp_path: Path, cache: Path, changes: dict[str, Any], says: str
    ) -> None:
        keep_parts(cache)
        write(own(tmp_path), two(**changes))
        assert lacks(tmp_path) == f"a model that it can load (config.yaml of IndexTTS-2 {says})"

    @pytest.mark.parametrize(
        "text",
        [
            b"", b"- 1", b"a: [", b"\xff\xfe", b"a: 9999-99-99", b"? [a]\n: 1", b"[" * 400,
            b"!!python/name:os.system x", b"a: 1\n" * 300_000,
        ],
        ids=["empty", "list", "open", "binary", "date", "key", "deep", "code", "long"],
    )  # fmt: skip
    def test_what_is_no_configuration_is_refused(self, tmp_path: Path, cache: Path, text: bytes) -> None:
        keep_parts(cache)
        write(own(tmp_path), two() | {"config.yaml": text})
        assert "config.yaml of IndexTTS-2" in lacks(tmp_path)

    @pytest.mark.parametrize("name", ["../..", "org", "", "/etc", "https://huggingface.co/a/b", "a/b\n"])
    def test_what_is_no_name_is_never_looked_up(self, tmp_path: Path, name: str) -> None:
        chosen = of(tmp_path, model_repo=name)
        missing = chosen.missing()
        assert missing is not None
        assert missing.remedy == f"export MODEL_REPO={TWO}"
        calls: list[Callable[[], object]] = [chosen.files, lambda: chosen.download(lambda _what, _share: None)]
        for call in calls:
            with pytest.raises(NotAvailable, match=f"MODEL_REPO holds no name.*; set MODEL_REPO to {TWO}."):
                call()


class TestVersion:
    def test_it_changes_with_the_files_and_not_with_the_place(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        assert of(tmp_path).version() == "IndexTTS-2"
        write(own(tmp_path), two())
        first = of(tmp_path).version()
        assert first.startswith("IndexTTS-2-")
        moved = write(tmp_path / "moved", two())
        assert of(tmp_path, checkpoints_dir=moved).version() == first

        seen = {first}
        changed = {
            "gpt.pth": archive(4000, 99),  # as long as before
            "bpe.model": b"\x0a\x05bpf",
            "glossary.yaml": b"a: b",
            "config.yaml": described(CONFIG_TWO, extra=1),
        }
        for name, data in changed.items():
            write(own(tmp_path), {name: data})
            seen.add(of(tmp_path).version())
        assert len(seen) == 1 + len(changed)

    def test_the_two_models_differ(self, tmp_path: Path, cache: Path) -> None:
        keep_parts(cache)
        write(own(tmp_path, "indextts25"), five())
        assert of(tmp_path, "indextts25").version().startswith("IndexTTS-2.5-")


class TestDownload:
    def test_everything_comes_once_and_nothing_else(self, tmp_path: Path, cache: Path, hub: Hub) -> None:
        first = download(tmp_path, hub)
        assert (first.error, first.printed) == (None, "")
        assert contents(own(tmp_path)) == two()
        for name, asked in ASKED.items():
            assert contents(cache / stored.storage_of(name) / "snapshots" / COMMIT) == {
                file: PARTS[name][file] for file in asked
            }
        files = of(tmp_path).files()
        assert {name: getattr(files, name) for name in first.files} == first.files
        assert set(first.files) == {"folder", "w2v_bert", "campplus", "bigvgan", "semantic_codec", "emotion"}
        # One bar over all repositories.
        assert {what for what, _ in first.shares} == {"downloading IndexTTS-2"}
        shares = [share for _, share in first.shares if share is not None]
        assert shares == sorted(set(shares))
        assert shares[-1] == 1.0
        assert len(shares) > 8
        assert {each.token for each in hub.asked if each.path.startswith("/content/")} == {None}
        assert all(len(hub.asked_for(name)) == 1 for name in ("gpt.pth", "model.safetensors", "bigvgan_generator.pt"))
        assert not hub.asked_for("conformer_shaw.pt")

        seen = len(hub.asked)
        second = download(tmp_path, hub)
        assert (second.files, second.shares, len(hub.asked)) == (first.files, [], seen)

    def test_the_second_model_shares_what_came_for_the_first(self, tmp_path: Path, hub: Hub) -> None:
        hub.repositories[FIVE]["glossary.yaml"] = b"a: b"
        assert download(tmp_path, hub).error is None
        hub.asked.clear()
        second = download(tmp_path, hub, "indextts25")
        assert second.error is None
        assert contents(own(tmp_path, "indextts25")) == five() | {"glossary.yaml": b"a: b"}
        assert not [each for each in hub.asked if FIVE not in each.path]
        hub.asked.clear()
        assert download(tmp_path, hub, "indextts25").shares == []
        assert hub.asked == []

    def test_afterwards_the_hub_is_not_needed(self, tmp_path: Path, hub: Hub) -> None:
        assert download(tmp_path, hub).error is None
        seen = len(hub.asked)
        program = (
            "import json; from huggingface_hub import hf_hub_download, snapshot_download;"
            f"found = [hf_hub_download(hub, name, local_files_only=True) for hub, names in {ASKED!r}.items()"
            " for name in names];"
            f"found += [hf_hub_download(hub, name) for hub, names in {ASKED!r}.items() for name in names];"
            f"found.append(snapshot_download({W2V!r}, allow_patterns={ASKED[W2V]!r}, local_files_only=True));"
            "print(json.dumps(found))"
        )
        found, _ = hubs.run(program, tmp_path, hub.port, HF_HUB_OFFLINE="1")
        assert all(Path(path).exists() for path in found)
        assert download(tmp_path, hub, HF_HUB_OFFLINE="1").error is None
        assert len(hub.asked) == seen

    def test_without_links_nothing_is_here_twice(self, tmp_path: Path, cache: Path, hub: Hub) -> None:
        keep(cache, CAMPPLUS, PARTS[CAMPPLUS])
        keep(cache, BIGVGAN, PARTS[BIGVGAN])
        write(own(tmp_path), two())
        said = download(tmp_path, hub, HF_HUB_DISABLE_SYMLINKS="1")
        assert said.error is None
        weights = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 500]
        assert len(weights) == len({path.read_bytes() for path in weights})
        assert said.files["semantic_codec"].read_bytes() == PARTS[CODEC]["semantic_codec/model.safetensors"]

    def test_a_folder_that_is_named_is_filled(self, tmp_path: Path, hub: Hub) -> None:
        named = tmp_path / "a folder" / "of ours"
        said = download(tmp_path, hub, CHECKPOINTS_DIR=str(named))
        assert said.files["folder"] == named
        assert contents(named) == two()

    @pytest.mark.parametrize(("name", "where"), [("gpt.pth", "own"), ("campplus_cn_common.bin", "cache")])
    def test_a_download_that_was_cut_goes_on_where_it_was(
        self, tmp_path: Path, hub: Hub, name: str, where: str
    ) -> None:
        large = archive(24 << 20, 20)
        repository = TWO if where == "own" else CAMPPLUS
        hub.repositories[repository][name] = large
        hub.cut[name] = 23 << 20
        first = download(tmp_path, hub)
        assert first.error is not None
        assert f"{repository} " in first.error
        assert "what has come stays; run the command again" in first.error
        assert not (own(tmp_path) / name).exists()
        assert (repository if where == "cache" else name) in lacks(tmp_path)

        hub.cut.clear()
        hub.asked.clear()
        second = download(tmp_path, hub)
        assert second.error is None
        assert [each.start for each in hub.asked_for(name)] == [20 << 20]
        assert (second.files["campplus"] if where == "cache" else own(tmp_path) / name).read_bytes() == large
        assert min(share for _, share in second.shares if share) > 0.8

    @pytest.mark.parametrize("name", ["s2mel.pth", "config.yaml", "preprocessor_config.json"])
    def test_a_file_that_arrives_changed_is_refused_and_comes_again(self, tmp_path: Path, hub: Hub, name: str) -> None:
        hub.changed.add(name)
        first = download(tmp_path, hub)
        assert first.error is not None
        assert "arrived damaged and was removed; run the command again." in first.error
        assert not (own(tmp_path) / name).exists()
        hub.changed.clear()
        assert download(tmp_path, hub).error is None
        assert contents(own(tmp_path)) == two()

    def test_what_was_damaged_here_comes_again(self, tmp_path: Path, cache: Path, hub: Hub) -> None:
        assert download(tmp_path, hub).error is None
        flipped = bytearray(SHARED["gpt.pth"])
        flipped[1000] ^= 1
        damaged = {
            "gpt.pth": bytes(flipped), "s2mel.pth": b"cut", "config.yaml": b"", "bpe.model": b"",
            "qwen0.6bemo4-merge/model.safetensors": b"cut",
        }  # fmt: skip
        write(own(tmp_path), damaged)
        codec = cache / "models--amphion--MaskGCT" / "snapshots" / COMMIT / "semantic_codec" / "model.safetensors"
        codec.write_bytes(b"cut")
        hub.asked.clear()
        assert download(tmp_path, hub).error is None
        assert contents(own(tmp_path)) == two() | {"config.yaml.before": b""}
        assert codec.read_bytes() == PARTS[CODEC]["semantic_codec/model.safetensors"]
        assert not hub.asked_for("feat1.pt")

    def test_weights_of_somebody_are_neither_replaced_nor_mixed(self, tmp_path: Path, hub: Hub) -> None:
        tuned = archive(4000, 77)
        write(own(tmp_path), {"gpt.pth": tuned})
        said = download(tmp_path, hub)
        assert said.error == (
            f"gpt.pth in the folder of IndexTTS-2 is not the one of {TWO}; move it away, or set CHECKPOINTS_DIR to "
            "another folder."
        )
        assert (own(tmp_path) / "gpt.pth").read_bytes() == tuned
        assert not hub.asked_for("s2mel.pth")

    def test_a_model_of_somebody_gets_what_it_lacks_of_others(self, tmp_path: Path, hub: Hub) -> None:
        content = two(gpt_checkpoint="tuned.pth") | {"tuned.pth": archive(4000, 77), "glossary.yaml": b"mine: 1"}
        del content["gpt.pth"], content["feat2.pt"]
        write(own(tmp_path), content)
        assert download(tmp_path, hub).error is None
        assert contents(own(tmp_path)) == content | {"feat2.pt": SHARED["feat2.pt"]}

    def test_the_model_of_emotions_comes_alone_where_only_it_is_missing(
        self, tmp_path: Path, cache: Path, hub: Hub
    ) -> None:
        keep_parts(cache)
        runpod = tmp_path / "volume" / "huggingface-cache" / "hub"
        keep(runpod, TWO, {name: data for name, data in two().items() if not name.startswith("qwen")})
        said = download(tmp_path, hub)
        assert said.error is None
        assert said.files["folder"].is_relative_to(runpod)
        assert contents(own(tmp_path)) == EMOTION
        assert said.files["emotion"] == own(tmp_path) / "qwen0.6bemo4-merge"

    def test_the_vocoder_that_the_configuration_names_comes(self, tmp_path: Path, hub: Hub) -> None:
        hub.repositories[TWO]["config.yaml"] = described(CONFIG_TWO, vocoder={"name": "org/other"})
        said = download(tmp_path, hub)
        assert said.error == (
            "The Hub has no model org/other for all; correct vocoder.name in the model's config.yaml, or set HF_TOKEN "
            "if it is private."
        )
        hub.repositories["org/other"] = PARTS[BIGVGAN]
        assert "models--org--other" in str(download(tmp_path, hub).files["bigvgan"])

    def test_a_repository_whose_configuration_leaves_its_folder_is_refused(self, tmp_path: Path, hub: Hub) -> None:
        hub.repositories[TWO]["config.yaml"] = described(CONFIG_TWO, gpt_checkpoint="../../gpt.pth")
        hub.repositories[TWO]["../../gpt.pth"] = archive()
        said = download(tmp_path, hub)
        assert said.error == (
            f"{TWO}: config.yaml of IndexTTS-2 names a file outside of its folder (gpt_checkpoint); set MODEL_REPO to "
            f"{TWO}."
        )
        assert contents(tmp_path / "volume") == {}

    @pytest.mark.parametrize("absent", ["config.yaml", "gpt.pth", "bpe.model"])
    def test_a_repository_that_lacks_files_is_refused_before_weights_come(
        self, tmp_path: Path, hub: Hub, absent: str
    ) -> None:
        del hub.repositories[TWO][absent]
        error = download(tmp_path, hub).error
        assert error is not None
        assert error.endswith(f"; set MODEL_REPO to {TWO}.")
        assert not [each for each in hub.asked if each.path.startswith("/content/")]

    def test_two_downloads_at_once_bring_everything_once(self, tmp_path: Path, hub: Hub) -> None:
        hub.repositories[TWO]["gpt.pth"] = archive(24 << 20, 21)
        with ThreadPoolExecutor(3) as threads:
            models: list[Model] = ["indextts2", "indextts2", "indextts25"]
            said = list(threads.map(lambda model: download(tmp_path, hub, model), models))
        assert [each.error for each in said] == [None, None, None]
        assert contents(own(tmp_path)) == two() | {"gpt.pth": archive(24 << 20, 21)}
        for name in ("gpt.pth", "s2mel.pth", "model.safetensors", "campplus_cn_common.bin"):
            gets = [each.path for each in hub.asked_for(name)]
            assert len(gets) == len(set(gets))


class TestTrouble:
    def test_a_repository_that_is_not_there(self, tmp_path: Path, hub: Hub) -> None:
        said = download(tmp_path, hub, MODEL_REPO="org/wrong")
        assert said.error == (
            "The Hub has no model org/wrong for all; correct MODEL_REPO, or set HF_TOKEN if it is private."
        )
        del hub.repositories[CODEC]
        assert download(tmp_path, hub).error == (
            f"The Hub has no model {CODEC} for all; correct HF_ENDPOINT, or set HF_TOKEN if it is private."
        )
        said = download(tmp_path, hub, "indextts25", OSCINE_INDEXTTS25_REPO="org/wrong")
        assert "correct OSCINE_INDEXTTS25_REPO" in str(said.error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_token_that_is_refused(self, tmp_path: Path, hub: Hub, status: int) -> None:
        hub.refused[W2V] = status
        assert download(tmp_path, hub).error == (f"The Hub refuses {W2V} to this HF_TOKEN; set another, or unset it.")

    def test_a_gated_repository(self, tmp_path: Path, hub: Hub) -> None:
        hub.gated.add(CAMPPLUS)
        assert f"gives {CAMPPLUS} only to those who accepted its terms" in str(download(tmp_path, hub).error)

    def test_a_hub_that_is_overloaded(self, tmp_path: Path, hub: Hub) -> None:
        hub.cut["gpt.pth"] = 0
        assert download(tmp_path, hub).error == (
            f"The Hub does not give {TWO} at the moment (status 503); what has come stays; run the command again later."
        )
        hub.cut.clear()
        hub.asked.clear()
        assert download(tmp_path, hub).error is None
        assert not hub.asked_for("campplus_cn_common.bin")

    def test_a_hub_that_is_down(self, tmp_path: Path) -> None:
        with hubs.nobody() as port:
            said = download(tmp_path, port)
        assert said.error == (
            f"The connection to the Hub broke while {TWO} was downloaded; what has come stays; run the command again."
        )
        assert said.printed == ""

    def test_offline(self, tmp_path: Path, hub: Hub) -> None:
        said = download(tmp_path, hub, HF_HUB_OFFLINE="1")
        assert said.error == f"HF_HUB_OFFLINE forbids to download {TWO}; unset it and run the command again."
        assert hub.asked == []

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path, hub: Hub) -> None:
        (tmp_path / "volume").write_text("a file")
        assert download(tmp_path, hub).error == (
            "The folder of IndexTTS-2 cannot be written (NotADirectoryError); set CHECKPOINTS_DIR to another folder."
        )

    @pytest.mark.parametrize(
        ("name", "setting"), [("s2mel.pth", "CHECKPOINTS_DIR"), ("campplus_cn_common.bin", "HF_HOME")]
    )
    def test_a_disk_that_is_too_small(self, tmp_path: Path, hub: Hub, name: str, setting: str) -> None:
        hub.claimed[name] = 10**15
        error = str(download(tmp_path, hub).error)
        assert error.startswith("IndexTTS-2 needs ")
        assert f"set {setting} to a folder on another disk" in error
        assert not [each for each in hub.asked if each.path.startswith("/content/")]

    def test_what_goes_to_one_disk_counts_together_and_each_disk_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_disk = hub_of_engines.Folder(TWO, COMMIT, tmp_path / "a", hub_of_engines.Place("disk one", "ONE"))
        same = hub_of_engines.Folder(W2V, COMMIT, tmp_path / "b", hub_of_engines.Place("disk one", "ONE"))
        other = hub_of_engines.Folder(CODEC, COMMIT, Path("/dev/shm") / "x", hub_of_engines.Place("disk two", "TWO"))
        file = hub_of_engines.File("gpt.pth", 60 * 10**9, None)
        monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=100 * 10**9))
        with pytest.raises(NotAvailable, match=r"needs 120.0 GB more, and the disk of disk one .* set ONE"):
            hub_of_engines.check_room("It", [(own_disk, file), (same, file)])
        if Path("/dev/shm").is_dir() and Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
            hub_of_engines.check_room("It", [(own_disk, file), (other, file)])

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    @pytest.mark.parametrize(
        ("repository", "name", "setting"),
        [(TWO, "s2mel.pth", "CHECKPOINTS_DIR"), (CAMPPLUS, "campplus_cn_common.bin", "HF_HOME")],
    )
    def test_a_disk_that_becomes_full(
        self, tmp_path: Path, cache: Path, hub: Hub, repository: str, name: str, setting: str
    ) -> None:
        blobs = cache / "models--funasr--campplus" / "blobs"
        place = own(tmp_path) / ".cache" / "oscine" if repository == TWO else blobs
        partial = place / f"{hub.etag(name, hub.repositories[repository][name])}.incomplete"
        place.mkdir(parents=True)
        partial.symlink_to("/dev/full")
        assert download(tmp_path, hub).error == (
            f"The disk is full; make room, or set {setting} to a folder on another disk. Of {repository}, what has "
            "come stays; run the command again."
        )
        partial.unlink()
        assert download(tmp_path, hub).error is None
        assert contents(own(tmp_path)) == two()


def test_looking_imports_nothing_heavy() -> None:
    program = (
        "import sys; from oscine.config import Settings; from oscine.engines.indextts import checkpoint as c;"
        "[(c.Checkpoint(m, Settings()).missing(), c.Checkpoint(m, Settings()).version()) for m in c.KINDS];"
        "print([m for m in ('torch', 'transformers', 'httpx', 'httpx2', 'indextts', 'omegaconf') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=hubs.HERE, check=True)
    assert ran.stdout == "[]\n"


def test_the_settings_name_the_folders(tmp_path: Path) -> None:
    settings = Settings(volume=tmp_path / "volume")
    assert settings.indextts_checkpoints == own(tmp_path)
    assert settings.indextts25_checkpoints == own(tmp_path, "indextts25")
