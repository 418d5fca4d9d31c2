"""What each dependency costs: megabytes on disk, and milliseconds to import in a new process (median of five).

    .cache/device-venv/venv/bin/python bench/footprint.py     the device's environment, which the tests make
    .venv/bin/python bench/footprint.py                       everything

An import brings its own dependencies along; those of NumPy are in every one that needs it.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
import sys

TIMED = "import time; started = time.perf_counter(); import {}; print((time.perf_counter() - started) * 1e3)"
MODULES = {
    "PyYAML": "yaml",
    "aiomqtt": "aiomqtt",
    "amqtt": "amqtt.broker",
    "awsiotsdk": "awsiot.greengrasscoreipc.client",
    "imagesize": "imagesize",
    "inotify-simple": "inotify_simple",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxslim": "onnxslim",
    "opencv-python-headless": "cv2",
    "paho-mqtt": "paho.mqtt.client",
    "rich": "rich.console",
    "simplejpeg": "simplejpeg",
}


def megabytes(distribution: importlib.metadata.Distribution) -> float:
    """Of its files, as they lie on the disk."""
    paths = [distribution.locate_file(file) for file in distribution.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6  # type: ignore[attr-defined]


def import_ms(module: str) -> float:
    """Median of five new processes, each after a warm disk."""
    command = [sys.executable, "-c", TIMED.format(module)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(6)]
    return statistics.median(float(run.stdout) for run in runs[1:])


def main() -> None:
    found = {each.metadata["Name"].replace("_", "-"): each for each in importlib.metadata.distributions()}
    print(f"{'':24}{'MB':>8}{'import, ms':>14}")
    for name in sorted(found, key=str.lower):
        size = f"{name:24}{megabytes(found[name]):8.1f}"
        print(size + (f"{import_ms(MODULES[name]):14.0f}" if name in MODULES else ""))


if __name__ == "__main__":
    main()
