"""What several areas share: the inspector as it is deployed, and the environment that it runs in."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def inspector_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inspector's artifact, unpacked as Greengrass unpacks it."""
    output = tmp_path_factory.mktemp("artifact")
    command = [sys.executable, str(ROOT / "tools" / "build.py"), "inspector", "--output", str(output)]
    subprocess.run(command, check=True)
    (archive,) = output.rglob("inspector.zip")
    with zipfile.ZipFile(archive) as members:
        members.extractall(output / "inspector")
    return output / "inspector"


@pytest.fixture(scope="session")
def device_venv(inspector_artifact: Path) -> Path:
    """An environment with the device's requirements alone, as the artifact's installer makes it; made once."""
    link = ROOT / ".cache" / "device-venv" / "venv"
    link.parent.mkdir(parents=True, exist_ok=True)
    requirements = inspector_artifact / "requirements.lock"
    command = [sys.executable, str(inspector_artifact / "inspector" / "install.py")]
    command += ["--requirements", str(requirements), "--venv", str(link)]
    subprocess.run(command, check=True, env={"PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"), **os.environ})
    return link
