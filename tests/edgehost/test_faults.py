"""Faults of the host: each shows at the SDK's client as it would on a device, and ends by itself."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from conformance.case import ALL_ALLOWED as CLI_TOO
from edgehost import faults
from edgehost.__main__ import main
from edgehost.control import ControlServer
from edgehost.fault_command import duration
from edgehost.faults import ANSWERS, ERRORS, FaultError
from edgehost.lite.daemons import DAEMONS
from edgehost.profile import LITE, PROFILES
from edgehost.state import State
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S, Bench, Inbox, RawClient
from mosquitto_broker import until

FOREVER = "while true; do sleep 0.05; done"


def inject(bench: Bench, fault: str, *arguments: Any, **named: Any) -> None:
    """Call a fault in the host's loop."""

    async def call() -> None:
        getattr(bench.host.faults, fault)(*arguments, **named)

    bench.call(call())


@pytest.fixture
def doomed(bench: Bench) -> GreengrassCoreIPCClientV2:
    """A client whose connection is about to be cut, so that nobody closes it in order."""
    return GreengrassCoreIPCClientV2(
        client=connect(
            ipc_socket=str(bench.host.socket_path), authtoken=bench.token("com.a"), timeout=DEADLINE_S
        )
    )


def in_force(bench: Bench) -> list[str]:
    async def call() -> list[str]:
        return bench.host.faults.in_force()

    return bench.call(call())


def publish(client: Any, payload: bytes = b"x") -> None:
    client.publish_to_iot_core(topic_name="t", qos="1", payload=payload)


@pytest.mark.parametrize("name", ERRORS)
def test_error_answers_so_many_requests(bench: Bench, name: str) -> None:
    """The next two publishes fail with it; the third and every other operation don't."""
    client = bench.client("com.a")
    inject(bench, "error", name, "PublishToIoTCore", 2)
    assert in_force(bench) == [f"error {name} to PublishToIoTCore, 2 more"]
    for _ in range(2):
        with pytest.raises(getattr(m, name)) as raised:
            publish(client)
        assert raised.value.message == "PublishToIoTCore fails on purpose"
        client.get_configuration()
    publish(client)
    assert in_force(bench) == []


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("answer", ["NoAnswer", "ConnectionClosed"])
def test_answer_withheld(
    bench: Bench, doomed: GreengrassCoreIPCClientV2, inbox: Inbox, answer: str, carried_out: bool
) -> None:
    """Nothing comes back, or the connection ends; the request itself was carried out where that was asked for."""
    listener = bench.client("com.b")
    listener.subscribe_to_topic(topic="t", **inbox.handlers())
    inject(bench, "error", answer, "PublishToTopic", carried_out=carried_out)
    message = m.PublishMessage(binary_message=m.BinaryMessage(message=b"first"))
    reply = doomed.publish_to_topic_async(topic="t", publish_message=message)
    until(lambda: in_force(bench) == [], "the request has come")
    if answer == "ConnectionClosed":
        assert reply.exception(DEADLINE_S)
    else:
        doomed.get_configuration()
        assert not reply.done()
    client = bench.client("com.c")
    again = m.PublishMessage(binary_message=m.BinaryMessage(message=b"second"))
    client.publish_to_topic(topic="t", publish_message=again)
    heard = [inbox.next().binary_message.message for _ in range(1 + carried_out)]
    assert heard == [b"first", b"second"][1 - carried_out :]


def test_error_that_is_none_is_refused(bench: Bench) -> None:
    """The answers there are, are named; and what is refused cannot have been carried out."""
    with pytest.raises(FaultError, match=r"there are .*ServiceError.*NoAnswer"):
        inject(bench, "error", "NoSuchError", "PublishToTopic")
    with pytest.raises(FaultError, match="is not carried out"):
        inject(bench, "error", "ServiceError", "PublishToTopic", carried_out=True)
    assert in_force(bench) == []


def test_broker_down_spools_and_comes_back(bench: Bench, inbox: Inbox) -> None:
    """Offline while it lasts, QoS 1 waits in the spool; afterwards it arrives, without the broker's help."""
    client = bench.client("com.a")
    client.subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    inject(bench, "broker_down", 3600)
    until(lambda: not bench.host.iot_core.online.is_set(), "the host is offline")
    publish(client)
    assert len(bench.host.iot_core.spool) == 1
    assert inbox.is_empty()
    inject(bench, "broker_down", 0.1)
    assert inbox.next().message.payload == b"x"
    until(lambda: in_force(bench) == [], "the fault is over")
    assert bench.host.iot_core.online.is_set()


def test_spool_full_refuses_for_a_while(bench: Bench) -> None:
    """With the nucleus's words, though nothing is in it."""
    client = bench.client("com.a")
    inject(bench, "spool_full", 3600)
    with pytest.raises(m.ServiceError) as raised:
        publish(client)
    assert raised.value.message == (
        "Publish to topic t failed: Message spool is full. Message could not be added."
    )
    inject(bench, "spool_full", 0)
    until(lambda: in_force(bench) == [], "the fault is over")
    publish(client)


def test_ipc_slow_makes_every_request_wait(bench: Bench) -> None:
    """At least so long, until it is over."""
    client = bench.client("com.a")
    inject(bench, "ipc_slow", 0.3, 3600)
    started_s = time.monotonic()
    client.get_configuration()
    assert time.monotonic() - started_s >= 0.3
    inject(bench, "ipc_slow", 3600, 0)
    until(lambda: in_force(bench) == [], "the fault is over")
    client.get_configuration()


def test_stream_that_ends_before_its_answer_gets_none(bench: Bench) -> None:
    """Whoever ended it would take the answer for a protocol error."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    inject(bench, "ipc_slow", 0.1, 3600)
    for stream in (1, 2):
        client.send(0, 0, stream, b"{}", operation="aws.greengrass#GetConfiguration")
        if stream == 1:
            client.send(0, 2, stream)
    assert client.receive().headers[":stream-id"] == 2
    inject(bench, "clear")
    assert client.request(3, "GetConfiguration").headers[":stream-id"] == 3


def test_ipc_cut_ends_every_connection(bench: Bench, doomed: GreengrassCoreIPCClientV2, inbox: Inbox) -> None:
    """Subscriptions end with them; whoever connects again is served."""
    doomed.subscribe_to_topic(topic="t", **inbox.handlers())
    inject(bench, "ipc_cut")
    assert inbox.closed.get(timeout=DEADLINE_S)
    bench.client("com.b").get_configuration()


LITE_ONLY = pytest.mark.parametrize("profile", [LITE], ids=["lite"])
SUBSCRIPTIONS = {
    "SubscribeToConfigurationUpdate": b"{}",
    "SubscribeToTopic": b'{"topic": "t"}',
    "SubscribeToIoTCore": b'{"topicName": "t", "qos": "0"}',
}
_ANY_TOPIC = ("UnauthorizedError", "IPC Operation not authorized.")
_NOT_PUBLISHED = ("ServiceError", "Failed to publish the message.")
AWAY = {
    "ggconfigd": {
        "GetConfiguration": ("ServiceError", ""),
        "UpdateConfiguration": ("ServiceError", "Failed to update the configuration."),
        "SubscribeToConfigurationUpdate": ("ServiceError", "Failed to subscribe to configuration update."),
        "PublishToTopic": _ANY_TOPIC,
        "SubscribeToTopic": _ANY_TOPIC,
        "PublishToIoTCore": _ANY_TOPIC,
        "SubscribeToIoTCore": _ANY_TOPIC,
        "RestartComponent": ("UnauthorizedError", "Component not authorized to restart component."),
        "CreateLocalDeployment": ("ServiceError", "IPC Operation not authorized."),
    },
    "ggpubsubd": {
        "PublishToTopic": _NOT_PUBLISHED,
        "SubscribeToTopic": ("ServiceError", "Failed to bind subscription."),
    },
    "iotcored": {
        "PublishToIoTCore": _NOT_PUBLISHED,
        "SubscribeToIoTCore": ("ServiceError", "Failed to bind the subscription."),
    },
}
"""What is answered while a daemon is away. ggconfigd holds the policies too. Observed; its last two were read in
ggipcd, under services/cli."""
LOST = {
    "ggconfigd": "SubscribeToConfigurationUpdate",
    "ggpubsubd": "SubscribeToTopic",
    "iotcored": "SubscribeToIoTCore",
}
OTHERS = (
    ("GetConfiguration", b"{}"),
    ("RestartComponent", b'{"componentName": "com.none"}'),
    ("CreateLocalDeployment", b"{}"),
)
CAUSES = (
    ("UpdateConfiguration", b'{"timestamp": 4e9, "valueToMerge": {"key": 1}}'),
    ("PublishToTopic", b'{"topic": "t", "publishMessage": {"binaryMessage": {"message": "eA=="}}}'),
    ("PublishToIoTCore", b'{"topicName": "t", "qos": "0", "payload": "eA=="}'),
)


@LITE_ONLY
@pytest.mark.parametrize("daemon", ["ggconfigd", "ggpubsubd", "iotcored"])
def test_daemon_restart_kills_its_subscriptions_in_silence(bench: Bench, daemon: str) -> None:
    """They neither end nor fail, and hear nothing any more; those of the other daemons and all else go on."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    for stream, (operation, request) in enumerate(SUBSCRIPTIONS.items(), 1):
        assert client.request(stream, operation, request).headers[":message-type"] == 0
    inject(bench, "daemon_restart", daemon)
    inject(bench, "clear")  # the daemon is back
    until(bench.host.iot_core.online.is_set, "the host is online")
    alive = [stream for stream, operation in enumerate(SUBSCRIPTIONS, 1) if operation != LOST[daemon]]
    answers = [client.request(stream, *cause) for stream, cause in enumerate(CAUSES, 11)]
    answers += [client.receive() for _ in range(len(alive))]
    assert sorted(answer.headers[":stream-id"] for answer in answers) == [*alive, 11, 12, 13]
    assert {answer.headers[":message-type"] for answer in answers} == {0}
    client.send(0, 2, 1)
    for stream, (operation, request) in enumerate(
        SUBSCRIPTIONS.items(), 21
    ):  # whoever subscribes again is told
        assert client.request(stream, operation, request).headers[":message-type"] == 0
    answer, event = client.request(30, *CAUSES[1]), client.receive()
    assert 22 in (answer.headers[":stream-id"], event.headers[":stream-id"])


@LITE_ONLY
@pytest.mark.parametrize("daemon", ["ggconfigd", "ggpubsubd", "iotcored"])
def test_what_needs_a_daemon_fails_while_it_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, daemon: str
) -> None:
    """With the words of each operation; nothing is authorized without the configuration."""
    monkeypatch.setattr(faults, "DAEMON_AWAY_S", 3600)
    client = bench.raw()
    client.connect(bench.token("com.a", CLI_TOO))
    inject(bench, "daemon_restart", daemon)
    for stream, (operation, request) in enumerate([*CAUSES, *SUBSCRIPTIONS.items(), *OTHERS], 1):
        answer = client.request(stream, operation, request)
        if expected := AWAY[daemon].get(operation):
            error, message = expected
            assert json.loads(answer.payload) == {"_message": message, "_errorCode": error}
        else:
            assert answer.headers[":message-type"] == 0 or operation == "RestartComponent"
    assert in_force(bench)[0].startswith(f"daemon-restart {daemon}, ")


@LITE_ONLY
def test_daemon_is_back_by_itself(bench: Bench) -> None:
    """After the second that its service manager takes, everything is answered again."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    for daemon in DAEMONS:
        if daemon != "ggipcd":
            inject(bench, "daemon_restart", daemon)
    until(lambda: in_force(bench) == [], "the daemons are back")
    until(bench.host.iot_core.online.is_set, "the host is online")
    for stream, cause in enumerate(CAUSES, 1):
        assert client.request(stream, *cause).headers[":message-type"] == 0


@LITE_ONLY
def test_restart_of_ggipcd_voids_every_token(bench: Bench) -> None:
    """Connections are cut, and the token that a process has is refused for ever; a new one is good."""
    token = bench.token("com.a")
    client = bench.raw()
    client.connect(token)
    inject(bench, "daemon_restart", "ggipcd")
    assert client.is_closed()
    again = bench.raw()
    again.send(4, payload=json.dumps({"authToken": token}).encode(), version="0.1.0")
    assert again.is_closed()
    assert bench.raw().connect(bench.token("com.a")).headers[":message-flags"] == 1


def test_component_that_exits_after_ggipcd_restarted_gets_a_new_token(tmp_path: Path) -> None:
    """That is how it comes back: whoever is started after the restart can connect."""
    (tmp_path / "a.yaml").write_text(
        "RecipeFormatVersion: '2020-01-25'\nComponentName: com.a\nComponentVersion: 1.0.0\nManifests:\n"
        "  - Platform: {os: linux, runtime: '*'}\n    Artifacts: []\n"
        f"    Lifecycle: {{run: 'echo token $SVCUID; {FOREVER}'}}\n"
    )
    with run_in_thread(tmp_path / "root", profile=LITE) as threaded:
        threaded.call(threaded.host.deploy(tmp_path, None, {"com.a": "1.0.0"}), DEADLINE_S)
        component = threaded.host.components["com.a"]
        until(lambda: "token" in component.log.path.read_text(), "it has started")

        async def restart() -> None:
            threaded.host.faults.daemon_restart("ggipcd")
            component.kill()

        threaded.call(restart(), DEADLINE_S)
        until(lambda: component.log.path.read_text().count("stdout. token") == 2, "it has started anew")
        first, second = re.findall(r"token (\w+)", component.log.path.read_text())
        assert first != second
        client = RawClient(threaded.host.socket_path)
        assert client.connect(second).headers[":message-flags"] == 1
        client.close()


@LITE_ONLY
def test_iotcored_that_is_back_does_not_end_an_outage(bench: Bench) -> None:
    """The broker stays away for as long as it was said to."""
    inject(bench, "broker_down", 3600)
    inject(bench, "daemon_restart", "iotcored")
    until(lambda: len(in_force(bench)) == 1, "the daemon is back")
    assert not bench.host.iot_core.online.is_set()
    inject(bench, "clear")
    until(bench.host.iot_core.online.is_set, "the host is online")


@LITE_ONLY
def test_unknown_daemon_is_refused(bench: Bench) -> None:
    """Those that there are, are named."""
    with pytest.raises(
        FaultError, match="no daemon 'nucleus'; there are ggipcd, ggconfigd, ggpubsubd, iotcored"
    ):
        inject(bench, "daemon_restart", "nucleus")


def test_classic_has_no_daemons(bench: Bench) -> None:
    """It can be restarted as a whole."""
    with pytest.raises(FaultError, match="without daemons; restart it as a whole: host-restart"):
        inject(bench, "daemon_restart", "ggconfigd")


def test_same_fault_again_replaces_the_one_before(bench: Bench) -> None:
    """Whose end, when it would have come, ends nothing."""

    async def twice() -> list[str]:
        bench.host.faults.spool_full(0)
        bench.host.faults.spool_full(3600)
        await asyncio.sleep(0)  # both turns of the loop in which the first would have ended
        await asyncio.sleep(0)
        return bench.host.faults.in_force()

    assert [each.partition(",")[0] for each in bench.call(twice())] == ["spool-full"]
    assert bench.host.iot_core.spool.is_jammed


def test_clear_ends_all(bench: Bench) -> None:
    """At once, and what ended does not end a second time what is injected later."""
    client = bench.client("com.a")
    inject(bench, "spool_full", 0.2)
    inject(bench, "broker_down", 3600)
    inject(bench, "ipc_slow", 3600, 3600)
    inject(bench, "error", "ServiceError", "PublishToIoTCore", 9)
    assert len(in_force(bench)) == 4
    inject(bench, "clear")
    assert in_force(bench) == []
    until(bench.host.iot_core.online.is_set, "the host is online")
    publish(client)


def test_restart_limit_is_an_option(tmp_path: Path) -> None:
    """As many errors as the host was told make a component BROKEN; three unless it is told."""
    (tmp_path / "a.yaml").write_text(
        "RecipeFormatVersion: 2020-01-25\nComponentName: com.a\nComponentVersion: 1.0.0\nManifests:\n"
        "  - Lifecycle: {run: 'echo attempt; exit 1'}\n"
    )
    for limit, options in ((3, {}), (5, {"max_errors": 5})):
        with run_in_thread(tmp_path / f"root-{limit}", **options) as threaded:
            threaded.submit(threaded.host.deploy(tmp_path, None, {"com.a": "1.0.0"})).exception(DEADLINE_S)
            log = threaded.host.root / "logs" / "com.a.log"
            assert log.read_text().count("stdout. attempt") == limit


def test_host_restart_starts_what_is_deployed(tmp_path: Path) -> None:
    """The component runs again, installed again, with a new token."""
    (tmp_path / "a.yaml").write_text(
        "RecipeFormatVersion: 2020-01-25\nComponentName: com.a\nComponentVersion: 1.0.0\nManifests:\n"
        f"  - Lifecycle: {{install: 'echo installed', run: 'echo token $SVCUID; {FOREVER}'}}\n"
    )
    with run_in_thread(tmp_path / "root") as threaded:
        threaded.call(threaded.host.deploy(tmp_path, None, {"com.a": "1.0.0"}), DEADLINE_S)
        component = threaded.host.components["com.a"]
        before = component.pid
        until(lambda: "token" in component.log.path.read_text(), "it has started")
        threaded.call(threaded.host.restart(), 20)
        assert component.state == State.RUNNING
        assert component.pid != before
        until(lambda: component.log.path.read_text().count("stdout. token") == 2, "it has started anew")
        text = component.log.path.read_text()
        assert text.count("stdout. installed") == 2
        tokens = {line.split("token ")[1][:16] for line in text.splitlines() if "stdout. token" in line}
        assert len(tokens) == 2
        threaded.call(threaded.host.iot_core.online.wait(), DEADLINE_S)


def test_host_restart_loses_the_spool(bench: Bench) -> None:
    """What a component was told is accepted may be gone: a nucleus keeps it in memory."""
    inject(bench, "broker_down", 3600)
    until(lambda: not bench.host.iot_core.online.is_set(), "the host is offline")
    publish(bench.client("com.a"))
    bench.call(bench.host.iot_core.restart(), DEADLINE_S)
    assert len(bench.host.iot_core.spool) == 0


def test_host_restart_ends_faults(bench: Bench) -> None:
    """The nucleus that starts is a sound one."""
    inject(bench, "broker_down", 3600)
    inject(bench, "error", "ServiceError", "PublishToIoTCore")
    bench.call(bench.host.restart(), DEADLINE_S)
    assert in_force(bench) == []
    until(bench.host.iot_core.online.is_set, "the host is online")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """The root of a host that the command line reaches."""
    with run_in_thread(tmp_path / "root") as threaded:
        server = ControlServer(threaded.host)
        threaded.call(server.__aenter__(), DEADLINE_S)
        yield tmp_path / "root"
        threaded.call(server.__aexit__(None, None, None), DEADLINE_S)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("broker-down 1m", "broker-down, "),
        ("ipc-slow 2s --for 30s", "ipc-slow, "),
        ("spool-full 10s", "spool-full, "),
        ("spool-full", "spool-full, "),
        ("error NoAnswer --operation PublishToTopic --count 5 --carried-out", "error NoAnswer to PublishTo"),
        ("ipc-cut", None),
        ("host-restart", None),
    ],
)
def test_each_fault_from_the_command_line(
    served: Path, capsys: pytest.CaptureFixture[str], line: str, told: str | None
) -> None:
    """It is injected, the status tells of it, and `clear` ends it."""
    assert main(["fault", *line.split(), "--root", str(served), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each.startswith(told or "") for each in answer] == ([True] if told else [])
    assert main(["status", "--root", str(served), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["faults"]) == len(answer)
    assert main(["fault", "clear", "--root", str(served)]) == 0
    assert capsys.readouterr().out == "no fault in force\n"


def test_command_line_refuses_nonsense(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what there is; nothing is injected."""
    refused = ["error", "ServiceError", "--operation", "PublishToTopic", "--carried-out"]
    assert main(["fault", *refused, "--root", str(served)]) == 1
    assert "is not carried out" in capsys.readouterr().err
    for wrong in (["broker-down", "soon"], ["error", "Oops", "--operation", "x"], ["unheard-of"]):
        with pytest.raises(SystemExit) as raised:
            main(["fault", *wrong])
        assert raised.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_daemon_restart_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On Lite it is in force for a second; classic refuses it in one line."""
    for profile in PROFILES.values():
        with run_in_thread(tmp_path / profile.name, profile=profile) as threaded:
            server = ControlServer(threaded.host)
            threaded.call(server.__aenter__(), DEADLINE_S)
            command = ["fault", "daemon-restart", "ggconfigd", "--root", str(tmp_path / profile.name)]
            code = main(command)
            threaded.call(server.__aexit__(None, None, None), DEADLINE_S)
        told = capsys.readouterr()
        if profile is LITE:
            assert (code, told.out.startswith("daemon-restart ggconfigd, ")) == (0, True)
        else:
            assert (code, "without daemons" in told.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5", 1.5), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    """As people write them."""
    assert duration(text) == pytest.approx(seconds)


def test_answers_cover_the_retry_table() -> None:
    """Every answer that a component has a rule for can be planted."""
    assert {
        "ServiceError",
        "UnauthorizedError",
        "InvalidArgumentsError",
        "NoAnswer",
        "ConnectionClosed",
    } <= set(ANSWERS)
