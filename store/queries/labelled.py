"""Records as structures with their labels, for fits and extended XYZ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ...core.names import ISOLATED_ATOM, ISOLATED_ATOM_CELL_A, ISOLATED_ATOM_TYPE
from ...core.states import State
from ...fitting.consistency import reference_name
from ...fitting.data_sets import LabelledConfiguration
from ...fitting.label_weights import LabelWeights
from ...fitting.settings import Regularisation
from ...labelling.outcome import Evaluation, optional_array
from ...labelling.versions import NOT_KNOWN, version_that_counts
from ..connection import Store
from ..records import ConfigurationRecord, DataSetRecord, LabelRecord
from .rows import QueryResult, labels_by_configuration

EXTXYZ_KINDS = ("configurations", "labels", "data-sets")


def reference_of(label: LabelRecord) -> str:
    """Return the name of the reference of a label, with its version where that counts and is known."""
    version = version_that_counts(label.engine, label.engine_version)
    return reference_name(label.engine, label.settings_hash, "" if version == NOT_KNOWN else version)


def labelled(configuration: ConfigurationRecord, label: LabelRecord) -> LabelledConfiguration:
    """Return a configuration with the data of its finished label; the configuration type is its sampler.

    That of an audit set, on which no model is fitted, is ``audit``.

    Isolated atoms get a cell that readers need, zero forces and the type that fitting programs look for.

    Raises
    ------
    ValueError
        If the label is not finished.
    """
    if configuration.origin.sampler == ISOLATED_ATOM and label.state is State.FINISHED:
        atoms = configuration.atoms
        atoms.set_cell(np.eye(3) * ISOLATED_ATOM_CELL_A)
        return LabelledConfiguration(
            atoms,
            label.energy or 0.0,
            np.zeros((1, 3)),
            None,
            label.id,
            config_type=ISOLATED_ATOM_TYPE,
            labelled_by=reference_of(label),
            **_weights(label),
        )
    found = evaluation_of(label)
    return LabelledConfiguration(
        configuration.atoms,
        found.energy,
        found.forces,
        found.stress,
        label.id,
        config_type=configuration.purpose or configuration.origin.sampler,
        labelled_by=reference_of(label),
        **_weights(label),
    )


def evaluation_of(label: LabelRecord) -> Evaluation:
    """Return what the reference computed for a finished label.

    Raises
    ------
    ValueError
        If the label is not finished: it must never be counted as data.
    """
    if label.state is not State.FINISHED or label.energy is None or label.forces is None:
        raise ValueError(f"label {label.id} is {label.state.value}, it holds no data")
    return Evaluation.from_document(label.model_dump(include={"energy", "forces", "stress", "charges", "dipole"}))


def _weights(label: LabelRecord) -> dict[str, Any]:
    """Return what weighs a label, by the names of `LabelledConfiguration`."""
    return {
        "weights": None if label.weights is None else LabelWeights.from_document(label.weights),
        "regularisation": None if label.regularisation is None else Regularisation(**label.regularisation),
    }


Frame: TypeAlias = LabelledConfiguration | Atoms


def frames(store: Store, result: QueryResult) -> Iterator[Frame]:
    """Yield the structures of the records: with labels where those are finished, bare where not.

    Raises
    ------
    InputError
        If records of this kind hold no structures.
    """
    if result.kind.name not in EXTXYZ_KINDS:
        raise InputError(f"{result.kind.name} hold no structures; extxyz is for {', '.join(EXTXYZ_KINDS)}")
    for configuration, label in _pairs(store, result):
        if label is not None and label.state is State.FINISHED:
            charges, dipole = optional_array(label.charges), optional_array(label.dipole)
            yield replace(labelled(configuration, label), charges=charges, dipole=dipole)
        else:
            yield _bare_frame(configuration, label)


def _bare_frame(configuration: ConfigurationRecord, label: LabelRecord | None) -> Atoms:
    atoms = configuration.atoms
    atoms.info["config_type"] = configuration.purpose or configuration.origin.sampler
    atoms.info["identifier"] = configuration.id
    atoms.info["label_state"] = "none" if label is None else label.state.value
    return atoms


def _pairs(store: Store, result: QueryResult) -> Iterator[tuple[ConfigurationRecord, LabelRecord | None]]:
    records = result.records
    if result.kind.record_type is ConfigurationRecord:
        configurations = [record for record in records if isinstance(record, ConfigurationRecord)]
        labels = labels_by_configuration(store, configurations)
        yield from ((record, labels.get(record.id)) for record in configurations)
        return
    wanted: dict[str, None] = {}
    for record in records:
        if isinstance(record, DataSetRecord):
            wanted.update(dict.fromkeys(record.labels))
    answers = [record for record in records if isinstance(record, LabelRecord)]
    answers += store.labels.get_many(list(wanted))
    structures = store.configurations.get_many([label.configuration for label in answers])
    yield from zip(structures, answers, strict=True)
