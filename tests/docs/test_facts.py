"""What the tables say is what the code says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from typer.main import get_command

from oscine import errors
from oscine.audio.formats import _SPECS, Format, bitrate_for
from oscine.cli.app import app
from oscine.config import Settings
from oscine.delivery.stream import Opening
from oscine.engines.protocol import Engine
from oscine.http.voices import SAMPLE
from oscine.request import SpeechRequest
from oscine.synthesis import pauses
from oscine.synthesis.result import Report
from oscine.text.normalise import Rules, normalise
from oscine.text.passages import DEFAULT_PAUSE_MS, LONGEST_PAUSE_MS
from oscine.text.pronounce import Lexicon
from oscine.voices.aliases import OPENAI_NAMES
from oscine.voices.library import RECORDING, UPLOAD
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links, name, prose, rows_of

DOCS = ROOT / "docs"
COMMANDS: Any = get_command(app)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_page_and_a_heading_that_exist(page):
    for link in links(page):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}"


def test_the_readme_leads_to_every_page():
    readme = prose(ROOT / "README.md")
    assert [name(page) for page in PAGES[1:] if f"({name(page)})" not in readme] == []


def test_every_option_of_say_is_told_with_its_default():
    told = {tuple(cells[0].split(", ")): cells[1] for cells in rows_of(DOCS / "use.md", "option", "default")}
    parameters = COMMANDS.commands["say"].params
    assert set(told) == {options_of(parameter) for parameter in parameters}
    for parameter in parameters:
        written = re.search(r"\[default: (.+?)\]", parameter.help or "")
        if written and "name" not in written[1]:
            assert told[options_of(parameter)] == written[1]


def options_of(parameter: Any) -> tuple[str, ...]:
    if parameter.param_type_name == "argument":
        return ("TEXT",)
    return tuple(sorted((*parameter.opts, *parameter.secondary_opts), key=lambda option: (len(option), option)))


def test_every_command_and_its_options_are_told():
    told = {cells[0]: cells[1] for cells in rows_of(DOCS / "use.md", "command", "what it does")}
    for path, command in leaves(COMMANDS, "oscine"):
        if path == "oscine say":
            continue
        shown = next((row for row in told if row == path or row.startswith(f"{path} ")), None)
        assert shown is not None, path
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                assert parameter.name.upper() in shown
                assert parameter.name.upper() == parameter.metavar, "what the command's help calls it"
            else:
                assert all(f"{option}" in told[shown] for option in (*parameter.opts, *parameter.secondary_opts)), path
    assert "oscine --version" in told


def leaves(command: Any, path: str) -> list[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for key, child in command.commands.items() for found in leaves(child, f"{path} {key}")]


def test_every_field_of_a_request_is_told_with_its_type_default_and_other_names():
    told = {row[0]: row[1:4] for row in rows_of(DOCS / "request.md", "field", "takes", "default", "also taken as")}
    assert set(told) == set(SpeechRequest.model_fields)
    for key, field in SpeechRequest.model_fields.items():
        choices = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        others = ", ".join(str(choice) for choice in choices if choice != key)
        default = "required" if field.is_required() else "—" if field.default is None else str(field.default).lower()
        assert told[key] == [field.description, default, others], key


def test_every_setting_is_told_with_what_it_takes_and_its_default():
    told = {row[0]: row[1:3] for row in rows_of(DOCS / "settings.md", "variable", "takes", "default")}
    known = {str(field.validation_alias or field.alias): field for field in Settings.model_fields.values()}
    assert set(told) == set(known)
    for variable, field in known.items():
        takes, default = told[variable]
        if field.description:
            assert takes in field.description, variable
        if field.default not in (None, (), ""):
            shown = str(field.default)
            assert default == (shown.lower() if isinstance(field.default, bool) else shown), variable


def test_every_format_is_told_with_its_rates_and_bit_rates():
    told = {row[0]: row[1:] for row in rows_of(DOCS / "audio.md", "format", "media type")}
    assert set(told) == {format.value for format in Format} == {format.value for format in _SPECS}
    for format in Format:
        spec = format.spec
        rates = ", ".join(map(str, spec.rates)) or "any"
        high, low = (bitrate_for(format, rate) for rate in (24_000, 16_000))
        assert told[format.value] == [
            spec.media_type,
            spec.codec,
            rates,
            str(high // 1000) if high else "—",
            str(low // 1000) if low else "—",
            f"{spec.bitrates[0] // 1000} to {spec.bitrates[1] // 1000}" if high else "—",
            "yes" if spec.holds_tags else "no",
        ]


def test_every_pause_is_told_with_its_length():
    told = {row[0]: int(row[1]) for row in rows_of(DOCS / "text.md", "after", "ms")}
    wanted = dict(pauses.BY_MARK_MS) | {
        "no mark": pauses.UNFINISHED_MS,
        "the end of a line, at least": pauses.LINE_MS,
        "a change of speaker, at least": pauses.TURN_MS,
        "a paragraph, at least": pauses.PARAGRAPH_MS,
        "a chapter or a scene, at least": pauses.CHAPTER_MS,
    }
    assert told == wanted
    assert f"`[pause]` is {DEFAULT_PAUSE_MS} ms" in prose(DOCS / "text.md")
    assert f"at most {LONGEST_PAUSE_MS // 1000} s" in prose(DOCS / "text.md")


def test_every_text_rule_does_what_its_row_shows():
    told = {row[0]: row[2:4] for row in rows_of(DOCS / "text.md", "rule", "what it does", "written", "read")}
    assert {*told, "script"} == {rule.name for rule in fields(Rules)}
    assert "`--no-rule script`" in prose(DOCS / "text.md")
    for rule, (written, read) in told.items():
        assert normalise(written) == read, rule
        others = Rules().without([rule])
        assert normalise(written, others) != read, f"{rule}: the example shows another rule"


def test_every_entry_of_a_lexicon_stands_for_what_its_row_shows():
    for entry, stands, other in rows_of(DOCS / "text.md", "entry", "stands for", "not for"):
        lexicon = Lexicon({entry: "found"})
        assert {lexicon.apply(word) for word in stands.split(", ")} == {"found"}, entry
        assert lexicon.apply(other) == other, entry


def test_every_fact_of_a_report_is_told():
    told = {row[0] for row in rows_of(DOCS / "python.md", "attribute", "what it is")}
    assert told == {field.name for field in fields(Report)} | {"real_time_factor"}


def test_every_fact_of_an_opening_is_told():
    told = {row[0] for row in rows_of(DOCS / "python.md", "fact of an opening", "what it is")}
    assert told == {field.name for field in fields(Opening)}


def test_every_error_is_told_with_its_codes():
    told = {row[0]: row[1:3] for row in rows_of(DOCS / "python.md", "error", "exit code", "HTTP status")}
    kinds = {
        key: kind
        for key, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.OscineError) and kind is not errors.OscineError
    }
    assert told == {key: [str(kind.exit_code), str(kind.http_status)] for key, kind in kinds.items()}


def test_what_a_recording_may_be_is_told():
    told = {row[0]: row[1:] for row in rows_of(DOCS / "voices.md", "", "in the library")}
    for at, limits in enumerate((RECORDING, SAMPLE, UPLOAD)):
        assert {key: cells[at] for key, cells in told.items()} == {
            "size": f"{limits.max_bytes // 1024**2} MiB",
            "length": f"{limits.min_seconds:g} to {limits.max_seconds:g} s",
            "channels": f"1 or {limits.max_channels}, mixed to one",
            "sample rate": f"up to {limits.max_sample_rate // 1000} kHz",
        }


def test_every_name_of_openai_is_told():
    said = prose(DOCS / "voices.md")
    assert [voice for voice in OPENAI_NAMES if not re.search(rf"\b{voice}\b", said)] == []


def test_every_benchmark_has_its_section():
    from bench.__main__ import NAMES

    assert set(NAMES) <= anchors(DOCS / "benchmarks.md")


def test_every_make_target_is_told():
    found = re.search(r"\.PHONY: (.+)", (ROOT / "Makefile").read_text())
    assert found is not None
    targets = set(found[1].split()) - {"help"}
    rows = rows_of(ROOT / "CONTRIBUTING.md", "command", "what it does")
    assert targets == {target for row in rows for target in re.findall(r"\bmake ([a-z-]+)", row[0])}


def test_every_room_is_told_in_the_order_that_is_checked():
    told = [room for row in rows_of(DOCS / "architecture.md", "room", "subject") for room in row[0].split(", ")]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [room.strip("()") for layer in reversed(layers) for room in layer.replace(" ", "").split("|")]
    names = [room.removesuffix("/").removesuffix(".py") for room in told]
    assert all((ROOT / "src" / "oscine" / room).exists() for room in told)
    assert set(names) == {path.stem for path in (ROOT / "src" / "oscine").iterdir() if is_room(path)}
    assert [name for name in names if name in order] == [name for name in order if name in names]


def is_room(path: Path) -> bool:
    return not path.stem.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").exists())


def test_the_server_says_where_it_listens_unless_it_is_told():
    told = {each.name: re.search(r"\[default: (.+?)\]", each.help or "") for each in COMMANDS.commands["serve"].params}
    assert {name: found[1] for name, found in told.items() if found} == {
        name: str(Settings.model_fields[name].default) for name in ("host", "port")
    }


@pytest.mark.parametrize(
    "folder", ["src/oscine/engines", "src/oscine/synthesis", "src/oscine/http", "src/oscine/runpod"]
)
def test_every_file_of_a_room_that_has_many_is_told(folder):
    page = (DOCS / "architecture.md").read_text()
    files = [path.name for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    assert [name for name in files if not re.search(rf"[`/]{re.escape(name)}`", page)] == []


def test_every_call_of_the_engine_protocol_is_told():
    shown = next(block.text for block in blocks(DOCS / "architecture.md") if "close_lane" in block.text)
    told = {re.split(r"[ (]", line)[0] for line in shown.splitlines()}
    assert told == {*Engine.__annotations__, *(key for key in vars(Engine) if not key.startswith("_"))}
