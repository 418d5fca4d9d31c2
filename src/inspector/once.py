"""``inspector once``: images -> result messages, without Greengrass, ledger or effects on any file."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from inspector.core.frame import FrameError, Identity
from inspector.core.naming import capture_time
from inspector.core.package import Precision, PrecisionChoice
from inspector.core.settings import Settings, SettingsError, parse
from inspector.examiner import Examiner, Taken
from inspector.ports import Claimed
from inspector.shell.detector import load
from inspector.shell.files import modified_ns
from inspector.shell.package import PackageError
from inspector.trial import attempt


def once(images: Sequence[Path], model: Path, configuration: dict[str, str]) -> int:
    """Print a result a line for each image; return 1 if any could not be inspected, 2 if none can be."""
    logging.disable(logging.CRITICAL)  # each line says what went wrong with its image
    try:
        settings, warnings = parse(configuration)
        settings = msgspec.structs.replace(
            settings, review_repeated_frames=False
        )  # these come from no camera
        detector = load(model, precision=_precision(model, settings.precision))
        examiner = Examiner(os.environ.get("AWS_IOT_THING_NAME", "local"), "once", settings, detector)
    except (SettingsError, PackageError, ValueError) as error:
        print(f"inspector once: {error}", file=sys.stderr)
        return 2
    for warning in warnings:
        print(f"inspector once: {warning}", file=sys.stderr)
    verdicts = [_inspect(examiner, image, seq, settings) for seq, image in enumerate(images, start=1)]
    return 0 if all(verdicts) else 1


def _precision(model: Path, choice: PrecisionChoice) -> Precision:
    """The precision that this device would choose, which takes a trial. Raises PackageError."""
    if choice != "auto":
        return choice
    outcome = attempt(model, choice)
    if outcome.precision is None:
        raise PackageError(model, outcome.cause, outcome.fix)
    return outcome.precision


def _inspect(examiner: Examiner, image: Path, seq: int, settings: Settings) -> bool:
    """Print the result of one image; return whether it could be inspected."""
    judged = examiner.judge(_take(examiner, image, settings))
    document = examiner.encode(examiner.result(judged, seq, time.time()))
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()
    for difference in judged.unusual:
        print(f"inspector once: {image}: unusual {difference}", file=sys.stderr)
    return "error" not in judged.verdict.keep


def _take(examiner: Examiner, image: Path, settings: Settings) -> Taken:
    max_bytes = int(settings.max_image_megabytes * 1e6)
    try:
        with os.fdopen(_open(image), "rb") as file:
            data, status = file.read(max_bytes + 1), os.fstat(file.fileno())
    except OSError as error:
        fault = FrameError("unreadable", str(error))
        return examiner.decode(Claimed(Identity(image.name, 0, 0, ""), image, time.time(), None, fault))
    is_read = len(data) <= max_bytes
    sha256 = hashlib.sha256(data).hexdigest() if is_read else ""
    identity = Identity(image.name, modified_ns(status), status.st_size, sha256)
    captured_at = capture_time(image.name, status.st_mtime, settings.capture_time_pattern)
    return examiner.decode(Claimed(identity, image, captured_at, data if is_read else None))


def _open(image: Path) -> int:
    """Open a regular file; a FIFO that nobody writes to, or a device, would be waited for without end."""
    descriptor = os.open(image, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(image))
    return descriptor
