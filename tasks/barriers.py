"""Barrier jobs: one band per path and model, single points of everything else on its images, and the barriers."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from pydantic import Field

from ..analysis.barriers.bands import Profile, evaluate, profile, relax_band
from ..analysis.barriers.checkpoints import Checkpoint, CheckpointRefused
from ..analysis.barriers.settings import BarrierSettings
from ..analysis.electric_field import dipole_difference_eA
from ..analysis.hops.hop_paths import together
from ..core.arrays import FloatArray
from ..core.errors import InputError
from ..core.settings import FrozenModel
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import Artefact, ResultRecord
from .base import IonloopTask, JobFailed, Outcome, TaskParameters
from .context import TaskContext
from .fields import charges_in_field
from .hops import ends_of, relaxed_ends
from .model_uncertainty.intervals import Posteriors, path_interval_values
from .results import Potential, ResultTask, known_result, load_arrays, new_result, open_potential, save_arrays
from .values.barriers import (
    BAND_POINTS,
    BANDS,
    BARRIERS,
    HOP_ENDS,
    BandPointsValues,
    BandValues,
    BarrierValues,
    PathValues,
    PotentialOnPathValues,
)

logger = logging.getLogger(__name__)

BARRIER_KIND = BARRIERS.name
BAND_KIND = BANDS.name
POINTS_KIND = BAND_POINTS.name
FOLDER = "barriers"


class BandParameters(TaskParameters):
    """A path by its slot among the chosen ones, and the potential that it is a path of."""

    ends: str
    slot: str
    mobile: str
    potential: Potential
    settings: BarrierSettings

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        settings = self.settings
        asked = [settings.band_of_images.model_dump(mode="json"), settings.relaxation.model_dump(mode="json")]
        return identifier(
            "result",
            BAND_KIND,
            self.campaign,
            self.ends,
            self.slot,
            self.potential.identity,
            settings.distinct_A,
            asked,
        )


class BandTask(ResultTask):
    """Relax the ends with the potential and find the minimum-energy path between them."""

    _fw_name = "ionloop.barrier-band"
    resumable = True
    parameters_type = BandParameters
    measured_as = BAND_KIND

    def compute(self, parameters: BandParameters, context: TaskContext) -> ResultRecord:
        """Find the path; a killed band goes on from its last checkpoint."""
        store, name = context.store, parameters.identifier
        ends = ends_of(store, parameters.ends, parameters.slot)
        artefacts: dict[str, Artefact] = {}
        if ends is None:
            values = _no_path(parameters, "there is no hop for this path: see the job analysis/barriers/ends")
        else:
            values, arrays = _find_path(parameters, ends, context)
            if arrays:
                artefacts["band"] = save_arrays(store, FOLDER, name, arrays)
        return new_result(
            parameters,
            name,
            BANDS,
            parameters.potential,
            inputs=[parameters.ends],
            values=values,
            artefacts=artefacts,
        )


def _no_path(parameters: BandParameters, reason: str) -> BandValues:
    return BandValues(slot=parameters.slot, converged=False, steps=0, reason=reason)


def _find_path(
    parameters: BandParameters, ends: tuple[Atoms, Atoms], context: TaskContext
) -> tuple[BandValues, dict[str, NDArray[Any]]]:
    """Return values and arrays of the band; no arrays where the ends are no two minima of this potential."""
    settings, scratch = parameters.settings, context.scratch(parameters.identifier)
    calculator = open_potential(context.store, parameters.potential)
    initial, final, reason = relaxed_ends(
        *ends, calculator, settings.relaxation, mobile=parameters.mobile, scratch=scratch
    )
    reason = reason or together(initial, final, parameters.mobile, settings.distinct_A)
    if reason:
        return _no_path(parameters, reason), {}
    # The folder's name says which ends, model and settings the state belongs to.
    checkpoint = Checkpoint(scratch / "band.npz")
    relax = partial(
        relax_band,
        initial,
        final,
        calculator,
        settings.band_of_images,
        checkpoint=checkpoint,
        progress=context.report_progress,
    )
    try:
        band = relax()
    except CheckpointRefused as error:
        # What cannot be gone on with must not keep the path from being found.
        logger.warning("%s; the band starts anew", error)
        checkpoint.path.unlink()
        band = relax()
    values = BandValues(
        slot=parameters.slot,
        converged=band.converged,
        steps=band.steps,
        largest_force_eV_per_A=band.largest_force_eV_per_A,
        reason=band.reason,
    )
    arrays = {
        "positions": band.positions,
        "energies": band.energies,
        "forces": band.forces,
        "numbers": initial.numbers,
        "cell": initial.cell.array,
    }
    return values, arrays


class PointsParameters(TaskParameters):
    """A path, the potential that computes its images, and which of them (None: all)."""

    band: str
    potential: Potential
    image: int | None = None

    @property
    def identifier(self) -> str:
        """The identifier of the result: known before it is computed."""
        return identifier("result", POINTS_KIND, self.band, self.potential.identity, self.image)


class PointsTask(ResultTask):
    """Compute energies and forces of a path's images with another potential."""

    _fw_name = "ionloop.barrier-points"
    parameters_type = PointsParameters
    measured_as = POINTS_KIND

    def execute(self, parameters: PointsParameters, context: TaskContext) -> Outcome:
        """Compute the images, if there is a path, unless the store has them whole."""
        band = self._band(parameters, context)
        if "band" not in band.artefacts:
            return Outcome(reason=f"there is no path: {BANDS.read(band).reason}")
        return super().execute(parameters, context)

    @staticmethod
    def _band(parameters: PointsParameters, context: TaskContext) -> ResultRecord:
        band = known_result(context.store, parameters.band)
        if band is None:
            raise JobFailed("the path was not searched for: see the job of its band")
        return band

    def compute(self, parameters: PointsParameters, context: TaskContext) -> ResultRecord:
        """Compute the images of the path."""
        store = context.store
        arrays = load_arrays(store, self._band(parameters, context).artefacts["band"])
        chosen = range(len(arrays["positions"])) if parameters.image is None else [parameters.image]
        calculator = open_potential(store, parameters.potential)
        found = [
            evaluate(
                Atoms(numbers=arrays["numbers"], positions=arrays["positions"][i], cell=arrays["cell"], pbc=True),
                calculator,
            )
            for i in chosen
        ]
        points = {
            "images": np.array(list(chosen)),
            "energies": np.array([energy for energy, _ in found]),
            "forces": np.array([forces for _, forces in found]),
        }
        return new_result(
            parameters,
            parameters.identifier,
            BAND_POINTS,
            parameters.potential,
            inputs=[parameters.band],
            values=BandPointsValues(images=len(found)),
            artefacts={"points": save_arrays(store, FOLDER, parameters.identifier, points)},
        )


class PathParts(FrozenModel):
    """The results that one path's barriers are made of."""

    slot: str
    potential: Potential
    band: str
    points: dict[str, list[str]] = Field(description="results of single points, by kind of potential")


class BarriersParameters(TaskParameters):
    """All paths of the campaign and the record of their ends."""

    ends: str
    paths: list[PathParts]


class BarriersTask(IonloopTask):
    """Fit the energies along every path and record the barriers."""

    _fw_name = "ionloop.barriers"
    parameters_type = BarriersParameters

    def execute(self, parameters: BarriersParameters, context: TaskContext) -> Outcome:
        """Record what there is; a potential whose single points are missing is left out and named."""
        store = context.store
        ends = known_result(store, parameters.ends)
        if ends is None:
            raise JobFailed("the ends of the paths were not relaxed: see the job analysis/barriers/ends")
        paths, recorded = HOP_ENDS.read(ends), []
        posteriors = Posteriors(store)
        for path in parameters.paths:
            band = known_result(store, path.band)
            hop = paths.slots.get(path.slot)
            if hop is None or band is None:
                continue
            record = new_result(
                parameters,
                identifier("result", BARRIER_KIND, parameters.campaign, path.model_dump(mode="json")),
                BARRIERS,
                path.potential,
                inputs=[path.band, *(name for names in path.points.values() for name in names)],
                values=_values(store, path, hop, band, posteriors),
                artefacts=band.artefacts,
            )
            store.results.replace(record)
            recorded.append(record.id)
        return Outcome(reason=paths.reason, outputs={"results": recorded})


def _values(
    store: Store, path: PathParts, hop: PathValues, band: ResultRecord, posteriors: Posteriors
) -> BarrierValues:
    """Return the energies and barriers of every potential along one path."""
    coordinate_A: tuple[float, ...] = ()
    potentials: dict[str, PotentialOnPathValues] = {}
    missing: list[str] = []
    dipole_eA: tuple[float, float, float] | None = None
    if "band" in band.artefacts:
        arrays = load_arrays(store, band.artefacts["band"])
        positions = arrays["positions"]
        own = profile(positions, arrays["energies"], arrays["forces"])
        coordinate_A = tuple(own.coordinate_A.tolist())
        atoms = Atoms(numbers=arrays["numbers"], cell=arrays["cell"], pbc=True)

        def numbers(model: str | None, found: Profile) -> PotentialOnPathValues:
            return _numbers(found, path_interval_values(posteriors.of(model), atoms, positions, found))

        potentials[path.potential.kind] = numbers(path.potential.model, own)
        for kind, names in path.points.items():
            points = _points(store, names, len(positions))
            if points is None:
                missing.append(kind)
            else:
                potentials[kind] = numbers(store.results[names[0]].model, profile(positions, *points))
        dipole_eA = _saddle_dipole_eA(store, path.potential, arrays, own)
    search = BANDS.read(band)
    return BarrierValues(
        **dict(hop),
        slot=path.slot,
        converged=search.converged,
        reason=search.reason,
        coordinate_A=coordinate_A,
        potentials=potentials,
        missing=tuple(missing),
        saddle_dipole_eA=dipole_eA,
    )


def _saddle_dipole_eA(
    store: Store, potential: Potential, arrays: dict[str, NDArray[Any]], own: Profile
) -> tuple[float, float, float] | None:
    """Return how much farther the maximum of a path is polarised than its first image; None where no field can act.

    Both are stationary: minus this is the slope of the barrier with a field.
    """

    from scipy.interpolate import CubicSpline

    try:
        charges = charges_in_field(store, potential)
        acted_on = open_potential(store, potential) if charges is None else charges
        images = [
            Atoms(numbers=arrays["numbers"], positions=positions, cell=arrays["cell"], pbc=True)
            for positions in arrays["positions"]
        ]
        dipoles = np.array([dipole_difference_eA(image, images[0], acted_on) for image in images])
    except (JobFailed, InputError):
        return None
    x, y, z = CubicSpline(own.coordinate_A, dipoles)(own.maximum_A).tolist()
    return x, y, z


def _points(store: Store, names: list[str], images: int) -> tuple[FloatArray, FloatArray] | None:
    """Return energies [n_images] and forces of all images, None where some are missing."""
    energies: dict[int, float] = {}
    forces: dict[int, FloatArray] = {}
    for name in names:
        record = known_result(store, name)
        if record is None:
            return None
        arrays = load_arrays(store, record.artefacts["points"])
        for image, energy, force in zip(arrays["images"], arrays["energies"], arrays["forces"], strict=True):
            energies[int(image)], forces[int(image)] = float(energy), force
    if len(energies) < images:
        return None
    return np.array([energies[i] for i in range(images)]), np.array([forces[i] for i in range(images)])


def _numbers(found: Profile, intervals: dict[str, Any]) -> PotentialOnPathValues:
    return PotentialOnPathValues(
        energies_eV=tuple(found.energies_eV.tolist()),
        curve_coordinate_A=tuple(found.curve_coordinate_A.tolist()),
        curve_energies_eV=tuple(found.curve_energies_eV.tolist()),
        forward_eV=found.forward_eV,
        reverse_eV=found.reverse_eV,
        maximum_A=found.maximum_A,
        fit_error_eV=found.fit_error_eV,
        **intervals,
    )
