"""What several areas share: the inspector as it is deployed, and the environment that it runs in."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from edge import Edge, edge_host
from edgehost.profile import PROFILES, Profile
from inspector.shell import outbox

ROOT = Path(__file__).parents[1]
REAL_TAGS = Path(os.environ.get("METAL_TAGS", ROOT.parent / "shared" / "data" / "metal-tags"))

# Real pictures are not part of the repository: where there are none the test is left out, and the header says so.
collect_ignore = [] if REAL_TAGS.is_dir() else ["system/test_real_tags.py"]


def pytest_report_header() -> list[str]:
    return [f"left out: {name}, no real pictures at {REAL_TAGS} (METAL_TAGS)" for name in collect_ignore]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
    return report


@pytest.fixture
def nothing_is_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published a moment ago may be trimmed."""
    monkeypatch.setattr(outbox, "RECENT_S", -1.0)


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
def make_device_venv(inspector_artifact: Path) -> Callable[[Path], Path]:
    """Makes an environment with the device's requirements alone, or reuses it, as the artifact's installer does."""
    installer = [sys.executable, str(inspector_artifact / "inspector" / "install.py")]
    requirements = ["--requirements", str(inspector_artifact / "requirements.lock")]

    def make(link: Path) -> Path:
        link.parent.mkdir(parents=True, exist_ok=True)
        cache = {"PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"), **os.environ}
        subprocess.run([*installer, *requirements, "--venv", str(link)], check=True, env=cache)
        return link

    return make


@pytest.fixture(scope="session")
def device_venv(make_device_venv: Callable[[Path], Path]) -> Path:
    """The environment that the component runs in; kept from one run of the tests to the next."""
    return make_device_venv(ROOT / ".cache" / "device-venv" / "venv")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both components, built."""
    output = tmp_path_factory.mktemp("build")
    subprocess.run([sys.executable, str(ROOT / "tools" / "build.py"), "--output", str(output)], check=True)
    return output


@pytest.fixture(params=PROFILES.values(), ids=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    """The nucleus that is played: each in turn. What only one does is marked ``only_classic`` or ``only_lite``,
    beside a counterpart for the other."""
    return request.param


@pytest.fixture
def edge(tmp_path: Path, build: Path, device_venv: Path, profile: Profile) -> Iterator[Edge]:
    """A host on which nothing is deployed yet, and on which the real component runs as its recipe starts it."""
    with edge_host(tmp_path / "root", build, device_venv, profile) as host:
        yield host


@pytest.fixture(scope="session")
def real_tags() -> Path:
    """The directory of the real pictures."""
    return REAL_TAGS
