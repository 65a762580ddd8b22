"""Fitted potentials in a notebook: fitted from a file of labels, loaded from a folder, measured on data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .html import facts, table

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ...analysis.errors.model_errors import ModelErrors
    from ...fitting.models import ModelManifest


class Model:
    """A potential in its folder.

    Parameters
    ----------
    folder
        Of the model, or the XML file of a GAP of any origin.

    Raises
    ------
    InputError
        If there is no such model, or it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        from ...fitting.models import load_model, read_manifest

        self.folder = Path(folder).expanduser().resolve()
        # What cannot be loaded is told now, not when it is first asked.
        load_model(self.folder)
        self.manifest: ModelManifest | None = read_manifest(self.folder) if self.folder.is_dir() else None

    def calculator(self, backend: str | None = None) -> Calculator:
        """Return a new ASE calculator: energy (eV), forces (eV/Å), stress (eV/Å³)."""
        from ...fitting.models import load_model

        return load_model(self.folder, verify=False, backend=backend)

    def evaluate(self, data: str | Path) -> ModelErrors:
        """Return the errors on a file of labelled configurations (eV/atom, eV/Å).

        Raises
        ------
        InputError
            If the file cannot be used.
        """
        from ...analysis.errors.statistics import evaluate_errors
        from ...fitting.reading import read_labels

        return evaluate_errors(self.calculator(), read_labels(Path(data)).data_set.configurations)

    def __repr__(self) -> str:
        kind = "GAP" if self.manifest is None else self.manifest.kind
        return f"<ionloop model: {kind} in {self.folder}>"

    def _repr_html_(self) -> str:
        one = self.manifest
        if one is None:
            return facts(f"GAP in {self.folder}", [])
        shown = facts(
            f"{one.kind} in {self.folder}",
            [
                ("elements", ", ".join(one.elements)),
                ("configurations", f"{one.configurations:,}"),
                ("fitted to", f"{one.target_energies:,} energies, {one.target_forces:,} force components"),
                ("fitted by", f"{one.backend}, in {one.wall_time_s:.1f} s"),
            ],
        )
        rows = [
            (name, _milli(errors.energy_eV_per_atom), _milli(errors.force_eV_per_A))
            for name, errors in (("training", one.training_errors), ("left out", one.leave_out_errors))
            if errors is not None
        ]
        return shown + (table(["errors", "energy, meV/atom", "forces, meV/Å"], rows) if rows else "")


def _milli(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:.3g}"


def fit(
    data: str | Path,
    folder: str | Path,
    kind: str = "gap",
    settings: str | Path | None = None,
    *,
    seed: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Model:
    """Fit a potential to a file of labelled configurations, as `ionloop fit` does; a whole model is not fitted again.

    Parameters
    ----------
    data
        An extended-XYZ file.
    folder
        Of the model; must not hold anything else.
    kind
        Of the model, or its name in the file of settings.
    settings
        YAML file with the sections gap, baseline and models of a campaign file, those that matter.
    seed
        Of the choice of sparse points.
    progress
        Told the stage of the fit, and how many parts of how many are done.

    Raises
    ------
    InputError
        If data or settings cannot be used.
    """
    from ...fitting.consistency import check_one_reference
    from ...fitting.gap_fit import FitLimits
    from ...fitting.models import fit_model
    from ...fitting.reading import read_labels
    from ...fitting.reading.isolated import stand_in
    from ..campaign.baseline_charges import baseline_of_data
    from ..campaign.models import model_called
    from ..campaign.settings import Campaign
    from ..campaign.settings_match import check_settings_match
    from ..submission.campaign_file import read_hyperparameters

    data_set, _ = stand_in(read_labels(Path(data)).data_set)
    check_one_reference(data_set.configurations, (), remedy="")
    campaign = Campaign(name="fit", structure="none") if settings is None else read_hyperparameters(Path(settings))
    if settings is not None:
        check_settings_match(Path(settings), campaign, data_set)
    chosen, hyperparameters = model_called(campaign, kind)
    baseline = None
    if chosen.needs_baseline:
        baseline, _ = baseline_of_data(campaign, data_set, seed, (chosen, hyperparameters))
    tell = None if progress is None else (lambda far: progress(far.stage, far.done, far.total))
    place = Path(folder).expanduser().resolve()
    fit_model(chosen.name, data_set, hyperparameters, baseline, place, seed=seed, limits=FitLimits(progress=tell))
    return Model(place)
