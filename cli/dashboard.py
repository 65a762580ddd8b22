"""`ionloop dashboard`: campaigns, configurations, models and results in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console.options import RootOption, StoreOption, existing_store

# As in deploy.dashboard.settings, which the help must not wait for.
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8484


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("dashboard")(dashboard)


def dashboard(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine's need a token.")
    ] = _DEFAULT_HOST,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any free one.")] = _DEFAULT_PORT,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token that viewers must show (or $IONLOOP_DASHBOARD_TOKEN)."),
    ] = None,
    store: StoreOption = None,
    root: RootOption = None,
) -> None:
    """Show the store in a browser, read-only; it follows what runs. From elsewhere: ssh -L 8484:127.0.0.1:8484 HOST."""
    try:
        from ..deploy.dashboard.app import create_app, warm_up
        from ..deploy.dashboard.pages.shared import READER
        from ..deploy.dashboard.server import make_server
    except ModuleNotFoundError as error:
        if error.name != "flask":
            raise
        from ..core.errors import InputError

        raise InputError("the dashboard needs the package flask: pip install flask") from error
    from ..deploy.dashboard.settings import DashboardSettings, read_token

    settings = DashboardSettings(host=host, port=port, token=read_token(token_file))
    opened = existing_store(store, root, read_only=True)
    try:
        application = create_app(opened, settings)
        server = make_server(application, settings)
        warm_up(application)
        shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
        typer.echo(f"Dashboard of {opened.location}: http://{shown}:{server.port}/  (Ctrl-C ends it)")
        if settings.token:
            typer.echo("Viewers are asked for the token once.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("")
        finally:
            server.server_close()
            application.extensions[READER].close()
    finally:
        opened.close()
