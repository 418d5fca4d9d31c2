"""A claimed file to its result; whatever goes wrong with one frame is a review."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest

from inspector.core.detections import Detections
from inspector.core.frame import Frame, FrameError, Identity
from inspector.core.message import Latency, ModelInfo, Result
from inspector.core.package import KnownImages, Thresholds
from inspector.core.settings import Settings, parse
from inspector.examiner import Examiner, LastFrames, Taken
from inspector.ports import Claimed, Detector
from inspector_fakes import FakeDetector, picture

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "result.json").read_text())


def claimed(data: bytes | None, path: str = "top/tag-0412.jpg") -> Claimed:
    identity = Identity(path, 1_000_000_000, len(data or b""), "ab" * 32 if data else "")
    return Claimed(identity, Path("/images") / "x.jpg", 1.0, data)


def examiner(detector: Detector | None = None, **configuration) -> Examiner:
    settings, _ = parse({"AuditShare": 0} | configuration)
    return Examiner("line-3", "b81e", settings, detector or FakeDetector())


def examine(inspect: Examiner, file: Claimed) -> Result:
    """The message about a file, as a consumer reads it."""
    taken = inspect.decode(file)
    result = inspect.result(inspect.judge(taken), 7, 2.0)
    document = inspect.encode(result)
    jsonschema.validate(json.loads(document), SCHEMA)
    assert msgspec.json.decode(document, type=Result) == result
    return result


def test_a_good_file_becomes_a_complete_result() -> None:
    """Who, what, when, by which model, and how long each stage took."""
    result = examine(examiner(PartPattern=r"tag-(?P<part>\d+)"), claimed(picture()))
    assert (result.verdict, result.reasons, result.kept) == ("fail", ("defect",), ())
    assert (result.thing, result.ledger, result.seq) == ("line-3", "b81e", 7)
    assert (result.camera, result.part, result.image.name) == ("top", "0412", "tag-0412.jpg")
    assert (result.image.width, result.image.height, result.image.sha256) == (64, 48, "ab" * 32)
    assert (result.captured_at, result.inspected_at) == (
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:02.000Z",
    )
    assert [(each.label, each.left, each.height) for each in result.detections] == [("scratch", 1.0, 20.0)]
    assert result.latency_ms.decode is not None
    assert result.latency_ms.decode > 0
    assert (result.latency_ms.preprocess, result.latency_ms.inference) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("data", "configuration", "code"),
    [
        (None, {}, "too_large"),
        (b"", {}, "unreadable"),
        (picture()[:-20], {}, "unreadable"),
        (b"not a picture at all", {}, "unsupported"),
        (picture(), {"MaxImageMegapixels": 0.001}, "too_large"),
    ],
    ids=["not read", "empty", "truncated", "text", "many pixels"],
)
def test_a_file_that_cannot_be_inspected_is_a_review(data, configuration, code, caplog) -> None:
    """With its code, nothing detected, the image kept, one warning that tells file and cause; the model isn't run."""

    def never() -> None:
        raise AssertionError("the model was run")

    result = examine(examiner(FakeDetector(before=never), **configuration), claimed(data))
    assert (result.verdict, result.reasons, result.kept) == ("review", (code,), ("error",))
    assert (result.detections, result.detections_total) == ((), 0)
    assert (result.image.width, result.image.height) == (None, None)
    (record,) = caplog.records
    assert (record.levelno, record.path, record.reason) == (logging.WARNING, "top/tag-0412.jpg", code)
    assert record.cause


class Broken(FakeDetector):
    """Returns what it is given, as a model might that is broken in its own way."""

    def __init__(self, found: Detections) -> None:
        super().__init__()
        self.found = found

    def detect(self, pixels, *, iou: float = 0.7, max_detections: int = 300):
        return self.found, Latency()


def fails() -> None:
    raise RuntimeError("[ONNXRuntimeError] : 6 : out of memory")


UNKNOWN_CLASS = Detections(np.zeros((1, 4), np.float32), np.array([0.9], np.float32), np.array([3], np.int64))


@pytest.mark.parametrize(
    ("detector", "cause"),
    [(FakeDetector(before=fails), "out of memory"), (Broken(UNKNOWN_CLASS), "IndexError")],
    ids=["inference", "a class without a label"],
)
def test_whatever_the_model_does_to_one_frame_is_a_review(detector, cause, caplog) -> None:
    """Never a pass, and never the end of the line: the next frame is another matter."""
    result = examine(examiner(detector), claimed(picture()))
    assert (result.verdict, result.reasons, result.kept) == ("review", ("inference_error",), ("error",))
    assert (result.image.width, result.image.height) == (64, 48)
    assert cause in caplog.records[0].cause


def test_a_frame_refused_before_decoding_keeps_its_reason() -> None:
    """A file over which the process died twice isn't opened a third time."""
    inspect = examiner()
    file = claimed(picture())
    taken = Taken(inspect.inspection_id(file), file, FrameError("crashed", "the process died over it, twice"))
    assert inspect.judge(taken).verdict.reasons == ("crashed",)


@pytest.mark.parametrize(
    ("configuration", "model", "verdict"),
    [
        ({}, None, "review"),
        ({}, Thresholds(confidence=0.4, low_confidence=0.1), "fail"),
        ({"ConfidenceThreshold": 0.3}, None, "fail"),
        ({"LowConfidenceThreshold": 0.5}, None, "pass"),
        ({"ClassThresholds": {"scratch": {"ConfidenceThreshold": 0.41}}}, None, "fail"),
    ],
)
def test_thresholds_come_from_the_configuration_then_the_model(configuration, model, verdict) -> None:
    """One scratch at 0.42, judged."""
    detector = FakeDetector(confidence=0.42)
    detector.thresholds = model
    assert examine(examiner(detector, **configuration), claimed(picture())).verdict == verdict


def test_thresholds_of_a_class_that_the_model_has_not_are_warned_of(caplog) -> None:
    """A label that is misspelt would otherwise leave its class to the thresholds of all."""
    examiner(ClassThresholds={"scrach": {"ConfidenceThreshold": 0.9}, "scratch": {}})
    (record,) = caplog.records
    assert (record.levelno, record.labels) == (logging.WARNING, ["scrach"])


def test_the_audit_keeps_its_share() -> None:
    """All are audited at 1, none at 0."""
    everyone, nobody = examiner(AuditShare=1), examiner(AuditShare=0)
    assert examine(everyone, claimed(picture())).kept == ("audit",)
    assert examine(nobody, claimed(picture())).kept == ()


def test_names_that_are_not_utf_8_are_spelled_out_wherever_they_appear() -> None:
    """In camera, part, name and path; the message stays valid."""
    result = examine(examiner(PartPattern=r"^(.*)\."), claimed(picture(), "b\udce4d/part\udcff 1.jpg"))
    assert (result.camera, result.part) == (r"b\xe4d", r"part\xff 1")
    assert result.image.path == r"b\xe4d/part\xff 1.jpg"


def test_what_the_verdict_ignores_is_on_record_all_the_same() -> None:
    """Raw detections below the floor are encoded for the ledger, so that a threshold can be tried on past parts."""
    inspect = examiner(FakeDetector(confidence=0.06))
    judged = inspect.judge(inspect.decode(claimed(picture())))
    assert judged.verdict.name == "pass"
    assert [each["confidence"] for each in json.loads(inspect.encode_raw(judged))] == [0.06]


def test_a_result_is_cut_to_the_configured_size() -> None:
    """MaxMessageBytes holds for what is encoded."""
    count = 300
    found = Detections(
        np.zeros((count, 4), np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
    )
    inspect = examiner(Broken(found), MaxMessageBytes=5_000)
    taken = inspect.decode(claimed(picture()))
    document = inspect.encode(inspect.result(inspect.judge(taken), 1, 0.0))
    assert len(document) <= 5_000
    assert json.loads(document)["detections_total"] == count


def test_the_id_is_of_thing_and_file_version() -> None:
    """The same for every examiner of one thing, whatever its settings or model."""
    file = claimed(picture())
    first = examiner()
    other = Examiner("line-3", "another ledger", Settings(max_detections=1), Broken(Detections.none()))
    assert first.inspection_id(file) == other.inspection_id(file) == first.decode(file).id
    assert Examiner("line-4", "b81e", Settings(), FakeDetector()).inspection_id(file) != first.inspection_id(
        file
    )


def test_a_decoded_frame_is_the_picture_in_its_file() -> None:
    """With the identity and capture time that it was claimed with."""
    file = claimed(picture())
    frame = examiner().decode(file).frame
    assert isinstance(frame, Frame)
    assert (frame.identity, frame.captured_at, frame.pixels.shape) == (file.identity, 1.0, (48, 64, 3))


def detector_that_knows(**bounds: tuple[float, float]) -> FakeDetector:
    """Finds nothing, and knows pictures within the bounds."""
    detector = FakeDetector(confidence=0.01)
    detector.known_images = KnownImages(1, bounds, (0.0,) * 54)
    return detector


DARK = {"brightness": (0.0, 10.0), "megapixels": (1.0, 2.0)}
"""No picture here is; noise has a brightness of about 128."""


def test_an_unusual_picture_is_a_review_and_says_what_is_unusual(caplog) -> None:
    """Kept as novel; one warning with the file and each measure, its value, its bounds."""
    result = examine(examiner(detector_that_knows(**DARK)), claimed(picture()))
    assert (result.verdict, result.reasons, result.kept) == ("review", ("unusual_image",), ("novel",))
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.WARNING, "unusual image")
    assert record.path == "top/tag-0412.jpg"
    assert record.cause.startswith("brightness 12") and "; megapixels 0.00307, known 1 to 2" in record.cause


def test_what_is_unusual_stands_beside_the_verdict() -> None:
    """For ``inspector once``; empty where nothing is."""
    for known, expected in ((DARK, 2), ({}, 0)):
        inspect = examiner(detector_that_knows(**known))
        assert len(inspect.judge(inspect.decode(claimed(picture()))).unusual) == expected


def test_an_unusual_picture_with_a_defect_stays_a_fail() -> None:
    """With both reasons, and its detections."""
    detector = detector_that_knows(**DARK)
    detector.confidence = 0.9
    result = examine(examiner(detector), claimed(picture()))
    assert (result.verdict, result.reasons, result.kept) == ("fail", ("defect", "unusual_image"), ("novel",))
    assert result.detections_total == 1


def test_unusual_pictures_pass_where_the_setting_says_so(caplog) -> None:
    """ReviewUnusualImages false: nothing is measured, and nothing said, also without a package that could."""
    result = examine(examiner(detector_that_knows(**DARK), ReviewUnusualImages=False), claimed(picture()))
    ignorant = FakeDetector()
    ignorant.known_images = None
    examiner(ignorant, ReviewUnusualImages=False)
    assert (result.verdict, caplog.records) == ("pass", [])


def test_a_model_that_knows_no_pictures_is_warned_of(caplog) -> None:
    """Once, with what to do; its pictures are judged by what is found in them."""
    detector = detector_that_knows()
    detector.known_images = None
    assert examine(examiner(detector), claimed(picture())).verdict == "pass"
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.WARNING, "unusual images are not told")
    assert "--images" in record.fix


def verdicts(inspect: Examiner, *files: Claimed) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    results = [examine(inspect, file) for file in files]
    return [(each.verdict, each.reasons, each.kept) for each in results]


PASS = ("pass", (), ())
REPEATED = ("review", ("repeated_frame",), ())


def test_the_same_picture_again_is_a_review(caplog) -> None:
    """Each time, whatever the file is called and however it is encoded, until the camera shows another; one warning
    each, with the camera."""
    inspect = examiner(detector_that_knows())
    same = claimed(picture(1, ".png"), "top/b.png"), claimed(picture(1, ".bmp"), "top/c.bmp")
    files = (
        claimed(picture(1, ".png"), "top/a.png"),
        *same,
        claimed(picture(2)),
        claimed(picture(1, ".png")),
    )
    assert verdicts(inspect, *files) == [PASS, REPEATED, REPEATED, PASS, PASS]
    assert [(each.message, each.path, each.camera) for each in caplog.records] == [
        ("repeated frame", "top/b.png", "top"),
        ("repeated frame", "top/c.bmp", "top"),
    ]


def test_what_is_found_in_a_repeated_frame_is_reported() -> None:
    """A stuck camera's fail stays one, and its uncertain picture is not kept again."""
    detector = detector_that_knows()
    files = [claimed(picture(), name) for name in ("top/a.jpg", "top/b.jpg")]
    detector.confidence = 0.9
    assert verdicts(examiner(detector), *files)[1] == ("fail", ("defect", "repeated_frame"), ())
    detector.confidence = 0.3
    first, second = verdicts(examiner(detector), *files)
    assert first == ("review", ("uncertain",), ("uncertain",))
    assert second == ("review", ("uncertain", "repeated_frame"), ())


def test_each_camera_repeats_only_itself() -> None:
    """Two cameras may show the same."""
    files = [claimed(picture(), name) for name in ("top/a.jpg", "left/a.jpg", "a.jpg", "top/b.jpg")]
    assert verdicts(examiner(detector_that_knows()), *files) == [PASS, PASS, PASS, REPEATED]


def test_a_second_inspection_of_the_same_version_is_no_repetition() -> None:
    """As after an image that was judged and could not be put on record."""
    assert verdicts(examiner(detector_that_knows()), claimed(picture()), claimed(picture())) == [PASS, PASS]


def test_repeated_frames_pass_where_the_setting_says_so() -> None:
    """ReviewRepeatedFrames false."""
    inspect = examiner(detector_that_knows(), ReviewRepeatedFrames=False)
    assert verdicts(inspect, claimed(picture(), "a.jpg"), claimed(picture(), "b.jpg")) == [PASS, PASS]


def test_cycling_through_a_directory_repeats_nothing() -> None:
    """There the same files come again and again on purpose."""
    files = [claimed(picture()), claimed(picture())]
    cycled = [
        replace(file, identity=replace(file.identity, occurrence=number))
        for number, file in enumerate(files, start=1)
    ]
    assert verdicts(examiner(detector_that_knows()), *cycled) == [PASS, PASS]


def test_of_many_cameras_those_that_delivered_last_are_remembered() -> None:
    """The memory is bounded: whoever makes up names of cameras can't fill it."""
    last, pixels = LastFrames(), np.zeros((4, 4, 3), np.uint8)

    def shows(camera: int, name: str) -> bool:
        identity = Identity(f"{camera}/{name}", 1, 1, "ab")
        return last.repeats(identity.inspection_id("line-3"), Frame(identity, 0.0, pixels))

    assert not any(shows(camera, "a") for camera in range(LastFrames.MAX_CAMERAS))
    assert shows(0, "b")
    assert not shows(LastFrames.MAX_CAMERAS, "a")
    assert shows(0, "c") and not shows(1, "b")
    assert len(last._last) == LastFrames.MAX_CAMERAS


def named(version: str, **arguments) -> FakeDetector:
    """A model of this version."""
    detector = FakeDetector(**arguments)
    detector.info = ModelInfo("tag", version, "fp32", "0" * 64)
    return detector


def test_what_was_judged_names_the_model_that_judged_it() -> None:
    """Also where another has taken its place before the message is made; labels and thresholds are that model's."""
    old, new = named("1.0.0"), named("2.0.0", confidence=0.42)
    new.labels, new.thresholds = ("dent",), Thresholds(confidence=0.4, low_confidence=0.1)
    inspect = examiner(old)
    before = inspect.judge(inspect.decode(claimed(picture(1))))
    inspect.exchange(new, old)
    after = inspect.judge(inspect.decode(claimed(picture(2))))
    for judged, version, label in ((before, "1.0.0", "scratch"), (after, "2.0.0", "dent")):
        result = inspect.result(judged, 1, 2.0)
        assert (result.model.version, result.verdict) == (version, "fail")
        assert [each.label for each in result.detections] == [label]
        assert json.loads(inspect.encode_raw(judged))[0]["label"] == label


def test_a_frame_that_a_new_model_fails_on_has_one_verdict_by_the_one_before(caplog) -> None:
    """No review, no second message; from then on the one before judges, and why is told."""
    inspect = examiner(named("1.0.0"))
    inspect.exchange(named("2.0.0", before=fails), named("1.0.0"))
    for seed in range(2):
        result = examine(inspect, claimed(picture(seed)))
        assert (result.verdict, result.model.version) == ("fail", "1.0.0")
    assert "out of memory" in (inspect.succession.failure or "")
    assert not caplog.records


def test_a_frame_that_nobody_can_judge_is_a_review_by_the_model_in_use() -> None:
    """It proves nothing against the new one."""
    inspect = examiner(named("1.0.0"))
    inspect.exchange(named("2.0.0", before=fails), named("1.0.0", before=fails))
    result = examine(inspect, claimed(picture()))
    assert (result.verdict, result.reasons) == ("review", ("inference_error",))
    assert (result.model.version, inspect.succession.failure) == ("2.0.0", None)


def test_a_new_model_proves_itself_on_frames_alone() -> None:
    """ProbationFrames of them; unreadable files are none."""
    inspect = examiner(named("1.0.0"), ProbationFrames=2)
    inspect.exchange(named("2.0.0"), named("1.0.0"))
    for content in (b"", picture(1), b"no picture at all", b""):
        examine(inspect, claimed(content))
    assert inspect.succession.predecessor
    examine(inspect, claimed(picture(2)))
    assert inspect.succession.predecessor is None


def test_an_exchange_forgets_no_frame() -> None:
    """A stuck camera is a stuck camera, whichever model looks; also where two models judge the same frame."""
    knows = detector_that_knows()
    inspect = examiner(knows)
    first = examine(inspect, claimed(picture(1, ".png"), "top/a.png"))
    inspect.exchange(named("2.0.0", before=fails), knows)
    second = examine(inspect, claimed(picture(1, ".png"), "top/b.png"))
    assert (first.reasons, second.reasons) == ((), ("repeated_frame",))
    assert second.model.version == knows.info.version
