"""The script of a queue job: what it asks for, how the node is prepared, and our own worker command.

Every word that a person or a document can choose is quoted or checked against a narrow pattern; credentials are never
in it: on the nodes they come from a file of mode 0600.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import InputError
from ...core.files import atomic_file
from ...store.connection import Store
from ...store.server import CREDENTIALS_VARIABLE, KEY_PASSWORD_VARIABLE, PASSWORD_VARIABLE, USER_VARIABLE
from .cluster_profile import ClusterProfile
from .pilot_settings import PilotSettings
from .schedulers.base import Scheduler
from .schedulers.registry import scheduler_of

# The number of the job, %j, included.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.,:+@/=%-]+")
_SECRETS = (USER_VARIABLE, PASSWORD_VARIABLE, KEY_PASSWORD_VARIABLE)


@dataclass(frozen=True)
class ScriptRequest:
    """Which campaign's jobs of which class a queue job is to run, and where its log goes (``%j``: its number).

    ``name`` is what no other job in the queue is called.
    """

    campaign: str
    resources: str
    log: str
    name: str = ""


def refuse_secrets(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to submit with a password in the environment: schedulers copy that into every job's record.

    Raises
    ------
    InputError
        If there is one.
    """
    found = [name for name in _SECRETS if environment.get(name)]
    if found:
        raise InputError(
            f"{', '.join(found)} is set: schedulers copy the environment into their records of a job. Put the "
            f"credentials into a file of mode 0600 that the nodes can read, and set {CREDENTIALS_VARIABLE} to its path"
        )


def pilot_settings(store: Store, profile: ClusterProfile, request: ScriptRequest) -> PilotSettings:
    """Return what the pilot of a queue job is told."""
    resources = profile.resources[request.resources]
    return PilotSettings(
        store=store.location,
        root=str(store.root.absolute()),
        campaign=request.campaign,
        scheduler=profile.scheduler,
        resources=request.resources,
        log=request.log,
        name=request.name,
        clusters=scheduler_of(profile.scheduler).clusters(resources.directives),
        kinds=profile.kinds_of(request.resources),
        workers=resources.workers,
        cores=resources.cores,
        wall_time_s=resources.wall_time_s,
        margin_s=60 * profile.margin_min,
        longest_s=resources.longest_s,
        idle_s=60 * profile.idle_min,
    )


def job_script(profile: ClusterProfile, scheduler: Scheduler, request: ScriptRequest, settings: Path) -> str:
    """Return the text of a job script; ``settings`` is the file of its pilot's settings.

    Raises
    ------
    InputError
        If the store's folder has a name that cannot stand in a script's options.
    """
    if not _PLAIN_PATH.fullmatch(request.log):
        raise InputError(
            f"{request.log}: schedulers cannot be told a log in a folder of that name (only letters, digits and "
            "_ . , : + @ / = - are safe): choose another folder for the store's files with --root"
        )
    resources = profile.resources[request.resources]
    wanted = {
        "job_name": request.name or f"ionloop-{request.campaign}-{request.resources}",
        "cores": str(resources.cores),
        "wall_time_min": str(math.ceil(60 * resources.wall_time_h)),
        "log": request.log,
    }
    optional = {
        "partition": resources.partition or profile.partition,
        "account": profile.account,
        "memory_MB": None if resources.memory_GB is None else str(round(1000 * resources.memory_GB)),
        "gpus": str(resources.gpus) if resources.gpus else None,
    }
    wanted |= {name: value for name, value in optional.items() if value is not None}
    return "\n".join(
        [
            "#!/bin/bash",
            *scheduler.directives(wanted, resources.directives),
            *profile.setup,
            *_exports(profile),
            "exec " + shlex.join([profile.python or sys.executable, "-m", "ionloop.cli", "pilot", str(settings)]),
            "",
        ]
    )


def _exports(profile: ClusterProfile) -> list[str]:
    credentials = os.environ.get(CREDENTIALS_VARIABLE)
    named = {CREDENTIALS_VARIABLE: str(Path(credentials).absolute())} if credentials else {}
    return [f"export {name}={shlex.quote(value)}" for name, value in sorted({**named, **profile.environment}.items())]


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read and run; return its path."""
    with atomic_file(path, rights=0o700) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
