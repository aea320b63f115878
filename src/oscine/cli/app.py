"""The commands, and how each kind of ending looks to a shell."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import typer

from oscine.cli import about, say, voices
from oscine.errors import OscineError

app = typer.Typer(
    name="oscine",
    help="Turn text into speech, in a cloned voice, on the best open models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("say")(say.say)
app.add_typer(voices.app, name="voices")
app.command("engines")(about.engines)
app.command("download")(about.download)
app.command("doctor")(about.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from oscine import __version__

        typer.echo(f"oscine {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Turn text into speech, in a cloned voice, on the best open models."""


def run() -> None:
    """Run the command line and end the process."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(standalone_mode=False)
        code = 0
    except OscineError as error:
        code = _complain(error.message, error.exit_code)
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _complain("stopped; the same command goes on where it was.", 130)
    except BrokenPipeError:
        code = 141  # as a program that SIGPIPE ended
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:  # a fault of ours: one line for the user, the rest for those who ask
            if os.environ.get("OSCINE_DEBUG"):
                raise
            code = _complain(f"an unexpected {type(error).__name__} happened; set OSCINE_DEBUG=1 to see where.", 4)
        else:  # click's own: wrong use
            show(file=sys.stderr)
            code = 2
    _leave(code)


def _complain(message: str, code: int) -> int:
    print(f"oscine: {message}", file=sys.stderr)
    return code


def _leave(code: int) -> None:
    """End now: what could still be running is daemon threads, and there is nothing left to write."""
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 141
    sys.stderr.flush()
    os._exit(code)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)
