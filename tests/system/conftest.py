"""A simulated edge host for each test, on which the real component runs as its recipe starts it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import Edge, edge_host

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both components, built."""
    output = tmp_path_factory.mktemp("build")
    subprocess.run([sys.executable, str(ROOT / "tools" / "build.py"), "--output", str(output)], check=True)
    return output


@pytest.fixture
def edge(tmp_path: Path, build: Path, device_venv: Path) -> Iterator[Edge]:
    """A host on which nothing is deployed yet."""
    with edge_host(tmp_path / "root", build, device_venv) as host:
        yield host
