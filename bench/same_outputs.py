"""Whether ONNX files compute the same on another CPU: a hash of what each puts out for the sample images.

    .venv/bin/python bench/same_outputs.py int8.onnx
    qemu-x86_64 -cpu Haswell .venv/bin/python bench/same_outputs.py int8.onnx --images 1

The second line is a CPU with AVX2, but without VNNI (QEMU's user emulation, a minute or more a picture): where hashes
differ there, INT8 overflows on it.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from inspector.core.detections import decode
from inspector.core.tensor import fit
from inspector.shell import detector

SAMPLES = sorted((Path(__file__).parents[1] / "sample_images").glob("*.jpg"))


def main() -> None:
    """For each file and picture: the hash, and the confidence of the strongest detection."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="ONNX")
    parser.add_argument("--images", type=int, default=len(SAMPLES), metavar="N", help="only the first N")
    arguments = parser.parse_args()
    for path in arguments.files:
        interface = detector.load(path, threads=1).interface
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for sample in SAMPLES[: arguments.images]:
            pixels = np.asarray(cv2.imread(str(sample)), np.uint8)
            canvas, letterbox = fit(pixels, interface.width, interface.height)
            outputs = session.run(
                interface.output_names, {session.get_inputs()[0].name: interface.fill(canvas)}
            )
            sha256 = hashlib.sha256(b"".join(output.tobytes() for output in outputs)).hexdigest()
            found = decode(
                interface.read(outputs, 0.001), letterbox, confidence=0.001, iou=0.7, max_detections=1
            )
            print(f"{path} {sample.name} {sha256[:16]} {found.confidences.max(initial=0):.4f}", flush=True)


if __name__ == "__main__":
    main()
