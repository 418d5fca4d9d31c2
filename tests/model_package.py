"""A small model package as it lies unpacked on the device, and the model component's scripts beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).parents[1] / "models"


def make_package(directory: Path, version: str = "1.0.0", model: bytes = b"model") -> Path:
    """A package as it lies unpacked on the device, small; returns its directory."""
    (directory / "golden").mkdir(parents=True)
    for script in MODELS.glob("*.py"):
        shutil.copyfile(script, directory / script.name)
    (directory / "fp32.onnx").write_bytes(model)
    (directory / "golden" / "one.jpg").write_bytes(b"picture")
    picture = {"image": "golden/one.jpg", "sha256": hashlib.sha256(b"picture").hexdigest(), "detections": []}
    file = {"name": "fp32.onnx", "sha256": hashlib.sha256(model).hexdigest(), "golden": [picture]}
    (directory / "manifest.json").write_text(json.dumps({"version": version, "files": [file]}))
    return directory


def run_install(package: Path, work: Path, inspector: Path | None = None) -> subprocess.CompletedProcess[str]:
    """As Greengrass runs it, with nothing but the standard library."""
    command = [sys.executable, "-I", "-S", str(package / "install.py"), "--work", str(work)]
    command += ["--inspector", str(inspector)] if inspector else []
    return subprocess.run(command, capture_output=True, text=True, check=False)
