"""A private SLURM on this machine: real daemons, a configuration of their own, no systemd, nothing left behind.

It needs Debian's slurm-wlm and munge (``apt-get install slurm-wlm munge``) and root, because slurmd starts jobs as
their owner.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
WAIT_S = 30.0
POLL_S = 0.1
NODE_MEMORY_MB = 16_000

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPort={port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=30
SlurmdTimeout={node_timeout_s}
MinJobAge=300
PropagateResourceLimits=NONE
OverTimeLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Boards=1 SocketsPerBoard=1 CoresPerSocket={cores} ThreadsPerCore=1 \
RealMemory={memory_MB} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
PartitionName=debug Nodes=ALL Default=YES MaxTime=60:00 PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL MaxTime=60:00 PriorityTier=10 State=UP
"""


def why_not() -> str:
    """Return what is missing for a private SLURM, empty if nothing is."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "slurmd starts jobs as their owner, which only root can"


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = WAIT_S) -> None:
    """Wait for ``condition``, and say what was waited for where it does not come."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit_s:g} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrivateSlurm:
    """The daemons, started and stopped, and what the tests do to them.

    Parameters
    ----------
    folder
        For configuration, state, spool and logs; its path must be short (it holds a socket).
    cores
        As many as the node is said to have: oversubscribing a small machine is meant.
    """

    def __init__(self, folder: Path, cores: int = 8, node_timeout_s: int = 10) -> None:
        self.folder = folder
        self.cores = cores
        self.node_timeout_s = node_timeout_s
        self.configuration = folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to speak to these daemons."""
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": path}

    def start(self) -> None:
        """Start munge, the controller and the node."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        text = CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            folder=self.folder,
            port=free_port(),
            node_port=free_port(),
            cores=self.cores,
            node_timeout_s=self.node_timeout_s,
            memory_MB=NODE_MEMORY_MB,
        )
        self.configuration.write_text(text)
        self._start_munge()
        self._run("slurmctld", "-c", "-f", str(self.configuration))
        self.start_node()

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = {"socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={self.folder}/munge.{suffix}" for name, suffix in files.items()]
        self._run("munged", "--force", f"--key-file={key}", "--num-threads=2", *options)

    def start_node(self) -> None:
        """Start slurmd and wait until its node can take jobs."""
        self._run("slurmd", "-f", str(self.configuration))
        wait_until(self._node_is_up, "the node is up")

    def _node_is_up(self) -> bool:
        answer = self.ask("sinfo", "--noheader", "--format=%T").strip()
        return answer in ("idle", "mixed", "allocated")

    def _run(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=WAIT_S)

    def ask(self, *command: str) -> str:
        """Return what a SLURM command says, empty where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=WAIT_S)
        return done.stdout

    def kill_node_daemon(self) -> None:
        """Kill slurmd as a crash would; jobs and their shepherds live on."""
        pid = self._pid("slurmd")
        if pid is not None:
            _kill(pid)
            wait_until(lambda: not psutil.pid_exists(pid) or _is_zombie(pid), "slurmd is gone")

    def kill_node(self) -> None:
        """Kill slurmd and all that runs under it, as a power cut would."""
        self.kill_node_daemon()
        for shepherd in self.shepherds():
            for process in [*shepherd.children(recursive=True), shepherd]:
                _kill(process.pid)

    def shepherds(self) -> list[psutil.Process]:
        """Return the processes that SLURM keeps beside each of this node's jobs."""
        found = []
        for process in psutil.process_iter(["name", "environ", "open_files"]):
            # The shepherd's title is "slurmstepd: [12.batch]"; its log file tells whose it is.
            if "slurmstepd" not in (process.info["name"] or ""):
                continue
            files = {Path(entry.path) for entry in process.info["open_files"] or ()}
            environment = process.info["environ"] or {}
            ours = environment.get("SLURM_CONF") == str(self.configuration)
            if ours or self.folder / "slurmd.log" in files:
                found.append(process)
        return found

    def _pid(self, daemon: str) -> int | None:
        file = self.folder / f"{daemon}.pid"
        return int(file.read_text()) if file.exists() and file.read_text().strip() else None

    def stop(self) -> None:
        """End all jobs and daemons."""
        self.ask("scancel", "--state=PENDING", "--user=root")
        self.kill_node()
        for daemon in ("slurmctld", "munge"):
            pid = self._pid(daemon)
            if pid is not None:
                _kill(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateSlurm]:
    """A private SLURM that this process and its children speak to."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    # The path of a socket may have about a hundred characters only.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        daemons = PrivateSlurm(Path(folder))
        monkeypatch.setenv("SLURM_CONF", str(daemons.configuration))
        monkeypatch.setenv("PATH", daemons.environment["PATH"])
        try:
            daemons.start()
            yield daemons
        finally:
            daemons.stop()
