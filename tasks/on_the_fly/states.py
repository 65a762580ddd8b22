"""Models that learn, round by round, as folders of the store; one that is gone is made again from what joined."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import IonloopError
from ...fitting.kinds.registry import MODELS
from ...fitting.models import read_manifest
from ...store.connection import Store
from ..base import JobFailed
from ..fit import ROW_CACHE_FOLDER, build_data_set, labelled_configurations
from .place import FIRST_MODEL, LearningParameters, updates_until

if TYPE_CHECKING:
    from ...fitting.online.driver import LearningCalculator
    from ...fitting.online.in_place import InPlaceModel, Joined


def open_driver(store: Store, parameters: LearningParameters) -> LearningCalculator:
    """Return what drives the walkers of a round."""

    from ...fitting.online.driver import load_driver

    path = parameters.state_path(store, parameters.model_round)
    if not path.exists():
        made_again(store, parameters, parameters.model_round)
    return load_driver(path)


def begin(store: Store, parameters: LearningParameters) -> InPlaceModel:
    """Return the generation's fit as a model that labels can join.

    Raises
    ------
    JobFailed
        If there is no fit.
    """
    record = store.models.get(parameters.model)
    if record is None or not all(store.artefacts.is_there(file) for file in record.files):
        raise JobFailed(
            f"there is no model {parameters.model_kind} that could learn; see `ionloop failures`, then `ionloop retry`"
        )
    folder = store.artefacts.path(record.path)
    return MODELS.get(record.kind_of_model).learning(
        folder,
        read_manifest(folder),
        build_data_set(store, store.data_sets[record.data_set]),
        most_points=parameters.settings.max_sparse_points,
        cache_folder=store.artefacts.path(ROW_CACHE_FOLDER),
    )


def join(store: Store, model: InPlaceModel, labels: Sequence[str]) -> tuple[Joined, str]:
    """Let labels join a model; where they cannot it stays as it is, and the reason is returned."""

    from ...fitting.online.in_place import Joined

    if not labels:
        return Joined(0), ""
    try:
        return model.add(labelled_configurations(store, list(labels))), ""
    except IonloopError as error:
        return Joined(0), str(error)


def made_again(store: Store, parameters: LearningParameters, round_: int) -> InPlaceModel:
    """Return the model of a round whose folder is gone, by the same additions in the same order; the folder is made."""

    from ...fitting.online.in_place import InPlaceModel

    updates = [one for one in updates_until(store, parameters, round_) if one.round > FIRST_MODEL]
    later = [one for one in updates if parameters.state_path(store, one.round).exists()]
    first = later[-1].round if later else FIRST_MODEL
    path = parameters.state_path(store, first)
    model = InPlaceModel.load(path) if path.exists() else begin(store, parameters)
    for update in updates:
        if update.round > first and not update.problem:
            join(store, model, [one.label for one in update.frames if one.joined])
    keep(model, parameters.state_path(store, round_))
    return model


def keep(model: InPlaceModel, path: Path) -> None:
    """Write the folder of a model, whole or not at all; two that make the same one do not meet."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        model.save(own)
        own.rename(path)
    except OSError:
        # Somebody else was first: theirs is the same.
        if not path.exists():
            raise
    finally:
        shutil.rmtree(own, ignore_errors=True)


def forget(store: Store, parameters: LearningParameters, before: int) -> None:
    """Remove the folders of the models of rounds before one: nobody walks with them any more."""
    folder = parameters.state_path(store, 0).parent
    for path in folder.glob("round-*") if folder.exists() else ():
        if int(path.name.removeprefix("round-")) < before:
            shutil.rmtree(path, ignore_errors=True)
    if folder.exists() and not any(folder.glob("round-*")):
        shutil.rmtree(folder, ignore_errors=True)
