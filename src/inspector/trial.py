"""Whether this device takes a model package, and which of its files it runs.

1. Every file that may run is verified before any is loaded; a golden picture is verified before it is decoded.
2. A file must find in its golden pictures what the manifest expects of it.
3. Of FP32 and INT8 the second is taken only where it is measured to be faster and decides every golden picture the
   same way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from inspector.core.frame import FrameError, Pixels, decode
from inspector.core.golden import compare, verdict_on
from inspector.core.model_status import Outcome
from inspector.core.package import Golden, Manifest, Precision, PrecisionChoice
from inspector.core.verdict import VerdictName
from inspector.shell.detector import ANYBODY, Detector, failure, load
from inspector.shell.package import PackageError, Trust, read_golden, read_manifest, read_package

MAX_MEGAPIXELS = 50.0
"""Of a golden picture."""
FASTER = 0.95
"""INT8 must take less than this share of the time: what is measured is never the same twice."""
LEAST_ROUNDS, MOST_ROUNDS = 5, 40
MEASURE_S = 2.0
"""How long to measure at most, once there are ``LEAST_ROUNDS``."""

_PACKAGE_AGAIN = "package the model again (modelkit package), and see that modelkit verify passes"


def attempt(path: Path, choice: PrecisionChoice, threads: int = 0, trust: Trust = ANYBODY) -> Outcome:
    """Verify, load and try a package, or a single ONNX file. Whatever is wrong with it is told in the outcome."""
    try:
        if not path.is_dir():
            load(path, threads=threads, trust=trust)
            return Outcome("accepted", precision="fp32")
        return _attempt(path, choice, threads, trust)
    except PackageError as error:
        return refused(error)
    except OSError as error:
        return refused(PackageError.unreadable(path, error))
    except Exception as error:  # noqa: BLE001  # whatever a package makes our own code raise
        return refused(failure(path, "its trial fails", error))


def refused(error: PackageError) -> Outcome:
    """The outcome of a trial that ended so."""
    return Outcome("refused", error.cause, error.fix, error.is_passing)


def _attempt(path: Path, choice: PrecisionChoice, threads: int, trust: Trust) -> Outcome:
    manifest = read_manifest(path, trust)
    offered = sorted({file.precision for file in manifest.files})
    chosen: list[Precision] = offered if choice == "auto" else [choice]
    for precision in chosen:
        read_package(path, precision, trust)
    first = load(path, precision=chosen[0], threads=threads, trust=trust)
    verdicts = _verdicts(path, manifest, chosen[0], first)
    if len(chosen) == 1:
        note = "" if verdicts else "it has no golden pictures: what it finds is not compared with anything"
        return Outcome("accepted", precision=chosen[0], note=note)
    try:
        int8 = load(path, precision="int8", threads=threads, trust=trust)
        difference = _difference(verdicts, _verdicts(path, manifest, "int8", int8))
    except PackageError as error:
        if error.is_passing:
            raise
        difference = error.cause
    if difference:
        return Outcome("accepted", precision="fp32", note=f"int8 is not taken: {difference}")
    picture = _pixels(path, _golden(manifest, "fp32")[0])
    return _faster(measure({"fp32": first, "int8": int8}, picture))


def _golden(manifest: Manifest, precision: Precision) -> tuple[Golden, ...]:
    """The golden pictures of the first file of a precision, which is the one that runs."""
    return next(file.golden for file in manifest.files if file.precision == precision)


def _verdicts(
    path: Path, manifest: Manifest, precision: Precision, model: Detector
) -> dict[str, VerdictName]:
    """The verdict on each golden picture. Raises PackageError where what is found is not what is expected."""
    verdicts = {}
    for golden in _golden(manifest, precision):
        pixels = _pixels(path, golden)
        try:
            found, _ = model.detect(pixels)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated types
            raise failure(path, f"{precision} fails on {golden.image}", error) from error
        if difference := compare(golden.detections, found, manifest.thresholds.low_confidence):
            raise PackageError(path, f"{precision} finds in {golden.image}: {difference}", _PACKAGE_AGAIN)
        verdicts[golden.image] = verdict_on(found, manifest.labels, manifest.thresholds)
    return verdicts


def _pixels(path: Path, golden: Golden) -> Pixels:
    """A golden picture, decoded as an image that arrives. Raises PackageError, and OSError."""
    try:
        return decode(read_golden(path, golden), "apply", MAX_MEGAPIXELS)
    except FrameError as error:
        raise PackageError(path, f"{golden.image}: {error}", _PACKAGE_AGAIN) from error


def _difference(fp32: Mapping[str, VerdictName], int8: Mapping[str, VerdictName]) -> str | None:
    """How the two decide otherwise; with nothing to tell by they do."""
    if not fp32 or fp32.keys() != int8.keys():
        return "there are no golden pictures that both were tried on"
    for image, verdict in fp32.items():
        if int8[image] != verdict:
            return f"{image} is a {int8[image]}, and by fp32 a {verdict}"
    return None


def _faster(milliseconds: Mapping[Precision, float]) -> Outcome:
    """Which of the two to run, both deciding the same way."""
    is_faster = milliseconds["int8"] < FASTER * milliseconds["fp32"]
    note = f"int8 takes {milliseconds['int8']:g} ms a picture, fp32 {milliseconds['fp32']:g} ms"
    precision: Precision = "int8" if is_faster else "fp32"
    return Outcome("accepted", precision=precision, milliseconds=dict(milliseconds), note=note)


def measure(models: Mapping[Precision, Detector], pixels: Pixels) -> dict[Precision, float]:
    """The least milliseconds that each takes for one picture, warmed up.

    They take turns, so that what else the machine does meanwhile disturbs all alike; whatever it does, it makes
    nothing faster, so the least is what the model takes.
    """
    least_s = dict.fromkeys(models, float("inf"))
    until_s = time.monotonic() + MEASURE_S
    for turn in range(MOST_ROUNDS):
        for precision, model in models.items():
            started = time.perf_counter()
            model.detect(pixels)
            least_s[precision] = min(least_s[precision], time.perf_counter() - started)
        if turn + 1 >= LEAST_ROUNDS and time.monotonic() >= until_s:
            break
    return {precision: round(seconds * 1e3, 3) for precision, seconds in least_s.items()}


def trial(path: Path, choice: PrecisionChoice, threads: int, trust: Trust) -> int:
    """``inspector trial``: print the outcome as one line of JSON; return 1 where the package is refused."""
    outcome = attempt(path, choice, threads, trust)
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0 if outcome.verdict == "accepted" else 1
