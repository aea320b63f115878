"""Numbers are written out by real grammars, which are kept whole or not at all."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from oscine.engines.indextts import grammars

READY = grammars.Grammars.ready  # the other tests' engines wait for no grammar


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


def test_a_grammar_is_kept_as_it_was_compiled_where_another_shape_reads_differently(tmp_path: Path) -> None:
    pynini = pytest.importorskip("pynini")
    far = tmp_path / "grammar.far"
    compiled = pynini.union("one", "one", pynini.cross("1", "one")) + pynini.union("", "x")
    shape = compiled.num_states()
    grammars.export(str(far), {"read": compiled})
    assert compiled.num_states() == shape
    kept = pynini.Far(str(far), mode="r")["read"]
    assert kept.num_states() == shape
    assert str(kept) == str(compiled)


def test_what_nemo_changes_when_it_keeps_a_grammar_is_replaced_only_while_spanish_is_compiled() -> None:
    pytest.importorskip("nemo_text_processing")
    modules = [importlib.import_module(name) for name in grammars._EXPORTERS["es"]]
    own = [module.generator_main for module in modules]
    with grammars._exported_as_it_is("es"):
        assert {module.generator_main for module in modules} == {grammars.export}
    with grammars._exported_as_it_is("en"):
        assert [module.generator_main for module in modules] == own
    assert [module.generator_main for module in modules] == own


def test_a_grammar_that_is_not_here_is_compiled_beside_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nemo_text_processing")
    begun: list[list[str]] = []

    class Process:
        over: int | None = None

        def __init__(self, command: list[str], **_: object) -> None:
            begun.append(command)

        def poll(self) -> int | None:
            return self.over

        def kill(self) -> None:
            self.over = -9

        def wait(self) -> None:
            assert self.over is not None

    monkeypatch.setattr(subprocess, "Popen", Process)
    found = grammars.Grammars(tmp_path)
    assert [READY(found, language) for language in ("ja", "es", "es")] == [True, False, False]
    assert begun == [[sys.executable, "-m", grammars.__name__, str(tmp_path), "es"]]
    grammars._kept("es", tmp_path).mkdir()
    assert READY(found, "es")
    found.close()
    assert not found._compiling
    begun.clear()
    (tmp_path / "file").write_bytes(b"")
    elsewhere = grammars.Grammars(tmp_path / "file" / "grammars")
    assert not READY(elsewhere, "es")
    folder = Path(begun[0][3])
    assert folder.is_dir()
    assert tmp_path not in folder.parents
    grammars._kept("es", folder).mkdir()
    assert READY(elsewhere, "es")
    elsewhere.close()
    assert not folder.exists()


def test_what_nemo_logs_of_a_text_reaches_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normalize = pytest.importorskip("nemo_text_processing.text_normalization.normalize")
    monkeypatch.setattr(normalize, "Normalizer", lambda **_: grammars.Plain())
    grammars.grammar("zh", tmp_path)
    told: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record)

    log, handler = logging.getLogger("NeMo-text-processing"), Kept()
    log.addHandler(handler)
    try:
        log.setLevel("INFO")  # as it does at each text
        log.warning("Failed text: my secret")
    finally:
        log.removeHandler(handler)
    assert not told
