"""Labelling: a structure in, energy and forces out, or the state and the reason why there are none."""

from __future__ import annotations

import time
from pathlib import Path

from ase import Atoms

from ..core.states import State
from .checks import result_objection, structure_objection
from .common_settings import CommonSettings
from .outcome import Attempt, LabelOutcome
from .process.engine_process import ask_engine
from .process.messages import Answer, Request
from .registry import engine_of
from .scratch import LabelScratch, request_hash, scratch_error
from .settings import settings_hash


def label(atoms: Atoms, settings: CommonSettings, scratch: Path, *, keep_scratch: bool = False) -> LabelOutcome:
    """Label ``atoms`` with a reference engine, in a process of its own and within its limits.

    Parameters
    ----------
    atoms
        The structure; initial magnetic moments are passed on, initial charges are not.
    settings
        Settings of the engine.
    scratch
        Folder of this label and of no other; a finished result found there is returned, not recomputed.
    keep_scratch
        Keep the engine's files of a finished label; those of any other are always kept.

    Returns
    -------
    The outcome, finished or not: an engine's failure is never raised.

    Raises
    ------
    ScratchError
        If the scratch folder cannot be written: the machine is at fault, not the label.
    LabelBusy
        If another process computes the same label there.
    EngineProcessError
        If the process for the engine cannot be started.
    """
    folder = LabelScratch(scratch, request_hash(atoms), settings_hash(settings))
    with folder.held():
        return _label(atoms, settings, folder, keep_scratch)


def _label(atoms: Atoms, settings: CommonSettings, folder: LabelScratch, keep_scratch: bool) -> LabelOutcome:
    known = folder.read_result()
    if known is not None and known.state is State.FINISHED:
        return _checked_again(atoms, known, settings)
    objection = structure_objection(atoms, settings) or engine_of(settings).objection(atoms, settings)
    if objection is not None:
        outcome = LabelOutcome(State.REJECTED, objection)
    else:
        outcome = _climb_ladder(atoms, settings, folder)
    folder.write_result(outcome)
    if outcome.state is State.FINISHED and not keep_scratch:
        folder.remove_attempts(last=len(outcome.attempts))
    return outcome


def isolated_atom_energy(symbol: str, settings: CommonSettings, scratch: Path) -> LabelOutcome:
    """Label one free atom of an element, with the unpaired electrons of its ground state.

    The engine decides how: GFN1-xTB in open space, ``command`` in the box of its settings. Parameters,
    outcome and errors are those of `label`.

    Raises
    ------
    InputError
        If there is no such element.
    """
    return label(engine_of(settings).isolated_atom(symbol, settings), settings, scratch)


def _checked_again(atoms: Atoms, known: LabelOutcome, settings: CommonSettings) -> LabelOutcome:
    """Return a finished outcome found on disk, held against the bounds of today's settings."""
    objection = None if known.evaluation is None else result_objection(atoms, known.evaluation, settings)
    if objection is None:
        return known
    state, reason = objection
    return LabelOutcome(
        state,
        reason,
        wall_time_s=known.wall_time_s,
        attempts=known.attempts,
        engine_version=known.engine_version,
    )


def _climb_ladder(atoms: Atoms, settings: CommonSettings, folder: LabelScratch) -> LabelOutcome:
    """Run the engine with its settings, then with each rung of its recovery ladder while it is unconverged."""
    ladder = [settings, *engine_of(settings).recovery_ladder(settings)][: settings.max_attempts]
    attempts: list[Attempt] = []
    for number, rung in enumerate(ladder, start=1):
        started_s = time.monotonic()
        answer = _checked(_answer(atoms, rung, folder, number), atoms, settings)
        attempts.append(
            Attempt(
                settings=rung.model_dump(mode="json"),
                state=answer.state,
                reason=answer.reason,
                wall_time_s=time.monotonic() - started_s,
            )
        )
        if answer.state is not State.UNCONVERGED:
            break
    return LabelOutcome(
        answer.state,
        answer.reason,
        answer.evaluation,
        wall_time_s=sum(attempt.wall_time_s for attempt in attempts),
        attempts=tuple(attempts),
        engine_version=answer.engine_version,
    )


def _checked(answer: Answer, atoms: Atoms, settings: CommonSettings) -> Answer:
    """Return the answer if it failed anyway or passes the checks, else one without numbers."""
    if answer.evaluation is None:
        return answer
    objection = result_objection(atoms, answer.evaluation, settings)
    if objection is None:
        return answer
    state, reason = objection
    return Answer(state, reason, engine_version=answer.engine_version)


def _answer(atoms: Atoms, settings: CommonSettings, folder: LabelScratch, number: int) -> Answer:
    """Parse what an interrupted run finished, or else compute in a fresh folder."""
    values = settings.model_dump(mode="json")
    if folder.holds_attempt(number, values):
        request = Request(atoms, settings, folder.attempt_folder(number), only_parse=True)
        answer = _ask(request, folder)
        if answer.state is State.UNCONVERGED or answer.evaluation is not None:
            return answer
    return _ask(Request(atoms, settings, folder.start_attempt(number, values)), folder)


def _ask(request: Request, folder: LabelScratch) -> Answer:
    answer = ask_engine(request)
    if answer.disk_error is not None:
        raise scratch_error(folder.folder, answer.disk_error)
    return answer
