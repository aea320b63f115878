"""`oscine serve`: the server with OpenAI's speech API."""

from __future__ import annotations

from typing import Annotated

import typer

from oscine.errors import NotAvailable


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0: every network. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0: any that is free. [8000]")] = None,
) -> None:
    """Serve OpenAI's speech API and a page to try it. Settings are environment variables; see docs/api.md."""
    from oscine.config import Settings
    from oscine.synthesis.studio import Studio

    try:
        from oscine.http.logs import to_standard_error
        from oscine.http.serve import serve as run
    except ModuleNotFoundError as error:
        raise NotAvailable(
            f'the server needs {error.name or "a package"}, which is not installed; run: pip install "oscine[serve]"'
        ) from None
    to_standard_error()
    settings = Settings.from_env()
    given = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    settings = settings.model_copy(update=given)
    with Studio(settings) as studio:
        run(studio, host=settings.host, port=settings.port, port_health=settings.port_health)
