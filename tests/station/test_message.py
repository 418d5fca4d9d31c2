"""Payloads -> messages."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from station.message import MalformedError, Result, Status, read
from station_samples import MODEL, arrived, blocked, fail, result, status, topic

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


def schema(message) -> dict:
    """The published schema of such a message."""
    return json.loads((PUBLISHED / f"{type(message).__name__.lower()}.json").read_text("utf-8"))


def nullable(message) -> list[str]:
    """The fields that the published schema lets be null."""
    fields = schema(message)["$defs"][type(message).__name__]["properties"]
    return [name for name, field in fields.items() if {"type": "null"} in field.get("anyOf", [])]


@pytest.mark.parametrize("message", [result(), fail(), status(), blocked()])
def test_what_keeps_to_the_published_schema_is_read(message):
    """Also with each field null that may be."""
    variants = [{}, *({name: None} for name in nullable(message))]
    assert len(variants) > 1
    for change in variants:
        fields = json.loads(msgspec.json.encode(message)) | change
        jsonschema.validate(fields, schema(message))
        read(topic(message), json.dumps(fields).encode())


def test_a_result_as_the_inspector_encodes_it_is_read():
    message = arrived(fail(seq=7)).message
    assert isinstance(message, Result)
    assert (message.seq, message.verdict, message.image.path) == (7, "fail", "top/tag-2.jpg")
    assert message.detections[0].confidence == 0.912
    assert message.total_latency_ms == 9.0


def test_a_status_as_the_inspector_encodes_it_is_read():
    message = arrived(status(last_seq=12)).message
    assert isinstance(message, Status)
    assert message.last_seq == 12
    assert message.model is not None
    assert message.model.version == MODEL.version


def test_a_status_for_a_reason_of_a_newer_inspector_is_read():
    fields = json.loads(msgspec.json.encode(status())) | {"event": "solstice"}
    assert read(topic(status()), json.dumps(fields).encode()).message == arrived(status()).message


def test_fields_of_a_newer_inspector_are_ignored():
    fields = json.loads(msgspec.json.encode(result())) | {"colour": "red"}
    assert read(topic(result()), json.dumps(fields).encode()).message == arrived(result()).message


def test_latency_is_the_sum_of_the_stages_that_were_reached():
    fields = json.loads(msgspec.json.encode(result()))
    for stages, total in [({"decode": 1.5, "inference": None}, 1.5), ({"decode": None}, None), ({}, None)]:
        message = read(topic(result()), json.dumps(fields | {"latency_ms": stages}).encode()).message
        assert isinstance(message, Result)
        assert message.total_latency_ms == total


def test_the_line_is_the_payload_on_one_line():
    pretty = json.dumps(json.loads(msgspec.json.encode(result())), indent=2).encode()
    received = read(topic(result()), pretty)
    assert "\n" not in received.line
    assert json.loads(received.line) == json.loads(pretty)


def test_content_does_not_depend_on_the_order_of_keys():
    fields = json.loads(msgspec.json.encode(result()))
    turned = json.dumps(dict(reversed(fields.items())), indent=1).encode()
    assert read(topic(result()), turned).content == arrived(result()).content


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"schema": "\xff"}', "utf-8"),
        (b"[1]", "schema is None"),
        (b"null", "schema is None"),
        (b'{"schema": ["x"]}', "schema is"),
        (b'{"schema": "edge-inspector/result/2"}', "result/2"),
        (b'{"schema": "edge-inspector/result/1"}', "missing required field"),
        (b"[" * 100_000, "recursion"),
        (b'{"schema": 1e999}', "out of range"),
    ],
)
def test_what_is_no_message_is_refused_in_one_line_that_says_why(payload, why):
    with pytest.raises(MalformedError) as refused:
        read("inspect/line-3/results", payload)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_truncation_of_a_message_is_refused():
    payload = msgspec.json.encode(fail())
    for length in range(len(payload)):
        with pytest.raises(MalformedError):
            read(topic(fail()), payload[:length])


def test_a_thing_cannot_speak_for_another():
    with pytest.raises(MalformedError, match="line-3"):
        read("inspect/line-4/results", msgspec.json.encode(result(thing="line-3")))
