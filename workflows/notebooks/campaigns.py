"""Campaigns and stores in a notebook: checked, run, looked at, queried."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .html import facts, paragraph, table
from .models import Model

if TYPE_CHECKING:
    import pandas

    from ...store.connection import Store
    from ..submission.cost import CampaignCost
    from ..watching.status import CampaignStatus


class Campaign:
    """A campaign: of a file, or of a store that holds it.

    Parameters
    ----------
    file
        The campaign file; it is read and checked at once.
    store
        Where the campaign is kept; None: beside its file.

    Raises
    ------
    InputError
        With every error of the file.
    """

    def __init__(self, file: str | Path, store: str | Path | None = None) -> None:
        from ...store.connection import default_location
        from ..submission.campaign_file import read_campaign

        self.file: Path | None = Path(file)
        self.settings: Any = read_campaign(self.file)
        self.name: str = self.settings.name
        self.location = str(store or default_location(self.file.absolute().parent))

    @classmethod
    def of_store(cls, location: str, name: str) -> Self:
        """Return a campaign that is in a store, whether its file is still there or not."""
        made = cls.__new__(cls)
        made.file, made.settings, made.name, made.location = None, None, name, location
        return made

    def cost(self) -> CampaignCost:
        """Return what the campaign will ask of the machine.

        Raises
        ------
        InputError
            If it was opened without its file.
        """
        from ..submission.campaign_file import load_structures
        from ..submission.cost import campaign_cost

        return campaign_cost(self.settings, load_structures(self.settings, self._file().parent))

    def outline(self) -> str:
        """Return what will run, as a drawing of text."""
        from ..submission.outline import outline

        return "\n".join(outline(self.settings, self.cost()))

    def run(self, workers: int | None = None, watch: Callable[[CampaignStatus], None] | None = None) -> CampaignStatus:
        """Run the campaign here until it ends, and return where it stands; what is done is not done again.

        Parameters
        ----------
        workers
            Processes; None: as many as there are cores.
        watch
            Told where it stands, at most twice a second.
        """
        from ...store.connection import open_store
        from ..submission.campaign_file import load_structures
        from ..submission.submission import submit
        from ..watching.supervisor import Supervisor

        file = self._file()
        count = workers or len(os.sched_getaffinity(0))
        store = open_store(self.location, guess_root=False)
        try:
            submit(store, self.settings, load_structures(self.settings, file.parent), file)
            keeper = Supervisor(store, count, self.settings.stop.max_attempts, campaign=self.name)
            return keeper.run(watch or (lambda _: None))
        finally:
            store.close()

    def status(self) -> CampaignStatus:
        """Return where the campaign stands.

        Raises
        ------
        InputError
            If it is not in its store yet.
        """
        from ..watching.status import campaign_status

        with OpenStore(self.location) as opened:
            return campaign_status(opened.store, self.name)

    def results(self, *filters: str) -> pandas.DataFrame:
        """Return the campaign's results, one row each; units are in ``attrs["units"]``."""
        with OpenStore(self.location) as opened:
            return opened.query("results", *filters, campaign=self.name)

    def models(self) -> Mapping[str, Model]:
        """Return the final models by their names; empty while there are none."""
        from ...store.queries.latest import latest
        from ...tasks.values.loop import CONCLUSION, CONCLUSIONS

        with OpenStore(self.location) as opened:
            found = latest(opened.store, self.name, CONCLUSION)
            if found is None:
                return {}
            models = CONCLUSIONS.read(found).models
            paths = {name: opened.store.artefacts.path(opened.store.models[one].path) for name, one in models.items()}
        return {name: Model(path) for name, path in paths.items()}

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one self-contained HTML file, and return its path."""
        from ..report.page import write_report

        with OpenStore(self.location) as opened:
            return write_report(opened.store, self.name, Path(path or f"{self.name}-report.html").absolute())

    def _file(self) -> Path:
        from ...core.errors import InputError

        if self.file is None:
            raise InputError(
                f"the campaign {self.name} was opened from its store: ionloop.Campaign(FILE) knows its file"
            )
        return self.file

    def __repr__(self) -> str:
        return f"<ionloop campaign {self.name} in {self.location}>"

    def _repr_html_(self) -> str:
        from ...core.errors import InputError

        try:
            status = self.status()
        except InputError:
            return facts(f"Campaign {self.name}", [("file", self.file), ("state", "not in its store yet")])
        return status_html(status)


def status_html(status: CampaignStatus) -> str:
    """Return where a campaign stands, with the errors of its generations."""
    shown = facts(
        f"Campaign {status.name}",
        [
            ("state", f"{status.state.value}{': ' if status.reason else ''}{status.reason}"),
            ("generation", f"{status.generation} of at most {status.max_generations}"),
            ("jobs", ", ".join(f"{count} {state}" for state, count in status.jobs.items()) or "none"),
        ],
    )
    kinds = sorted({kind for one in status.generations for kind in one.force_rmse})
    rows = [
        (one.generation, f"{one.labels_finished}/{one.labels}", *(_milli(one.force_rmse.get(kind)) for kind in kinds))
        for one in status.generations
    ]
    columns = ["generation", "labels", *(f"{kind}: force error, meV/Å" for kind in kinds)]
    return shown + (table(columns, rows) if rows else "")


def _milli(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:.0f}"


class OpenStore:
    """A store that is only read: its campaigns and its records.

    Parameters
    ----------
    location
        A file (embedded) or a ``mongodb://`` URI; None: as the commands find it.

    Raises
    ------
    InputError
        If there is none.
    """

    def __init__(self, location: str | Path | None = None) -> None:
        from ...store.connection import open_store

        self.store: Store = open_store(None if location is None else str(location), read_only=True, must_exist=True)

    @property
    def campaigns(self) -> tuple[str, ...]:
        """The names of its campaigns."""
        return tuple(record.id for record in self.store.campaigns.find())

    def campaign(self, name: str | None = None) -> Campaign:
        """Return a campaign; the only one where none is named.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        from ...store.campaigns import find_campaign

        return Campaign.of_store(self.store.location, find_campaign(self.store, name).id)

    def query(self, kind: str = "results", *filters: str, campaign: str | None = None) -> pandas.DataFrame:
        """Return records as a data frame, as `ionloop query` does; units are in ``attrs["units"]``.

        Parameters
        ----------
        kind
            Of the records: configurations, labels, models, trajectories, results, campaigns or data-sets.
        filters
            ``FIELD=VALUE``, also with ``!= < <= > >= ~ !~``.
        """
        from ...store.queries.filters import parse_filters
        from ...store.queries.record_tables import select_records
        from ...store.queries.rows import Query

        selection = select_records(
            self.store, Query(kind, campaign, None, None, None, None), parse_filters(list(filters))
        )
        return selection.rows().to_dataframe()

    def close(self) -> None:
        """Close it."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ionloop store {self.store.location}: {', '.join(self.campaigns) or 'no campaign'}>"

    def _repr_html_(self) -> str:
        from ..watching.status import campaign_status

        found = [campaign_status(self.store, name) for name in self.campaigns]
        rows = [(one.name, one.state.value, one.generation, one.reason) for one in found]
        return paragraph(f"Store {self.store.location}") + table(["campaign", "state", "generation", "reason"], rows)
