"""Numbers are written out by real grammars, which are kept whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from oscine.engines.indextts import grammars


def test_numbers_are_written_out_and_an_interrupted_compile_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalize = pytest.importorskip("nemo_text_processing.text_normalization.normalize")
    folder = tmp_path / "cache" / "grammars"
    real = normalize.Normalizer

    class Interrupted(real):  # type: ignore[misc, valid-type]
        def __init__(self, *_: object, cache_dir: str, **__: object) -> None:
            (Path(cache_dir) / "half.far").write_bytes(b"half")
            raise KeyboardInterrupt

    monkeypatch.setattr(normalize, "Normalizer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        grammars.grammar("zh", folder)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(normalize, "Normalizer", real)
    compiled = grammars.grammar("zh", folder)
    (kept,) = folder.iterdir()
    files = sorted(kept.rglob("*.far"))
    assert files
    times = [file.stat().st_mtime_ns for file in files]
    for made in (compiled, grammars.grammar("zh", folder)):
        assert made.normalize("我有25只鸟。", verbose=False) == "我有二十五只鸟。"
    assert [file.stat().st_mtime_ns for file in files] == times


def test_where_the_folder_cannot_be_written_or_nemo_is_not_there_speech_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    normalize = pytest.importorskip("nemo_text_processing.text_normalization.normalize")
    made: list[dict[str, object]] = []

    def compiled(**how: object) -> str:
        made.append(how)
        return "compiled"

    monkeypatch.setattr(normalize, "Normalizer", compiled)
    occupied = tmp_path / "file"
    occupied.write_bytes(b"")
    assert grammars.grammar("en", occupied / "grammars") == "compiled"
    assert made == [{"input_case": "cased", "lang": "en"}]
    assert "cannot be kept" in caplog.text
    monkeypatch.setitem(sys.modules, "nemo_text_processing.text_normalization.normalize", None)
    assert grammars.grammar("en", tmp_path).normalize("25 birds", verbose=False) == "25 birds"
    assert "write them out" in caplog.text
