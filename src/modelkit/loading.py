"""A network that is not written yet -> a detector, loaded as the device loads it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from inspector.shell.detector import Detector, load


def load_content(content: bytes) -> Detector:
    """The content of an ONNX file, plain or cut. Raises PackageError."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(content)
        return load(path)
