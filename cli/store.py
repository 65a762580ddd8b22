"""`ionloop store migrate`, `backup` and `verify`: the care of the database itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.words import size_text
from .console.options import JsonOption, RootOption
from .console.progress import progress

if TYPE_CHECKING:
    from ..store.care.migration import CopyReport
    from ..store.connection import Store

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
        Path | None,
        typer.Option("--from-root", help="Folder of FROM's files. Default: $IONLOOP_ROOT, else beside FROM's file."),
    ] = None,
    to_root: Annotated[
        Path | None,
        typer.Option("--to-root", help="Folder of TO's files. Default: beside TO's file; $IONLOOP_ROOT for a server."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy campaigns with their jobs and files into another store; repeat it to carry on after an interruption.

    Everything is checked by checksums. What TO holds already is not copied again, and never overwritten: content
    that differs ends the command. An archive that `backup` wrote is restored in the same way.
    """
    from ..store.care.migration import copy_store
    from ..store.connection import is_embedded

    # $IONLOOP_ROOT says where a server's files lie, else where FROM's do: two stores must not share a folder.
    is_for_target = to_root is None and not is_embedded(target)
    with (
        _opened(source, from_root, use_environment=not is_for_target) as here,
        _opened(target, to_root, use_environment=is_for_target, new=True) as there,
    ):
        _settle(here)
        with progress("copy") as tell:
            report = copy_store(here, there, campaign, lambda what: tell(stage=what))
    _tell(report, as_json, f"in {there.location}")


def backup(
    store: StoreArgument,
    file: Annotated[Path, typer.Argument(help="The archive to write: .tar, .tar.gz or .tgz.")],
    campaign: CampaignOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a store with its files into one archive; `ionloop store migrate FILE STORE` restores it."""
    from ..store.care.migration import write_backup

    with _opened(store, root) as here:
        _settle(here)
        with progress("backup") as tell:
            report = write_backup(here, file, campaign, lambda what: tell(stage=what))
    _tell(report, as_json, f"in {file}")


def verify(store: SourceArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Read all records, hash all files, follow all references. Exit status 1 if anything is wrong."""
    from ..store.care.verification import verify_store

    with _opened(store, root) as here, progress("verification") as tell:
        found = verify_store(here, tell)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        for name, count in found.counts.items():
            typer.echo(f"{name:<16} {count:>8}  {found.checksums.get(name, '')[:16]}")
        typer.echo(f"{'files':<16} {found.files:>8}  {size_text(found.bytes)}")
        for remark in found.remarks:
            typer.echo(f"note: {remark}")
        for problem in found.problems:
            typer.echo(f"wrong: {problem}", err=True)
        typer.echo("The store is whole." if found.is_whole else f"{len(found.problems)} problem(s).")
    if not found.is_whole:
        raise typer.Exit(1)


@contextmanager
def _opened(location: str, root: Path | None, *, use_environment: bool = True, new: bool = False) -> Iterator[Store]:
    """Open a store, for reading only unless it may be ``new``, or the archive of one."""
    from ..core.errors import InputError
    from ..store.care.migration import is_archive, unpack_backup
    from ..store.connection import open_store

    with tempfile.TemporaryDirectory(prefix="ionloop-backup-") as folder:
        if not is_archive(location):
            opened = open_store(location, root=root, read_only=not new, use_environment=use_environment)
        elif new:
            raise InputError(f"store: {location} is an archive: `ionloop store backup` writes those")
        else:
            opened = unpack_backup(Path(location), Path(folder))
        try:
            yield opened
        finally:
            opened.close()


def _settle(store: Store) -> None:
    """Put the jobs of dead workers back into the queue: a store is copied while nothing of it runs."""
    from ..core.errors import InputError
    from ..store.care.migration import held_jobs
    from ..store.connection import open_store
    from ..workflows.running.lost_jobs import recover_lost_jobs

    if not held_jobs(store):
        return
    try:
        writable = open_store(store.location, root=store.root)
    except InputError:
        # It may only be read: then the jobs stay, and the copy is refused.
        return
    recover_lost_jobs(writable)
    writable.close()


def _tell(report: CopyReport, as_json: bool, where: str) -> None:
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
        return
    for name, one in report.collections.items():
        if one.copied or one.present:
            typer.echo(f"{name:<16} {one.copied:>8} copied {one.present:>8} there already  {one.checksum[:16]}")
    typer.echo(
        f"{report.documents_copied} of {report.documents} documents and {report.files_copied} files "
        f"({size_text(report.bytes_copied)}) were copied; all checksums agree {where}."
    )
