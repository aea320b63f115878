"""`oscine engines`, `oscine download` and `oscine doctor`: what is here, what is missing and how to get it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from oscine.cli.endings import why_not
from oscine.errors import NotAvailable

if TYPE_CHECKING:
    from oscine.engines.protocol import Capabilities, EngineInfo, Missing


def engines(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, for programs.")] = False,
) -> None:
    """List the engines. Says what each can do, what is missing and the command that brings it."""
    from oscine.synthesis.studio import Studio

    found: list[dict[str, object]] = []
    with Studio() as studio:
        for name in studio.registry.names:
            try:
                engine = studio.registry.get(name)
                info, missing = engine.info, engine.missing()
            except Exception as error:  # an engine of another package may raise anything; the rest is listed
                found.append({"name": name, "ready": False, "missing": why_not(error)})
                if not as_json:
                    print(f"{name}\n  missing    {why_not(error)}")
                continue
            default = name == studio.settings.engine
            found.append(_facts(name, info, missing, default))
            if not as_json:
                _print_engine(name, info, missing, default)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))


def download(
    engine: Annotated[str, typer.Argument(metavar="ENGINE", help="The engine whose files are wanted.")],
) -> None:
    """Bring an engine's weights and voices. Nothing is ever downloaded without this command."""
    from oscine.synthesis.studio import Studio

    with Studio() as studio:
        chosen = studio.registry.get(studio.registry.select(engine, None))
        chosen.download(_report)
        print(f"{chosen.info.name} is complete.")


def doctor() -> None:
    """Check this machine. Looks at versions, GPU, folders, codecs, player and engines; names each fault's remedy."""
    from oscine.cli.checks import all_checks
    from oscine.synthesis.studio import Studio

    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    failed = False
    with Studio() as studio:
        for check in all_checks(studio):
            failed = failed or check.state == "fail"
            print(f"{marks[check.state]}  {check.what:14} {check.found}{f'; {check.remedy}' if check.remedy else ''}")
    if failed:
        raise NotAvailable("something is missing; see the lines marked FAIL.")


def _print_engine(name: str, info: EngineInfo, missing: Missing | None, default: bool) -> None:
    absent = [preset.name for preset in info.presets if not preset.installed]
    print(f"{name} {info.version}{'  (default)' if default else ''}")
    print(f"  {info.summary}")
    for title, value in (
        ("languages", ", ".join(info.languages)),
        ("can", ", ".join(_abilities(info.capabilities))),
        ("sound", f"{info.sample_rate} Hz, {info.max_lanes} lanes"),
        ("licence", info.licence),
        ("missing", f"{missing.what}; run: {missing.remedy}" if missing else ""),
        ("voices", ", ".join(preset.name for preset in info.presets if preset.installed)),
        ("more voices", f"{', '.join(absent)}; run: oscine download {name}" if absent else ""),
    ):
        if value:
            print(f"  {title:11} {value}")


def _facts(name: str, info: EngineInfo, missing: Missing | None, default: bool) -> dict[str, object]:
    able = info.capabilities
    return {
        "name": name,
        "version": info.version,
        "default": default,
        "ready": missing is None,
        "missing": missing.what if missing else None,
        "remedy": missing.remedy if missing else None,
        "summary": info.summary,
        "licence": info.licence,
        "languages": list(info.languages),
        "cloning": able.cloning,
        "speakers": able.speakers,
        "speed": list(able.speed) if able.speed else None,
        "options": sorted(able.options),
        "sample_rate": info.sample_rate,
        "lanes": info.max_lanes,
        "voices": [preset.name for preset in info.presets if preset.installed],
        "more_voices": [preset.name for preset in info.presets if not preset.installed],
    }


def _abilities(capabilities: Capabilities) -> list[str]:
    able = ["clone voices" if capabilities.cloning else "speak with preset voices"]
    if capabilities.speakers > 1:
        able.append(f"{capabilities.speakers} speakers in one take")
    if capabilities.speed:
        able.append("change speed itself ({:g} to {:g})".format(*capabilities.speed))
    if any(option.startswith("emo_") for option in capabilities.options):
        able.append("emotion")
    return able


def _report(what: str, share: float | None) -> None:
    print(f"{what}{'' if share is None else f' {share:4.0%}'}", file=sys.stderr)
