"""What a campaign needs from the machine, checked one thing at a time: the ground of `doctor` and `check`."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import InputError, IonloopError

if TYPE_CHECKING:
    from ...core.kinds import Registry
    from ...labelling.common_settings import CommonSettings
    from ...labelling.engine import EngineProbe

GIBIBYTE = 2**30
MIN_MEMORY_GIB = 4.0
MIN_DISK_GIB = 2.0
SERVER_TIMEOUT_MS = 3000

# Distributions whose module has another name.
_MODULES = {"ruamel.yaml": "ruamel.yaml"}
_QUIP = "quippy-ase"


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it."""

    name: str
    status: Status
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return plain data for ``--json``."""
        return {key: str(value) for key, value in asdict(self).items()}


def check_python() -> Check:
    """Which Python this is; one that is too old cannot even be installed into."""
    return Check("python", Status.OK, f"{platform.python_version()} at {sys.executable}")


def check_packages() -> Iterator[Check]:
    """Whether every required package is there and can be imported; QUIP alone may be missing."""
    for requirement in importlib.metadata.requires("ionloop") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0]
        yield check_quip() if name == _QUIP else check_package(name)


def check_package(name: str) -> Check:
    """Whether one package is there and can be imported."""
    advice = f"{sys.executable} -m pip install {name!r}"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, Status.FAILED, "not installed", advice)
    try:
        importlib.import_module(_MODULES.get(name, name))
    except Exception as error:  # importing another's compiled package may fail in any way
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name, Status.FAILED, f"{version}, cannot be imported: {reason}", f"{advice} --force-reinstall")
    return Check(name, Status.OK, version)


def check_plug_ins() -> Iterator[Check]:
    """What other packages bring: their kinds that can be used, and why others cannot."""
    from ...core.kinds import OWN_PACKAGE
    from ...fitting.electrostatics.registry import BASELINES
    from ...fitting.kinds.registry import MODELS
    from ...labelling.registry import ENGINES
    from ...sampling.candidates.registry import CANDIDATE_SOURCES
    from ...sampling.samplers.registry import SAMPLERS
    from ...sampling.selections.registry import SELECTIONS
    from ...workflows.analyses.registry import ANALYSES
    from ...workflows.loop.task_registry import tasks_of
    from ...workflows.queue.schedulers.registry import SCHEDULERS

    registries: tuple[Registry[Any], ...] = (
        MODELS,
        BASELINES,
        ENGINES,
        SAMPLERS,
        SELECTIONS,
        CANDIDATE_SOURCES,
        ANALYSES,
        SCHEDULERS,
    )
    for registry in registries:
        for name in registry.names:
            package, version = registry.package_of(name)
            if package == OWN_PACKAGE:
                continue
            problem = tasks_of(ANALYSES.get(name))[1] if registry is ANALYSES else ""
            found = f"{registry.noun} of {package} {version}" + (f": its jobs cannot run: {problem}" if problem else "")
            advice = f"mend or update {package}" if problem else ""
            yield Check(name, Status.WARNING if problem else Status.OK, found, advice)
        for one in registry.broken:
            found = f"{registry.noun} of {one.package} that cannot be used: {one.reason}"
            yield Check(one.name, Status.WARNING, found, f"mend, update or remove {one.package}")


def check_quip(*, needed: bool = False) -> Check:
    """Whether QUIP is present, absent or broken, and what follows; ``needed`` where something names it."""
    from ...fitting.quip import QuipState, find_quip

    quip = find_quip()
    if quip.state is QuipState.PRESENT:
        return Check(_QUIP, Status.OK, quip.version)
    broken = quip.state is QuipState.BROKEN
    found = f"broken: {quip.version}, {quip.reason}" if broken else "absent: not installed"
    follows = (
        "what evaluates with quippy cannot run"
        if needed
        else (
            "everything works without it but the backends quippy and gap_fit; models are not compared with QUIP, "
            "and GFN1-xTB is slower"
        )
    )
    advice = f"{follows}; {sys.executable} -m pip install {_QUIP!r}{' --force-reinstall' if broken else ''}"
    return Check(_QUIP, Status.FAILED if needed else Status.WARNING, found, advice)


def check_gap_fit(*, needed: bool = False) -> Check:
    """Whether gap_fit can be found; ``needed`` where something fits with it."""
    from ...fitting.gap_fit import find_executable

    try:
        return Check("gap_fit", Status.OK, str(find_executable()))
    except InputError as error:
        status = Status.FAILED if needed else Status.WARNING
        return Check("gap_fit", status, str(error), f"{sys.executable} -m pip install {_QUIP}")


def check_engines() -> Iterator[Check]:
    """Which reference engines are there; a campaign needs only its own."""
    from ...labelling.registry import ENGINES

    for engine in ENGINES.kinds:
        try:
            yield _engine_check(engine.probe(), Status.WARNING)
        except (Exception, SystemExit) as error:  # somebody else's engine may fail in any way
            advice = f"it cannot be asked: {type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(f"engine {engine.name}", Status.WARNING, "not found", advice)


def check_engine(settings: CommonSettings) -> Check:
    """Whether the engine of a campaign can be used with its settings."""
    from ...labelling.registry import engine_of

    return _engine_check(engine_of(settings).probe(settings), Status.FAILED)


def check_smoke_run(engine: str) -> Check:
    """Whether an engine computes two atoms of silicon, which takes seconds.

    Raises
    ------
    InputError
        If there is no such engine, or none that runs without settings.
    """
    from ...core.states import State
    from ...labelling.smoke import SmokeRunFailed, smoke_run

    name = f"smoke run {engine}"
    try:
        with tempfile.TemporaryDirectory(prefix="ionloop-smoke-") as folder:
            outcome = smoke_run(engine, Path(folder))
    except SmokeRunFailed as error:
        return Check(name, Status.FAILED, "not run", str(error))
    if outcome.state is not State.FINISHED:
        return Check(name, Status.FAILED, outcome.state.value, outcome.reason)
    found = f"{outcome.engine_version}: two atoms of silicon in {outcome.wall_time_s:.1f} s, {outcome.energy:.4f} eV"
    return Check(name, Status.OK, found)


def _engine_check(probe: EngineProbe, if_missing: Status) -> Check:
    name = f"engine {probe.engine}"
    if probe.found:
        return Check(name, Status.OK, probe.version)
    return Check(name, if_missing, "not found", probe.remedy)


def check_machine(folder: Path) -> Iterator[Check]:
    """Cores, memory and disk that a campaign in ``folder`` can use."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check("cores", Status.OK, str(cores))
    memory = psutil.virtual_memory().available / GIBIBYTE
    few = memory < MIN_MEMORY_GIB
    yield Check(
        "memory",
        Status.WARNING if few else Status.OK,
        f"{memory:.1f} GiB available",
        f"gap_fit may need more than {MIN_MEMORY_GIB:g} GiB; `ionloop check` estimates it" if few else "",
    )
    free = shutil.disk_usage(existing_parent(folder)).free / GIBIBYTE
    full = free < MIN_DISK_GIB
    yield Check(
        "disk",
        Status.WARNING if full else Status.OK,
        f"{free:.1f} GiB free at {existing_parent(folder)}",
        f"a campaign writes trajectories and models; free at least {MIN_DISK_GIB:g} GiB" if full else "",
    )


def check_store(location: str) -> Check:
    """Whether the store can be reached (server) or made (embedded)."""
    from ...store.connection import is_embedded, plain_location

    try:
        location = plain_location(location)
    except InputError as error:
        return Check("store", Status.FAILED, location, str(error).removeprefix("store: "))
    return _check_store_file(Path(location).absolute()) if is_embedded(location) else _check_server(location)


def check_server_safety(location: str) -> Iterator[Check]:
    """Whether strangers are kept out: of a server by authentication and TLS, of credentials by the file's rights."""
    from ...store.connection import is_embedded
    from ...store.server import CREDENTIALS_VARIABLE, complaint_about_file

    file = os.environ.get(CREDENTIALS_VARIABLE)
    complaint = complaint_about_file(Path(file)) if file else None
    if complaint:
        found, _, advice = complaint.partition(": ")
        yield Check("credentials", Status.WARNING, found, advice)
    if not is_embedded(location):
        yield from _check_server_doors(location)


def _check_store_file(path: Path) -> Check:
    """Whether `open_store` would open or make this file."""
    from ...store.connection import open_store
    from ...store.embedded.location import check_location

    state = "exists" if path.exists() else "will be made"
    place = "name another place with IONLOOP_STORE or --store"
    try:
        check_location(path.resolve())
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists():
            open_store(str(path), read_only=True).close()
    except InputError as error:
        found, _, advice = str(error).removeprefix("store: ").partition(": ")
        return Check("store", Status.FAILED, f"{found} ({state})", advice or place)
    except IonloopError as error:
        return Check("store", Status.FAILED, f"{path} ({state}): {error}", place)
    except OSError as error:
        return Check("store", Status.FAILED, f"{path.parent} cannot be written to: {error.strerror}", place)
    return Check("store", Status.OK, f"{path} ({state})")


def _check_server(location: str) -> Check:
    from pymongo.errors import PyMongoError

    from ...store.clients import connect_to_server
    from ...store.server import explain_server_error, redacted, server_address

    shown = redacted(location)
    try:
        address = server_address(location)
        with connect_to_server(location, timeout_s=SERVER_TIMEOUT_MS / 1000) as client:
            version = client.server_info()["version"]
            # Any server tells its version; only one that knows us tells what it holds.
            client[address.database].command("count", "campaigns")
    except InputError as error:
        return Check("store", Status.FAILED, f"{shown} cannot be used", str(error).removeprefix("store: "))
    except PyMongoError as error:
        text = str(explain_server_error(error, address)).removeprefix(f"store: {address.uri} ")
        reason, _, advice = text.rpartition("; ")
        return Check("store", Status.FAILED, f"{shown} {reason}", advice)
    return Check("store", Status.OK, f"{shown}, MongoDB {version}")


def _check_server_doors(location: str) -> Iterator[Check]:
    import pymongo
    from pymongo.errors import OperationFailure, PyMongoError

    from ...store.jobs.rows import JOBS
    from ...store.server import Credentials, client_options, server_address, without_authentication

    try:
        address = server_address(location)
        options = client_options(address, Credentials(), timeout_s=SERVER_TIMEOUT_MS / 1000)
        stranger: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(without_authentication(address.uri), **options) as stranger:
            stranger[address.database].command("count", JOBS)
    except OperationFailure:
        yield Check("authentication", Status.OK, "the server asks for it")
    except (PyMongoError, InputError, ValueError):
        return  # it cannot be reached, which the store's own check says
    else:
        advice = "who can write to it decides what workers do: turn authentication on, see deploy/mongodb"
        yield Check("authentication", Status.WARNING, "the server serves everybody who reaches it", advice)
    if not address.uses_tls and not address.is_local:
        advice = "add tls=true to the address (and tlsCAFile=... for an authority of your own), see deploy/mongodb"
        yield Check(
            "encryption", Status.WARNING, "what is sent to the server can be read and changed on its way", advice
        )


def existing_parent(folder: Path) -> Path:
    """Return the nearest folder at or above ``folder`` that exists."""
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())


def worst(checks: list[Check]) -> Status:
    """Return the worst status among ``checks``."""
    order = [Status.OK, Status.WARNING, Status.FAILED]
    return max((check.status for check in checks), key=order.index, default=Status.OK)
