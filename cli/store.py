"""`ionloop store migrate`, `backup` and `verify`: the care of the database itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, RootOption

if TYPE_CHECKING:
    from ..store.connection import Store
    from ..store.migration import CopyReport

SourceArgument = Annotated[str, typer.Argument(metavar="FROM", help="A store, or the archive of a backup.")]
StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="A file (embedded) or a mongodb:// URI.")]
CampaignOption = Annotated[str | None, typer.Option("--campaign", help="Only this campaign. Default: all.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(help="Copy, back up and check a store.", no_args_is_help=True)
    group.command("migrate")(migrate)
    group.command("backup")(backup)
    group.command("verify")(verify)
    app.add_typer(group, name="store")


def migrate(
    source: SourceArgument,
    target: Annotated[str, typer.Argument(metavar="TO", help="A file (made if it is new) or a mongodb:// URI.")],
    campaign: CampaignOption = None,
    from_root: Annotated[
        Path | None, typer.Option("--from-root", help="Folder of FROM's files. Default: $IONLOOP_ROOT for a server.")
    ] = None,
    to_root: Annotated[
        Path | None, typer.Option("--to-root", help="Folder of TO's files. Default: $IONLOOP_ROOT for a server.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy campaigns with their jobs and files into another store; repeat it to carry on after an interruption.

    Everything is checked by checksums. What TO holds already is not copied again, and never overwritten: content
    that differs ends the command. An archive that `backup` wrote is restored in the same way.
    """
    from ..store.migration import copy_store

    with _opened(source, from_root) as here, _opened(target, to_root, new=True) as there:
        _settle(here)
        report = copy_store(here, there, campaign)
    _tell(report, as_json, f"in {there.location}")


def backup(
    store: StoreArgument,
    file: Annotated[Path, typer.Argument(help="The archive to write: .tar, .tar.gz or .tgz.")],
    campaign: CampaignOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a store with its files into one archive; `ionloop store migrate FILE STORE` restores it."""
    from ..store.migration import write_backup

    with _opened(store, root) as here:
        _settle(here)
        report = write_backup(here, file, campaign)
    _tell(report, as_json, f"in {file}")


def verify(store: SourceArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Read all records, hash all files, follow all references. Exit status 1 if anything is wrong."""
    from ..store.verification import verify_store

    with _opened(store, root) as here:
        found = verify_store(here)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        for name, count in found.counts.items():
            typer.echo(f"{name:<16} {count:>8}  {found.checksums.get(name, '')[:16]}")
        typer.echo(f"{'files':<16} {found.files:>8}  {found.bytes / 2**20:.1f} MiB")
        for problem in found.problems:
            typer.echo(f"wrong: {problem}", err=True)
        typer.echo("The store is whole." if found.is_whole else f"{len(found.problems)} problem(s).")
    if not found.is_whole:
        raise typer.Exit(1)


@contextmanager
def _opened(location: str, root: Path | None, *, new: bool = False) -> Iterator[Store]:
    """Open a store or the archive of one."""
    from ..errors import InputError
    from ..store.connection import default_root, is_embedded, open_store
    from ..store.migration import is_archive, unpack_backup

    with tempfile.TemporaryDirectory(prefix="ionloop-backup-") as folder:
        if is_archive(location):
            if new:
                raise InputError(f"store: {location} is an archive: `ionloop store backup` writes those")
            opened = unpack_backup(Path(location), Path(folder))
        else:
            # IONLOOP_ROOT says where a server's files lie; two stores of one command must not share it.
            beside = Path(location).with_name(f"{Path(location).stem}-files") if is_embedded(location) else None
            opened = open_store(location, root=root or beside or default_root(location), must_exist=not new)
        try:
            yield opened
        finally:
            opened.close()


def _settle(store: Store) -> None:
    """Put the jobs of dead workers back into the queue: a store is copied while nothing of it runs."""
    from ..workflows.worker import recover_lost_jobs

    recover_lost_jobs(store)


def _tell(report: CopyReport, as_json: bool, where: str) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
        return
    for name, one in report.collections.items():
        if one.copied or one.present:
            typer.echo(f"{name:<16} {one.copied:>8} copied {one.present:>8} there already  {one.checksum[:16]}")
    typer.echo(
        f"{report.documents_copied} of {report.documents} documents and {report.files_copied} files "
        f"({report.bytes_copied / 2**20:.1f} MiB) were copied; all checksums agree {where}."
    )
