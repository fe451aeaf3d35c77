"""``wattbook migrate`` and ``wattbook db``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

from wattbook_cli.api.terminal import say
from wattbook_cli.domain.desk import STORES
from wattbook_cli.domain.roles import roles_script
from wattbook_cli.usecases.migrate import migrate_stores, tell_restored

_data = click.option(
    "--data", type=click.Path(path_type=Path), default="./data", show_default=True, help="The data folder."
)
_only = click.option(
    "--only", multiple=True, type=click.Choice(list(STORES)), help="These stores only; may be given again."
)


@click.command()
@_data
@_only
@click.pass_obj
def migrate(environment: Mapping[str, str], data: Path, only: tuple[str, ...]) -> None:
    """Bring the schema of every service's store up to date, and say what was done.

    WATTBOOK_TRADE_STORE_URL and so on name the stores; else they are those of the data folder. Safe to run
    again, from several places at once, and while services run.
    """
    migrate_stores(only or tuple(STORES), data=data, environment=environment, say=say)


@click.group()
def db() -> None:
    """For who administers the stores."""


@db.command()
@_only
def roles(only: tuple[str, ...]) -> None:
    """Print the SQL that makes a database and two roles a service, for psql.

    WATTBOOK_TRADE_OWNER_PASSWORD, WATTBOOK_TRADE_APP_PASSWORD and so on, in the environment of psql, are set
    as passwords.
    """
    click.echo(roles_script(only or tuple(STORES)), nl=False)


@db.command()
@click.argument("since", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]))
@_data
@_only
@click.pass_obj
def restored(environment: Mapping[str, str], since: datetime, data: Path, only: tuple[str, ...]) -> None:
    """After a restore: make good that the stores are as they were at SINCE, 2026-11-28T21:00:00Z for one.

    The book begins a new history, so that readers start afresh; all sessions end; what the exchange's feed
    told since is booked again. Stores are named as for `wattbook migrate`.
    """
    tell_restored(
        only or tuple(STORES), f"{since:%Y-%m-%dT%H:%M:%SZ}", data=data, environment=environment, say=say
    )
