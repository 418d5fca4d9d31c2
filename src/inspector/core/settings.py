"""The component's configuration -> Settings, or every error at once.

The table in ``docs/configuration.md`` is generated from these fields.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from inspector.core.detections import RAW_FLOOR
from inspector.core.frame import Orientation
from inspector.core.package import PrecisionChoice, Thresholds, UnitInterval
from inspector.core.public_key import parse_public_key

IGNORED_KEYS = frozenset({"accesscontrol"})
"""Part of every Greengrass configuration, none of the component's business."""

_DEFAULT_THRESHOLDS = Thresholds(confidence=0.5, low_confidence=0.25)

MAX_SHOWN = 120
"""Characters of a wrong value, and of what is said of it, that an error shows."""


class ClassThresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """Thresholds of one class; null: those of all classes."""

    confidence_threshold: UnitInterval | None = None
    low_confidence_threshold: UnitInterval | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The configuration, validated. Paths are relative to the component's work directory."""

    image_directory: Annotated[
        str, msgspec.Meta(min_length=1, description="Where images arrive; a subdirectory for each camera.")
    ] = "images"
    model_directory: Annotated[
        str, msgspec.Meta(min_length=1, description="The model package, or a single ONNX file.")
    ] = "../com.edgeinspector.Model/current"
    source_mode: Annotated[
        Literal["watch", "cycle"],
        msgspec.Meta(
            description="`watch` inspects each image that arrives, once; `cycle` inspects one image of the "
            "directory every InferenceInterval, in order, for demonstrations."
        ),
    ] = "watch"
    inference_interval: Annotated[
        float, msgspec.Meta(gt=0, le=86_400, description="Seconds between two images when cycling.")
    ] = 5.0
    settle_milliseconds: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=600_000, description="How long a file written in place must stay unchanged once closed."
        ),
    ] = 500
    rescan_seconds: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=3_600,
            description="How often the directory is listed, in case events were lost or none come.",
        ),
    ] = 10.0
    ignore_pattern: Annotated[
        str, msgspec.Meta(description="Regular expression; files whose name it finds are left alone.")
    ] = r"(?i)\.(csv|db|ini|json|log|md|txt|xml|ya?ml)$"
    after_inspection: Annotated[
        Literal["archive", "delete", "leave"], msgspec.Meta(description="What becomes of an inspected file.")
    ] = "archive"
    archive_directory: Annotated[
        str, msgspec.Meta(min_length=1, description="Where inspected files go with `archive`.")
    ] = "archive"
    archive_max_megabytes: Annotated[
        int, msgspec.Meta(ge=1, description="Size of the archive; the oldest files go first.")
    ] = 512
    keep_max_megabytes: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Size of the images kept for relabelling; the least informative go first."
        ),
    ] = 1024
    audit_share: Annotated[
        UnitInterval, msgspec.Meta(description="Share of confident verdicts whose images are kept for audit.")
    ] = 0.01
    exif_orientation: Annotated[
        Orientation,
        msgspec.Meta(description="Whether the EXIF orientation turns the image; a TIFF's always does."),
    ] = "apply"
    review_unusual_images: Annotated[
        bool,
        msgspec.Meta(
            description="Whether an image that differs from those that the model knows (black, blurred, of another "
            "size, an empty conveyor) is a review, `unusual_image`, where it would pass."
        ),
    ] = True
    review_repeated_frames: Annotated[
        bool,
        msgspec.Meta(
            description="Whether an image that shows the same, pixel by pixel, as the camera's last one is a review, "
            "`repeated_frame`."
        ),
    ] = True
    no_image_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=604_800, description="Without an image for so long: alarm `no_images`; 0: never."
        ),
    ] = 600.0
    frame_timeout_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=1,
            le=3_600,
            description="An image that takes longer to decode and to judge is a review, `timeout`.",
        ),
    ] = 30.0
    max_image_megapixels: Annotated[
        float, msgspec.Meta(gt=0, le=1_000, description="Larger images are not decoded: review, `too_large`.")
    ] = 50.0
    max_image_megabytes: Annotated[
        float, msgspec.Meta(gt=0, le=2_000, description="Larger files are not read: review, `too_large`.")
    ] = 100.0
    part_pattern: Annotated[
        str,
        msgspec.Meta(description="Regular expression that finds the part in a file name, as group `part`."),
    ] = ""
    capture_time_pattern: Annotated[
        str,
        msgspec.Meta(
            description="Regular expression with groups `year` … `second`, `fraction` that finds the capture time "
            "(UTC) in a file name; else it is the modification time."
        ),
    ] = ""
    confidence_threshold: Annotated[
        UnitInterval | None,
        msgspec.Meta(description="Detections at or above fail the part; null: the model's."),
    ] = None
    low_confidence_threshold: Annotated[
        UnitInterval | None, msgspec.Meta(description="Detections below are ignored; null: the model's.")
    ] = None
    class_thresholds: Annotated[
        dict[str, ClassThresholds],
        msgspec.Meta(
            description='Exceptions by label: `{"scratch": {"ConfidenceThreshold": 0.6, '
            '"LowConfidenceThreshold": 0.3}}`.'
        ),
    ] = {}
    iou_threshold: Annotated[
        UnitInterval,
        msgspec.Meta(description="Of two detections of a class that overlap by more, the weaker is dropped."),
    ] = 0.7
    max_detections: Annotated[
        int, msgspec.Meta(ge=1, le=10_000, description="At most so many per image.")
    ] = 300
    precision: Annotated[
        PrecisionChoice,
        msgspec.Meta(
            description="Which file of the model package runs. `auto`: `int8` where this device is faster with "
            "it and it decides the golden pictures as `fp32` does, else `fp32`."
        ),
    ] = "auto"
    probation_frames: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=100_000,
            description="So many images a new model judges with the one before it at hand: on the first that it "
            "fails on, or if the process dies, the one before judges again, and the new one is refused. 0: none.",
        ),
    ] = 200
    inference_threads: Annotated[
        int, msgspec.Meta(ge=0, le=256, description="Threads of ONNX Runtime; 0: one for each core.")
    ] = 0
    topic_prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^/+#\s$]+(/[^/+#\s]+){0,3}\Z",
            max_length=100,
            description="First part of every topic; at most four levels and 100 characters.",
        ),
    ] = "inspect"
    publish_to_topic: Annotated[
        bool, msgspec.Meta(description="Publish results to the local topic, for components on this device.")
    ] = True
    publish_to_iot_core: Annotated[
        bool, msgspec.Meta(description="Publish results and status to AWS IoT Core.")
    ] = msgspec.field(default=True, name="PublishToIoTCore")
    backlog_per_second: Annotated[
        float, msgspec.Meta(gt=0, le=1_000, description="How fast results held up by an outage follow.")
    ] = 20.0
    max_message_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=4_000, le=131_072, description="Largest result; the weakest detections are left out."
        ),
    ] = 7_000
    retention_days: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=3_650,
            description="How long published results stay in the ledger, to be resent on request.",
        ),
    ] = 30.0
    ledger_max_megabytes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Size of the ledger; above it the oldest published results go before their time.",
        ),
    ] = 512
    disk_low_megabytes: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="With less free space the archive gives way, then kept images, the least informative first.",
        ),
    ] = 1_024
    disk_full_megabytes: Annotated[
        int,
        msgspec.Meta(ge=0, description="With less free space no image is taken until there is more."),
    ] = 128
    require_signature: Annotated[
        bool, msgspec.Meta(description="Refuse a model package that PublicKey does not verify.")
    ] = False
    public_key: Annotated[
        str,
        msgspec.Meta(description="RSA public key, PEM, that verifies `manifest.sig` of the model package."),
    ] = ""
    status_interval_seconds: Annotated[
        float, msgspec.Meta(ge=1, le=86_400, description="How often the status is published.")
    ] = 60.0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], msgspec.Meta(description="Least level that is logged.")
    ] = "INFO"

    def thresholds(self, model: Thresholds | None) -> Thresholds:
        """Those of the configuration, else of the model, else 0.5 and 0.25; one given alone moves the other."""
        base = model or _DEFAULT_THRESHOLDS
        return _override(base, self.confidence_threshold, self.low_confidence_threshold)

    def thresholds_by_label(self, model: Thresholds | None) -> dict[str, Thresholds]:
        """The exceptions of ``class_thresholds``, completed."""
        base = self.thresholds(model)
        return {
            label: _override(base, each.confidence_threshold, each.low_confidence_threshold)
            for label, each in self.class_thresholds.items()
        }


class SettingsError(Exception):
    """The configuration is invalid; ``errors`` names everything that is wrong with it."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(f"configuration refused, {len(errors)} error(s): " + "; ".join(errors))
        self.errors = tuple(errors)


def parse(configuration: Mapping[str, Any]) -> tuple[Settings, tuple[str, ...]]:
    """Validate a configuration; return the settings and warnings about unknown keys.

    Keys are matched without regard to case, as Greengrass does. Numbers and booleans may come as strings.
    Raises SettingsError with every error.
    """
    fields = {each.encode_name.lower(): each for each in msgspec.structs.fields(Settings)}
    values, errors, warnings = {}, [], []
    for key, value in configuration.items():
        if (known := fields.get(key.lower())) is not None:
            try:
                values[known.name] = msgspec.convert(value, known.type, strict=False)
            except msgspec.ValidationError as error:
                errors.append(f"{known.encode_name}={_short(repr(value))}: {_short(str(error))}")
        elif key.lower() not in IGNORED_KEYS:
            warnings.append(_unknown(key))
    settings = Settings(**values)
    errors += _combinations(settings)
    if errors:
        raise SettingsError(errors)
    return settings, (*warnings, *_out_of_sight(settings))


def _combinations(settings: Settings) -> list[str]:
    """What no field can tell alone."""
    errors = []
    for name in ("ignore_pattern", "part_pattern", "capture_time_pattern"):
        try:
            re.compile(getattr(settings, name))
        except (re.error, OverflowError, RecursionError) as error:
            errors.append(f"{name.title().replace('_', '')} is no regular expression: {error}")
    errors += [
        f"{name.title().replace('_', '')} holds a zero byte"
        for name in ("image_directory", "model_directory", "archive_directory")
        if "\0" in getattr(settings, name)
    ]
    if _lies_in(settings.archive_directory, settings.image_directory):
        errors.append(
            "ArchiveDirectory lies in ImageDirectory, where what is archived would be inspected again"
        )
    if settings.disk_full_megabytes > settings.disk_low_megabytes:
        full, low = settings.disk_full_megabytes, settings.disk_low_megabytes
        errors.append(f"DiskFullMegabytes {full} is above DiskLowMegabytes {low}")
    if settings.require_signature and not settings.public_key:
        errors.append("RequireSignature needs a PublicKey")
    if settings.public_key:
        try:
            parse_public_key(settings.public_key)
        except ValueError as error:
            errors.append(f"PublicKey cannot be used: {error}")
    for of_class, accept, floor in _given_thresholds(settings):
        if accept is not None and floor is not None and floor > accept:
            errors.append(
                f"LowConfidenceThreshold{of_class} {floor:g} is above ConfidenceThreshold{of_class} {accept:g}"
            )
    return errors


def _lies_in(inner: str, outer: str) -> bool:
    """Whether one path is the other or below it, by their text; both relative to the same directory."""
    inner, outer = (posixpath.normpath(posixpath.join("/work", path)) for path in (inner, outer))
    return posixpath.commonpath((inner, outer)) == outer


def _given_thresholds(settings: Settings) -> list[tuple[str, float | None, float | None]]:
    """Whose, the accepting and the floor: those of all classes, then each exception."""
    given = [("", settings.confidence_threshold, settings.low_confidence_threshold)]
    for label, each in settings.class_thresholds.items():
        given.append((f" of {label}", each.confidence_threshold, each.low_confidence_threshold))
    return given


def _override(base: Thresholds, confidence: float | None, low_confidence: float | None) -> Thresholds:
    """Replace what is given; where only one is given, the other gives way to it."""
    accept = base.confidence if confidence is None else confidence
    floor = base.low_confidence if low_confidence is None else low_confidence
    if low_confidence is None:
        floor = min(floor, accept)
    elif confidence is None:
        accept = max(floor, accept)
    return Thresholds(confidence=accept, low_confidence=floor)


def _out_of_sight(settings: Settings) -> list[str]:
    """Warnings of thresholds below what the detector reports."""
    return [
        f"{name}{of_class} {value:g} acts as {RAW_FLOOR:g}: weaker detections are not looked at"
        for of_class, accept, floor in _given_thresholds(settings)
        for name, value in (("ConfidenceThreshold", accept), ("LowConfidenceThreshold", floor))
        if value is not None and value < RAW_FLOOR
    ]


def _unknown(key: str) -> str:
    names = [each.encode_name for each in msgspec.structs.fields(Settings)]
    close = difflib.get_close_matches(key, names, n=1)
    return f"unknown key {_short(key)} is ignored" + (f"; did you mean {close[0]}?" if close else "")


def _short(text: str) -> str:
    """Fit for a message of limited size."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
