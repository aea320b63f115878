"""`oscine serve`: the server with OpenAI's speech API."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final

import typer

from oscine.errors import NotAvailable
from oscine.extras import install_command


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Listen here, 0.0.0.0 for every network; else OSCINE_HOST. [default: 127.0.0.1]"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="NUMBER", help="Port, 0 for any free one; else the variable PORT. [default: 8000]"
        ),
    ] = None,
    quantize: Annotated[
        int | None, typer.Option(metavar="BITS", help="8 or 4: vibevoice in less memory; else OSCINE_QUANTIZE.")
    ] = None,
) -> None:
    """Serve OpenAI's speech API and a page to try it. Settings are environment variables; see docs/settings.md."""
    from oscine.cli.options import quantized
    from oscine.config import Settings
    from oscine.synthesis.studio import Studio

    try:
        from oscine.http.logs import to_standard_error
        from oscine.http.serve import serve as run
    except ModuleNotFoundError as error:
        raise NotAvailable(
            f"the server needs {error.name or 'a package'}, which is not installed; run: {install_command('serve')}"
        ) from None
    to_standard_error()
    _open_many_files()
    settings = quantized(Settings.from_env(), quantize)
    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = settings.model_copy(update=given)
    with Studio(settings) as studio:
        run(studio, host=settings.host, port=settings.port, port_health=settings.port_health)


_MOST_FILES: Final = 65_536
"""Open files beyond which more connections would only take memory."""


def _open_many_files() -> None:
    """Raise the process's limit of open files, and so of connections, as far as the system allows without rights."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
