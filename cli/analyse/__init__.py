"""`ionloop analyse`: one analysis of a file, without a campaign.

One module per kind of analysis, each with ``register(app)``.
"""

from __future__ import annotations

import typer

from . import barriers, conductivity, energy_volume, frenkel, hops, locality

analyse_app = typer.Typer(
    name="analyse", help="Analyse a trajectory, a structure or a model without a campaign.", no_args_is_help=True
)


for _module in (conductivity, hops, barriers, locality, frenkel, energy_volume):
    _module.register(analyse_app)


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    app.add_typer(analyse_app)
