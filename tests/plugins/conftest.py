"""Other people's packages, installed beside ionloop for the processes that a test starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIMEOUT_S = 240.0


def install(site: Path, project: Mapping[str, object]) -> None:
    """Write what an installer leaves of a project in a folder that Python imports from: its metadata."""
    info = site / f"{str(project['name']).replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project.get("entry-points", {})
    assert isinstance(groups, Mapping)
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def install_package() -> Callable[[Path, Mapping[str, object]], None]:
    """Install a package's metadata in a folder: ``install_package(site, project)``."""
    return install


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy package as an installer would leave it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "ionloop_toys", site / "ionloop_toys", ignore=shutil.ignore_patterns("__pycache__"))
    install(site, tomllib.loads((HERE / "pyproject.toml").read_text())["project"])
    return site


@pytest.fixture(scope="session")
def run_with() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with packages of the given folders beside ionloop: ``run_with(folders, *arguments, cwd=...)``."""

    def run(folders: list[Path], *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, folders))
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
