"""The messages, byte by byte and against their published schemas."""

import json
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.command import Response
from inspector.core.detections import Detections
from inspector.core.message import (
    DetectionInfo,
    ImageInfo,
    Latency,
    ModelInfo,
    Result,
    Status,
    Subject,
    compose,
    describe,
    encode,
    topic,
)
from inspector.core.naming import legible
from inspector.core.verdict import Verdict, not_inspected

LABELS = ("scratch", "dent")
MODEL = ModelInfo("metal-tag", "1.0.0", "int8", "77a0")
SUBJECT = Subject(
    thing="line-3",
    ledger="b81e",
    seq=1287,
    id="9f2c",
    camera="top",
    part="0412",
    captured_at=1_795_316_400.123,
    inspected_at=1_795_316_400.161,
    image=ImageInfo("tag-0412.jpg", "top/tag-0412.jpg", 450, 300, "c3ab"),
)
FOUND = Detections(
    np.array([[81, 123, 163, 220], [5.126, 6, 7.5, 8]], np.float32),
    np.array([0.912, 0.4], np.float32),
    np.array([0, 1], np.int64),
)
LATENCY = Latency(decode=1.1, preprocess=0.4, inference=7.2, postprocess=0.2)
FAIL = compose(SUBJECT, MODEL, Verdict("fail", ("defect",), FOUND, ("uncertain",)), LABELS, LATENCY)
LOST = msgspec.structs.replace(
    compose(SUBJECT, MODEL, not_inspected("unreadable"), LABELS, Latency()),
    camera="",
    part=None,
    image=ImageInfo("x.jpg", "x.jpg", None, None, None),
)
RUNNING = Status(
    schema="edge-inspector/status/1",
    thing="line-3",
    sent_at="2026-11-22T03:00:00.200Z",
    version="0.1.0",
    state="running",
    event="interval",
    reason=None,
    alarms=("no_images",),
    ledger="b81e",
    last_seq=1287,
    verdicts={"pass": 1200, "fail": 80, "review": 7},
    outbox=3,
    parked=0,
    images_per_minute=120.0,
    latency_ms_p50=8.9,
    latency_ms_p99=14.25,
    confidence_mean=0.8,
    confidence_std=0.05,
    model=MODEL,
    model_refused=None,
    disk_free_bytes=1_000_000,
    archived_bytes=500_000,
    kept=2,
    kept_bytes=60_000,
    settings_errors=(),
)
BLOCKED = msgspec.structs.replace(
    RUNNING,
    state="blocked",
    event="blocked",
    reason="model: missing",
    alarms=(),
    ledger=None,
    last_seq=None,
    verdicts={},
    outbox=None,
    parked=None,
    archived_bytes=None,
    kept=None,
    kept_bytes=None,
    images_per_minute=0.0,
    latency_ms_p50=None,
    latency_ms_p99=None,
    confidence_mean=None,
    confidence_std=None,
    model=None,
    settings_errors=("LogLevel='x': Invalid enum value 'x'",),
)
GOLDEN = [
    (
        FAIL,
        b'{"schema":"edge-inspector/result/1","id":"9f2c","ledger":"b81e","seq":1287,"thing":"line-3",'
        b'"camera":"top","part":"0412","captured_at":"2026-11-22T03:00:00.123Z",'
        b'"inspected_at":"2026-11-22T03:00:00.161Z","image":{"name":"tag-0412.jpg","path":"top/tag-0412.jpg",'
        b'"width":450,"height":300,"sha256":"c3ab"},"model":{"name":"metal-tag","version":"1.0.0",'
        b'"precision":"int8","sha256":"77a0"},"verdict":"fail","reasons":["defect"],"detections":['
        b'{"class_id":0,"label":"scratch","confidence":0.912,"left":81.0,"top":123.0,"width":82.0,"height":97.0},'
        b'{"class_id":1,"label":"dent","confidence":0.4,"left":5.13,"top":6.0,"width":2.37,"height":2.0}],'
        b'"detections_total":2,"kept":["uncertain"],'
        b'"latency_ms":{"decode":1.1,"preprocess":0.4,"inference":7.2,"postprocess":0.2}}',
    ),
    (
        LOST,
        b'{"schema":"edge-inspector/result/1","id":"9f2c","ledger":"b81e","seq":1287,"thing":"line-3",'
        b'"camera":"","part":null,"captured_at":"2026-11-22T03:00:00.123Z",'
        b'"inspected_at":"2026-11-22T03:00:00.161Z","image":{"name":"x.jpg","path":"x.jpg",'
        b'"width":null,"height":null,"sha256":null},"model":{"name":"metal-tag","version":"1.0.0",'
        b'"precision":"int8","sha256":"77a0"},"verdict":"review","reasons":["unreadable"],"detections":[],'
        b'"detections_total":0,"kept":["error"],'
        b'"latency_ms":{"decode":null,"preprocess":null,"inference":null,"postprocess":null}}',
    ),
    (
        RUNNING,
        b'{"schema":"edge-inspector/status/1","thing":"line-3","sent_at":"2026-11-22T03:00:00.200Z",'
        b'"version":"0.1.0","state":"running","event":"interval","reason":null,"alarms":["no_images"],"ledger":"b81e","last_seq":1287,'
        b'"verdicts":{"pass":1200,"fail":80,"review":7},"outbox":3,"parked":0,"images_per_minute":120.0,'
        b'"latency_ms_p50":8.9,"latency_ms_p99":14.25,"confidence_mean":0.8,"confidence_std":0.05,'
        b'"model":{"name":"metal-tag","version":"1.0.0","precision":"int8","sha256":"77a0"},'
        b'"model_refused":null,"disk_free_bytes":1000000,"archived_bytes":500000,"kept":2,"kept_bytes":60000,"settings_errors":[]}',
    ),
    (
        BLOCKED,
        b'{"schema":"edge-inspector/status/1","thing":"line-3","sent_at":"2026-11-22T03:00:00.200Z",'
        b'"version":"0.1.0","state":"blocked","event":"blocked","reason":"model: missing","alarms":[],"ledger":null,'
        b'"last_seq":null,"verdicts":{},"outbox":null,"parked":null,"images_per_minute":0.0,'
        b'"latency_ms_p50":null,"latency_ms_p99":null,"confidence_mean":null,"confidence_std":null,'
        b'"model":null,"model_refused":null,"disk_free_bytes":1000000,"archived_bytes":null,"kept":null,"kept_bytes":null,'
        b"\"settings_errors\":[\"LogLevel='x': Invalid enum value 'x'\"]}",
    ),
    (
        Response("edge-inspector/response/1", "line-3", "r-1", None, 12),
        b'{"schema":"edge-inspector/response/1","thing":"line-3","request":"r-1","error":null,"results":12}',
    ),
]
golden = pytest.mark.parametrize(
    ("message", "document"), GOLDEN, ids=["fail", "not inspected", "running", "blocked", "response"]
)


def validator(kind: str) -> jsonschema.Draft202012Validator:
    """The schema that is published for messages of this kind."""
    path = Path(__file__).parents[3] / "docs" / "schema" / f"{kind}.json"
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


VALIDATORS = {"Result": validator("result"), "Status": validator("status"), "Response": validator("response")}


@golden
def test_a_message_is_these_bytes(message, document) -> None:
    """The format that consumers rely on: names, order, spelling of numbers."""
    assert msgspec.json.encode(message) == document


@golden
def test_these_bytes_are_the_message(message, document) -> None:
    """Nothing is lost on the way: what is decoded equals what was encoded."""
    assert msgspec.json.decode(document, type=type(message)) == message


@golden
def test_a_message_is_valid_by_its_published_schema(message, document) -> None:
    """The schema in the documentation describes what is sent, and names every field of it."""
    validate = VALIDATORS[type(message).__name__]
    validate.validate(json.loads(document))
    for field in json.loads(document):
        incomplete = {key: value for key, value in json.loads(document).items() if key != field}
        assert not validate.is_valid(incomplete), field
    assert not validate.is_valid(json.loads(document) | {"something": "else"})


def many(count: int) -> Result:
    """A result with so many detections, the strongest first."""
    detections = tuple(
        DetectionInfo(0, "scratch", round(1 - number / 20_000, 6), 100.25, 99.5, 31.75, 12.0)
        for number in range(count)
    )
    return msgspec.structs.replace(FAIL, detections=detections, detections_total=count)


@pytest.mark.parametrize("max_bytes", [4_000, 7_000, 131_072])
@pytest.mark.parametrize("count", [0, 1, 20, 60, 300, 10_000])
def test_the_strongest_detections_that_fit_are_sent(max_bytes, count) -> None:
    """Never more bytes than allowed, the weakest left out, as few as need be; the total tells of all."""
    whole = many(count)
    document = encode(whole, max_bytes)
    assert len(document) <= max_bytes
    sent = msgspec.json.decode(document, type=Result)
    assert sent.detections == whole.detections[: len(sent.detections)]
    assert sent.detections_total == count
    if len(sent.detections) < count:
        one_more = msgspec.structs.replace(whole, detections=whole.detections[: len(sent.detections) + 1])
        assert len(msgspec.json.encode(one_more)) > max_bytes


FILE_NAMES = st.binary(max_size=255).map(lambda name: name.decode("utf-8", "surrogateescape"))


@given(camera=st.binary(max_size=1_000), name=FILE_NAMES, part=FILE_NAMES, count=st.integers(0, 60))
def test_no_file_name_makes_a_message_too_large_or_invalid(camera, name, part, count) -> None:
    """The longest, strangest names still leave a message that fits the least MaxMessageBytes, and is valid."""
    camera = camera.decode("utf-8", "surrogateescape")
    subject = Subject(
        thing="t" * 128,
        ledger="f" * 32,
        seq=2**53,
        id="f" * 32,
        camera=camera,
        part=part,
        captured_at=0.0,
        inspected_at=0.0,
        image=ImageInfo(legible(name), legible(f"{camera}/{name}"), 65_535, 65_535, "f" * 64),
    )
    model = ModelInfo("m" * 64, "100.100.100", "fp32", "f" * 64)
    result = compose(subject, model, not_inspected("inference_error"), LABELS, LATENCY)
    document = encode(msgspec.structs.replace(result, detections=many(count).detections), 4_000)
    assert len(document) <= 4_000
    VALIDATORS["Result"].validate(json.loads(document))


def test_a_message_that_cannot_fit_says_so() -> None:
    """Sizes that no detection accounts for are an error with both numbers in it."""
    with pytest.raises(ValueError, match=r"takes \d+ bytes, MaxMessageBytes is 100"):
        encode(FAIL, 100)


def test_detections_are_described_by_their_upper_left_corner() -> None:
    """Corners become left, top, width and height, to hundredths of a pixel; the label is the model's."""
    assert describe(FOUND, LABELS) == (
        DetectionInfo(0, "scratch", 0.912, 81.0, 123.0, 82.0, 97.0),
        DetectionInfo(1, "dent", 0.4, 5.13, 6.0, 2.37, 2.0),
    )
    assert describe(Detections.none(), LABELS) == ()


def test_only_what_is_at_or_above_the_floor_is_told() -> None:
    """The message tells the verdict's detections, and counts them."""
    assert [each.label for each in FAIL.detections] == ["scratch", "dent"]
    assert FAIL.detections_total == 2


@pytest.mark.parametrize("kind", ["results", "status", "commands", "commands/response"])
def test_topics_are_prefix_thing_kind(kind) -> None:
    """One thing's topics are together, under a prefix that may have several levels."""
    assert topic("plant/inspect", "line-3", kind) == f"plant/inspect/line-3/{kind}"
