"""The device gets its requirements and no more, and with them the inspector inspects."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)  # the first run downloads the device's requirements


@pytest.fixture(scope="module")
def clean_venv(make_device_venv: Callable[[Path], Path]) -> Iterator[Path]:
    """Made for these tests and removed after them: nothing in it stems from an earlier run."""
    with TemporaryDirectory() as directory:
        yield make_device_venv(Path(directory) / "venv")


def run_python(venv: Path, *arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the environment's Python with the unpacked artifact, as the recipe's script does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(venv / "bin" / "python"), *arguments]
    return subprocess.run(
        command, env={**environment, "PYTHONPATH": str(path)}, capture_output=True, text=True, check=False
    )


def test_inspector_once_judges_an_image(clean_venv: Path, inspector_artifact: Path) -> None:
    images = sorted((ROOT / "sample_images").glob("*.jpg"))[:3]
    arguments = ["-m", "inspector", "once", *map(str, images), "--model", str(ROOT / "models")]
    done = run_python(clean_venv, *arguments, path=inspector_artifact)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(images)
    schema = json.loads((ROOT / "docs" / "schema" / "result.json").read_text("utf-8"))
    for line in lines:
        jsonschema.validate(json.loads(line), schema)


@pytest.mark.parametrize("module", ["torch", "ultralytics", "onnx", "edgehost", "station", "modelkit"])
def test_the_device_lacks_what_it_should_not_carry(
    clean_venv: Path, inspector_artifact: Path, module: str
) -> None:
    done = run_python(clean_venv, "-c", f"import {module}", path=inspector_artifact)
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_opencv_has_no_window_and_links_to_no_desktop_library(
    clean_venv: Path, inspector_artifact: Path
) -> None:
    code = "import cv2; print(cv2.getBuildInformation())"
    information = run_python(clean_venv, "-c", code, path=inspector_artifact).stdout
    (gui,) = [line.split() for line in information.splitlines() if line.split()[:1] == ["GUI:"]]
    assert gui == ["GUI:", "NONE"]
    libraries = {path.name for path in clean_venv.resolve().rglob("*.so*")}
    assert libraries
    assert not [name for name in libraries if name.startswith(("libQt", "libX", "libGL", "libxcb", "libgtk"))]


def test_it_stays_under_400_megabytes(clean_venv: Path) -> None:
    files = [path for path in clean_venv.resolve().rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 400e6
