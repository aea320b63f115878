"""`oscine engines`, `oscine download` and `oscine doctor`: what is here, what is missing and how to get it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from oscine.cli.endings import why_not
from oscine.errors import NotAvailable


def engines() -> None:
    """List the engines. Says what each can do, what is missing and the command that brings it."""
    from oscine.synthesis.studio import Studio

    with Studio() as studio:
        for name in studio.registry.names:
            try:
                engine = studio.registry.get(name)
            except Exception as error:  # of others' engines: whatever it is, the rest is listed
                print(f"{name}\n  missing    {why_not(error)}")
                continue
            info, missing = engine.info, engine.missing()
            absent = [preset.name for preset in info.presets if not preset.installed]
            print(f"{name} {info.version}{'  (default)' if name == studio.settings.engine else ''}")
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


def download(engine: Annotated[str, typer.Argument(help="The engine whose files are wanted.")]) -> None:
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


def _abilities(capabilities: object) -> list[str]:
    from oscine.engines.protocol import Capabilities

    assert isinstance(capabilities, Capabilities)
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
