"""The component as a factory gets it: started from its recipe, fed with files, heard over MQTT."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import zlib
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge import DOUBTFUL, FAILING, MODEL, PASSING, SAMPLES, Edge, held, only_classic, only_lite
from edgehost.configuration import now_ms
from edgehost.deployment import DeploymentError
from edgehost.profile import Profile
from mosquitto_broker import until

ROOT = Path(__file__).parents[2]


def schema(name: str) -> dict:
    return json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text())


def black_png(width: int, height: int) -> bytes:
    """A grey PNG of any size, small in bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_each_image_gets_one_verdict(edge: Edge):
    """Every sample gets one schema-valid result, numbered without gaps; images are archived, unsure ones kept."""
    edge.start()
    names = sorted(path.name for path in SAMPLES.glob("*.jpg"))
    for name in names:
        edge.drop(SAMPLES / name, name)
    results = edge.wait_for_results(len(names))
    for result in results:
        jsonschema.validate(result, schema("result"))
    assert sorted(each["image"]["name"] for each in results) == names
    assert [each["seq"] for each in results] == list(range(1, len(names) + 1))
    assert {each["verdict"] for each in results} == {"pass", "fail", "review"}
    edge.wait_until_settled()
    assert sorted(path.name[22:] for path in (edge.work / "archive").iterdir()) == names
    kept = {path.stem for path in (edge.work / "kept").glob("*.json")}
    assert kept == {each["id"] for each in results if each["kept"]}
    for status in edge.statuses:
        jsonschema.validate(status, schema("status"))


def test_the_line_hears_the_same_bytes_locally(edge: Edge):
    """A component on the device hears over the local topic what AWS IoT Core hears."""
    access = {"aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}}}
    edge.host.configuration.merge("com.example.Gate", (), {"accessControl": access}, now_ms())
    token = edge.host.tokens.issue("com.example.Gate")
    client = GreengrassCoreIPCClientV2(connect(ipc_socket=str(edge.host.socket_path), authtoken=token))
    heard: list[bytes] = []
    client.subscribe_to_topic(
        topic="inspect/edgehost-1/results",
        on_stream_event=lambda event: heard.append(bytes(event.binary_message.message)),
    )
    edge.start()
    edge.drop(FAILING, "a.jpg")
    edge.wait_for_results(1)
    until(lambda: len(heard) == 1, "the local topic carries it")
    client.close()
    assert heard == edge.payloads


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
def test_sigterm_stops_in_order_and_a_restart_inspects_nothing_again(edge: Edge, after: str):
    """The component stops within 5 s with nothing half-done, and a second start finds nothing to do."""
    edge.start(AfterInspection=after)
    for number in range(10):
        edge.drop(FAILING, f"{number}.jpg")
    edge.wait_for_results(3)
    assert edge.stop() < 5
    edge.restart()
    results = edge.results
    edge.wait_for_status(lambda status: status["event"] == "start" and status["last_seq"] > 0)
    edge.drop(PASSING, "last.jpg")
    # The last is live, and overtakes what the first run left behind.
    until(lambda: len({each["id"] for each in results}) >= 11, "all are inspected")
    assert any(each["image"]["name"] == "last.jpg" for each in results)
    assert len({each["id"] for each in results}) == len({each["seq"] for each in results}) == 11
    edge.wait_until_settled()
    assert edge.stop() < 5
    with sqlite3.connect(edge.work / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM inspections").fetchone() == (11,)
        assert ledger.execute("SELECT count(*) FROM inspections WHERE NOT settled").fetchone() == (0,)
        assert ledger.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
    ledger.close()
    assert len(list((edge.images / "top").glob("*.jpg"))) == (11 if after == "leave" else 0)


def test_a_kill_loses_nothing(edge: Edge):
    """Killed while it works, the component is started again and every image has one verdict."""
    edge.start()
    for number in range(40):
        edge.drop(DOUBTFUL, f"{number:02}.jpg")
    edge.wait_for_results(5)
    os.kill(edge.pid, 9)
    until(lambda: len({each["id"] for each in edge.results}) == 40, "all 40 are inspected", 40)
    by_id = {each["id"]: each for each in edge.results}
    assert all(by_id[each["id"]] == each for each in edge.results)
    assert sorted(each["seq"] for each in by_id.values()) == list(range(1, 41))
    edge.wait_until_settled()
    assert len(list((edge.work / "kept").glob("*.json"))) == 40


def test_an_empty_picture_and_a_stuck_camera_pass_nothing(edge: Edge):
    """A black picture is a review and kept as novel; a good one that comes again is a review, and not kept."""
    edge.start(ReviewRepeatedFrames=True)
    black = cv2.imencode(".png", np.zeros((300, 450, 3), np.uint8))[1].tobytes()
    for count, (source, name) in enumerate([(black, "black.png"), (PASSING, "1.jpg"), (PASSING, "2.jpg")], 1):
        edge.drop(source, name)
        edge.wait_for_results(count)
    verdicts = edge.verdicts()
    verdict, reasons = verdicts.pop("black.png")
    assert verdict == "review" and "unusual_image" in reasons
    assert verdicts == {"1.jpg": ("pass", ()), "2.jpg": ("review", ("repeated_frame",))}
    kept_black, *kept_others = [each["kept"] for each in edge.results]
    assert kept_black and kept_others == [[], []]
    edge.wait_until_settled()
    assert [path.suffix for path in sorted((edge.work / "kept").iterdir())] == [".json", ".png"]
    assert "brightness 0, known" in edge.log


def test_whatever_lies_in_the_directory_has_a_defined_outcome(edge: Edge):
    """What cannot be inspected is a review with its code, in quarantine; what is no file is left alone; the line
    goes on."""
    edge.start()
    good, directory = FAILING.read_bytes(), edge.images / "top"
    outside = edge.host.root / "outside.jpg"
    outside.write_bytes(good)
    reviews = {
        "truncated.jpg": (good[: len(good) // 2], "unreadable"),
        "empty.jpg": (b"", "unreadable"),
        "text.jpg": (b"no picture at all\n", "unsupported"),
        "huge.png": (black_png(30_000, 30_000), "too_large"),
    }
    fine = [
        "with a space.jpg",
        "größe-标签.jpg",
        "new\nline.jpg",
        "no extension",
        "10-53-58-45-right-top.jpg_3",
    ]
    directory.mkdir(parents=True)
    (directory / "link.jpg").symlink_to(outside)
    os.mkfifo(directory / "fifo.jpg")
    (directory / "directory.jpg").mkdir()
    (directory / "labels.csv").write_text("image,tag,boxes\n")
    for name, (content, _) in reviews.items():
        edge.drop(content, name)
    for name in fine:
        edge.drop(good, name)
    edge.drop(good, os.fsdecode(b"not-utf8-\xff.jpg"))
    edge.drop(good, "inside.jpg", "top/directory.jpg")
    edge.wait_for_results(len(reviews) + len(fine) + 2)
    edge.wait_until_settled()
    verdicts = edge.verdicts()
    assert {name: verdicts[name] for name in reviews} == {
        name: ("review", (code,)) for name, (_, code) in reviews.items()
    }
    judged = [*fine, "not-utf8-\\xff.jpg", "inside.jpg"]
    assert {verdicts[name][0] for name in judged} == {"fail"}
    assert len(list((edge.work / "quarantine").glob("*.json"))) == len(reviews)
    left = {"link.jpg", "fifo.jpg", "directory.jpg", "labels.csv"}
    assert left <= {path.name for path in directory.iterdir()} and outside.read_bytes() == good
    assert edge.log.count("file left alone path=top/link.jpg") == 1
    assert edge.log.count("file left alone path=top/fifo.jpg") == 1
    assert edge.log.count("watched as a camera's path=top/directory.jpg") == 1


def test_a_missing_model_blocks_until_it_is_there(edge: Edge, tmp_path: Path):
    """Without a model the status is ``blocked`` with the path and the fix; work starts once it appears."""
    model = tmp_path / "elsewhere"
    edge.deploy(ModelDirectory=str(model))
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert str(model) in status["reason"] and "deploy com.edgeinspector.Model" in status["reason"]
    edge.drop(FAILING, "a.jpg")
    shutil.copytree(edge.host.root / "work" / MODEL / "current", model)
    assert edge.wait_for_results(1)[0]["verdict"] == "fail"
    assert edge.wait_for_status(lambda status: status["event"] == "unblocked")["reason"] is None


def test_a_corrupt_model_blocks_until_it_is_mended(edge: Edge, tmp_path: Path):
    """A file that differs from its SHA-256 is refused, by name; the mended package is taken."""
    edge.start()
    model = tmp_path / "damaged"
    shutil.copytree(edge.host.root / "work" / MODEL / "current", model)
    content = (model / "fp32.onnx").read_bytes()
    (model / "fp32.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    edge.deploy(ModelDirectory=str(model), Precision="fp32")
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert "fp32.onnx has SHA-256" in status["reason"]
    (model / "fp32.onnx").write_bytes(content)
    edge.wait_for_status(lambda status: status["event"] == "unblocked")


def test_a_missing_image_directory_blocks_until_it_is_mounted(edge: Edge, tmp_path: Path):
    """A directory outside the work directory is waited for; and again when it goes away."""
    images = tmp_path / "mount"
    edge.deploy(ImageDirectory=str(images))
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert str(images) in status["reason"] and "mount it" in status["reason"]
    images.mkdir()
    edge.wait_for_status(lambda status: status["event"] == "unblocked")
    shutil.copyfile(FAILING, images / "a.jpg")
    edge.wait_for_results(1)
    until(lambda: not list(images.rglob("*.jpg")), "the image is settled")
    shutil.rmtree(images)
    until(lambda: edge.statuses[-1]["event"] == "blocked", "its loss is noticed")
    images.mkdir()
    shutil.copyfile(PASSING, images / "b.jpg")
    edge.wait_for_results(2)


def test_an_unusable_archive_blocks_until_it_is_mended(edge: Edge, tmp_path: Path):
    """A directory that cannot be written is named, with the fix; nothing is inspected before."""
    archive = tmp_path / "archive"
    archive.write_text("a file, where a directory should be")
    edge.deploy(ArchiveDirectory=str(archive))
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert str(archive) in status["reason"] and "ArchiveDirectory" in status["reason"]
    edge.drop(FAILING, "a.jpg")
    archive.unlink()
    edge.wait_for_results(1)


def test_what_was_decided_is_published_while_the_line_is_blocked(edge: Edge, tmp_path: Path):
    """A missing model stops the line, not the couriers: the status tells of the ledger, and ``resend`` works."""
    edge.start()
    edge.drop(FAILING, "a.jpg")
    (result,) = edge.wait_for_results(1)
    edge.deploy(ModelDirectory=str(tmp_path / "nowhere"))
    status = edge.wait_for_status(lambda status: status["event"] == "blocked")
    assert (status["ledger"], status["last_seq"]) == (result["ledger"], 1)
    edge.wait_until_nothing_waits()
    known = len(edge.results)
    response = edge.command({"command": "resend", "ledger": result["ledger"], "first": 1, "last": 1})
    assert (response["error"], response["results"]) == (None, 1)
    assert edge.wait_for_results(known + 1)[known] == result


def test_a_mended_policy_lets_results_through_at_once(edge: Edge, profile: Profile):
    """What accessControl denied is tried again when the configuration changes, with or without a restart."""
    service = "aws.greengrass.ipc.mqttproxy"
    narrow = {"com.edgeinspector.Inspector:mqttproxy:1": {"resources": ["inspect/*/status"]}}
    wide = {
        "com.edgeinspector.Inspector:mqttproxy:1": {"resources": ["inspect/*/status", "inspect/*/results"]}
    }
    edge.start(accessControl={service: narrow})
    edge.drop(FAILING, "a.jpg")
    until(lambda: "WARNING publish denied target=iot_core" in edge.log, "it is denied")
    pid = edge.pid
    edge.deploy(accessControl={service: wide})
    until(lambda: len(edge.results) == 1, "it is published before the pause of 10 s is over", 5)
    assert (edge.pid != pid) == profile.restarts_on_configuration


def test_a_new_process_publishes_the_last_minute_again(edge: Edge):
    """A nucleus that restarts loses what it had accepted, and its components start anew: they say it again."""
    edge.start()
    for number in range(2):
        edge.drop(FAILING, f"{number}.jpg")
    edge.wait_for_results(2)
    edge.restart()
    results = edge.wait_for_results(4)
    assert sorted(each["seq"] for each in results) == [1, 1, 2, 2]
    assert len({each["id"] for each in results}) == 2


LARGE = [
    b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b', "command": "status"}',
    b'{"command": "' + b"x" * 1_000_000 + b'"}',
]


@pytest.mark.parametrize(
    "nonsense",
    [b'{"x": ' + b"[" * 1_000 + b"]" * 1_000 + b', "command": "status"}', b"\x00\xff" * 2_000],
    ids=["deep", "binary"],
)
def test_no_command_kills_it(edge: Edge, nonsense: bytes):
    """A command that is nested without end is answered like any other nonsense, in bounds."""
    edge.start()
    answers_in_bounds(edge, nonsense)


@only_classic
@pytest.mark.parametrize("nonsense", LARGE, ids=["deep", "long"])
def test_no_large_command_kills_it(edge: Edge, nonsense: bytes):
    """Nor does one of a megabyte, which classic Greengrass hands over."""
    edge.start()
    answers_in_bounds(edge, nonsense)


@only_lite
@pytest.mark.parametrize("nonsense", LARGE, ids=["deep", "long"])
def test_a_large_command_never_arrives(edge: Edge, nonsense: bytes):
    """Greengrass Lite drops what exceeds its buffer; the next command is answered."""
    edge.start()
    edge.send(nonsense)
    assert edge.command({"command": "status", "request": "the next"})["request"] == "the next"
    assert len(edge.responses) == 1


def answers_in_bounds(edge: Edge, nonsense: bytes) -> None:
    response = edge.command(nonsense)
    jsonschema.validate(response, schema("response"))
    assert 0 < len(response["error"]) <= 400
    assert edge.command({"command": "status"})["error"] is None


def test_a_command_is_answered_where_nothing_else_is_published(edge: Edge):
    """With PublishToIoTCore off a resend is no silent zero: the answer names the setting."""
    edge.deploy(PublishToIoTCore=False)
    until(lambda: "INFO inspecting" in edge.log, "it runs")
    response = edge.command({"command": "resend", "ledger": "0123", "first": 1, "last": 2, "request": "r"})
    assert "PublishToIoTCore" in response["error"]
    assert (response["request"], edge.statuses) == ("r", [])


INVALID = {"ConfidenceThreshold": 7, "SourceMode": "sometimes", "MaxDetections": "many"}
ERRORS = ("ConfidenceThreshold=7", "SourceMode='sometimes'", "MaxDetections='many'")


@only_classic
def test_a_deployment_with_an_invalid_configuration_is_rejected_with_every_error(edge: Edge):
    """The validity report names all that is wrong; the component goes on with what it had."""
    edge.start()
    with pytest.raises(DeploymentError) as refused:
        edge.deploy(**INVALID)
    for error in ERRORS:
        assert error in str(refused.value)
    edge.drop(FAILING, "a.jpg")
    assert edge.wait_for_results(1)[0]["verdict"] == "fail"


@only_lite
def test_a_deployment_with_an_invalid_configuration_leaves_the_last_valid_one_in_force(edge: Edge):
    """Greengrass Lite asks nothing and restarts: the new process works with what the last one had, and says so."""
    edge.start(ConfidenceThreshold=0.3)
    pid = edge.pid
    edge.deploy(**INVALID)
    assert edge.pid != pid
    works_with_the_last_valid_one(edge)


def test_an_invalid_configuration_that_nobody_was_asked_about_leaves_the_last_valid_one_in_force(edge: Edge):
    """A component that is stopped is not asked, whichever the nucleus; at its next start it works all the same."""
    edge.start(ConfidenceThreshold=0.3)
    edge.stop()
    edge.deploy(**INVALID)
    edge.restart()
    works_with_the_last_valid_one(edge)


def works_with_the_last_valid_one(edge: Edge) -> None:
    """Its threshold decides; every error is in the status, an alarm is in force; a valid configuration ends that."""
    status = edge.wait_for_status(
        lambda status: (status["alarms"], status["state"]) == (["configuration"], "running")
    )
    jsonschema.validate(status, schema("status"))
    assert [error.partition(":")[0] for error in status["settings_errors"]] == sorted(
        ERRORS, key=ERRORS.index
    )
    edge.drop(DOUBTFUL, "a.jpg")
    assert edge.wait_for_results(1)[0]["verdict"] == "fail"
    edge.deploy(ConfidenceThreshold=0.6, SourceMode="watch", MaxDetections=300)
    until(
        lambda: not edge.statuses[-1]["alarms"] and not edge.statuses[-1]["settings_errors"], "it is in force"
    )
    edge.drop(DOUBTFUL, "b.jpg")
    until(lambda: "b.jpg" in edge.verdicts(), "the second verdict")
    assert edge.verdicts()["b.jpg"][0] == "review"


def test_a_change_of_configuration_loses_nothing(edge: Edge, profile: Profile):
    """A lower threshold, as a string, turns a review into a fail: in the same process, unless the nucleus restarts it
    over that. Nothing is lost between."""
    edge.start()
    pid = edge.pid
    edge.drop(DOUBTFUL, "before.jpg")
    edge.wait_for_results(1)
    edge.deploy(ConfidenceThreshold="0.3")
    until(lambda: edge.log.count("INFO configuration applied") == 2, "the component heard of it")
    edge.drop(DOUBTFUL, "after.jpg")
    until(lambda: "after.jpg" in edge.verdicts(), "the second verdict")
    assert edge.verdicts() == {"before.jpg": ("review", ("uncertain",)), "after.jpg": ("fail", ("defect",))}
    assert (edge.pid != pid) == profile.restarts_on_configuration
    if not profile.restarts_on_configuration:
        edge.wait_for_status(lambda status: status["event"] == "configuration")


def test_a_silent_nucleus_does_not_keep_it_from_stopping(edge: Edge):
    """SIGTERM ends the component within 5 s, also while Greengrass answers nothing; what it did is on record."""
    edge.start()
    pid = edge.pid
    with held(edge.threaded):
        edge.drop(FAILING, "a.jpg")
        until(lambda: not list((edge.images / "top").glob("*.jpg")), "the image is claimed")
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_running(pid), "the process has ended", 5)
    edge.restart()
    assert edge.wait_for_results(1)[0]["image"]["name"] == "a.jpg"


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_cycle_mode_goes_round_in_order(edge: Edge):
    """In cycle mode the images of the directory are inspected one after the other, again and again, and stay."""
    for name in ("b.jpg", "a.jpg", "c.jpg"):
        edge.drop(PASSING, name)
    edge.start(SourceMode="cycle", InferenceInterval=0.05)
    results = edge.wait_for_results(7)
    names = [each["image"]["name"] for each in sorted(results, key=lambda each: each["seq"])]
    assert names[:7] == ["a.jpg", "b.jpg", "c.jpg"] * 2 + ["a.jpg"]
    assert len({each["id"] for each in results}) == len(results)
    assert len(list((edge.images / "top").iterdir())) == 3


def test_a_cut_connection_is_made_again_and_nothing_is_missing(edge: Edge):
    """When the nucleus drops its connections the component goes on inspecting, reconnects, and all arrives."""
    edge.start()
    edge.drop(FAILING, "1.jpg")
    edge.wait_for_results(1)
    edge.threaded.call(_disconnect_all(edge))
    edge.drop(FAILING, "2.jpg")
    until(lambda: {each["seq"] for each in edge.results} == {1, 2}, "both arrive", 30)
    until(lambda: edge.log.count("INFO connected to Greengrass") == 2, "it reconnected")
    assert edge.command({"command": "status", "request": "r"})["error"] is None


async def _disconnect_all(edge: Edge) -> None:
    edge.host.ipc.disconnect_all()


def test_commands_are_obeyed_and_answered(edge: Edge):
    """``resend`` publishes a range again, byte for byte; ``status`` answers; nonsense is told what is wrong."""
    edge.start()
    for number in range(3):
        edge.drop(FAILING, f"{number}.jpg")
    results = edge.wait_for_results(3)
    resend = {"command": "resend", "ledger": results[0]["ledger"], "first": 2, "last": 9, "request": "r1"}
    response = edge.command(resend)
    jsonschema.validate(response, schema("response"))
    assert (response["request"], response["error"], response["results"]) == ("r1", None, 2)
    edge.wait_for_results(5)
    assert sorted(edge.payloads[3:]) == sorted(edge.payloads[1:3])
    assert "not here" in edge.command(resend | {"ledger": "0000"})["error"]
    assert "1 to 1000" in edge.command(resend | {"last": 5000})["error"]
    assert edge.command({"command": "explode"})["error"]
    assert edge.command(b"\xff\xfe not json")["error"]
    known = len(edge.statuses)
    assert edge.command({"command": "status"})["error"] is None
    assert edge.statuses[known]["event"] == "requested"


def test_two_processes_never_share_a_work_directory(edge: Edge):
    """A second component in the same directory waits, blocked, until the first has gone."""
    import fcntl

    edge.start()
    edge.stop()
    with (edge.work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        edge.restart()
        until(lambda: "another inspector works in it" in edge.log, "it waits")
    edge.wait_for_status(lambda status: status["event"] == "unblocked")
