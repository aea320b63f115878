"""The commands."""

from __future__ import annotations

import typer

from oscine.cli import about, endings, say, serve, voices

app = typer.Typer(
    name="oscine",
    help="Turn text into speech, in a cloned voice, on the best open models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("say")(say.say)
app.command("serve")(serve.serve)
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
    endings.show_causes()


def run() -> None:
    """Run the command line and end the process."""
    endings.run(lambda: app(standalone_mode=False))
