"""Predictions of a model beside the labels that it was assessed on: recorded once, when it is assessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..analysis.errors.statistics import ParityData
from ..core.arrays import FloatArray
from ..core.errors import IonloopError
from ..core.files import atomic_file
from ..core.names import PARITY
from ..store.connection import Store
from ..store.identifiers import identifier
from ..store.records import ModelRecord, ResultRecord
from .base import TaskParameters
from .results import new_result
from .values.loop import PREDICTIONS, PredictionValues


def predictions_identifier(model: str | None, labels: Sequence[str]) -> str:
    """Return the identifier of the predictions of a model for these labels."""
    return identifier("result", PARITY, model, list(labels))


def predictions_path(store: Store, name: str) -> Path:
    """Return where the predictions of that identifier are."""
    return store.artefacts.path(Path(PARITY) / f"{name}.npz")


def record_predictions(
    store: Store, place: TaskParameters, model: ModelRecord, subset: str, labels: list[str], data: ParityData
) -> None:
    """Write predictions to a file of the store, then their record."""
    name = predictions_identifier(model.id, labels)
    path = predictions_path(store, name)
    write_parity(path, data)
    store.results.replace(
        new_result(
            place,
            name,
            PREDICTIONS,
            model,
            inputs=labels,
            values=PredictionValues(subset=subset, artefact=store.artefacts.register(path)),
            units={"energies": "eV/atom", "forces": "eV/Å"},
        )
    )


def write_parity(path: Path, data: ParityData, more: Mapping[str, FloatArray] = MappingProxyType({})) -> None:
    """Write parity data, and ``more`` arrays beside them, to a file of NumPy arrays, whole or not at all."""
    arrays = {field.name: getattr(data, field.name) for field in fields(ParityData)}
    arrays = {name: values for name, values in {**arrays, **more}.items() if values is not None}
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_parity(path: Path) -> ParityData:
    """Return the parity data of a file.

    Raises
    ------
    IonloopError
        If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            # Only what has a default may be missing.
            known = [one.name for one in fields(ParityData) if one.default is MISSING or one.name in arrays]
            return ParityData(**{name: arrays[name] for name in known})
    except (OSError, ValueError, KeyError) as error:
        raise IonloopError(f"{path} is damaged: {error}") from error


def model_parity(store: Store, errors: ResultRecord) -> ParityData:
    """Return labels and predictions of the model and the labels that ``errors`` was measured on.

    Raises
    ------
    IonloopError
        If they were not recorded (by an earlier release), or the file is gone or damaged.
    """
    name = predictions_identifier(errors.model, errors.inputs)
    if store.results.get(name) is None:
        raise IonloopError("its predictions were not recorded when it was assessed")
    return read_parity(predictions_path(store, name))
