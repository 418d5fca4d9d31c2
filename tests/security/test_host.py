"""What the deployed component may do, and what it tells: its token stays its own, its rights are the recipe's."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc import model as ipc
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge import FAILING, INSPECTOR, MODEL, Edge, subscribed
from edgehost.profile import CLASSIC, LITE
from edgehost.thread import ThreadedHost
from lone_component import running
from mosquitto_broker import until
from signing import KeyPair


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)


def files_with(text: str, directory: Path) -> list[Path]:
    """Every file below a directory that holds a text."""
    found = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in found if text.encode() in path.read_bytes()]


def test_the_token_is_told_to_nobody(edge: Edge) -> None:
    """Not in the log at its fullest, a lost connection and a refused token included, in no file or message."""
    edge.start(LogLevel="DEBUG")
    environment = environment_of(edge.pid)
    token = environment["SVCUID"]
    assert token == environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    edge.drop(FAILING, "a.jpg")
    edge.drop(b"no picture", "b.jpg")
    edge.wait_for_results(2)
    assert edge.command(b"nonsense")["error"]
    edge.threaded.call(disconnect_all(edge))
    until(lambda: edge.log.count("INFO connected to Greengrass") == 2, "it reconnected")
    edge.threaded.call(revoke(edge))
    edge.threaded.call(disconnect_all(edge))
    until(lambda: "CRITICAL stopping" in edge.log, "the token is refused", 60)
    assert "DEBUG inspected" in edge.log
    assert token not in json.dumps([edge.results, edge.statuses, edge.responses])
    assert files_with(token, edge.host.root) == []


async def disconnect_all(edge: Edge) -> None:
    edge.host.ipc.disconnect_all()


async def revoke(edge: Edge) -> None:
    edge.host.tokens.revoke(INSPECTOR)


@pytest.mark.parametrize("fault", ["refused", "no socket", "silent", "garbage"])
def test_a_connection_that_fails_tells_no_token(nucleus: ThreadedHost, tmp_path: Path, fault: str) -> None:
    """Whatever answers in place of the nucleus, or doesn't."""
    token, path = "A0B1C2D3E4F5A6B7", tmp_path / "ipc"
    variables = {"SVCUID": token, "AWS_CONTAINER_AUTHORIZATION_TOKEN": token}
    if fault != "refused":
        variables["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] = str(path)
    server = socket.socket(socket.AF_UNIX)
    if fault in ("silent", "garbage"):
        server.bind(str(path))
        server.listen()
    if fault == "garbage":
        threading.Thread(target=answer_with_garbage, args=(server,), daemon=True).start()
    expected = "CRITICAL stopping" if fault == "refused" else "no connection to Greengrass"
    with server, running(nucleus, tmp_path / "work", variables=variables, LogLevel="DEBUG") as component:
        until(lambda: expected in component.log, "it is told in the log", 30)
        if fault != "refused":
            component.stop()
        assert component.process.wait(30) == (1 if fault == "refused" else 0)
        assert token not in component.log
    assert files_with(token, tmp_path / "work") == []


def answer_with_garbage(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(4_096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture
def as_inspector(edge: Edge) -> Iterator[GreengrassCoreIPCClientV2]:
    """What an attacker can do who has taken over the component: a client with its token, on its recipe's rights."""
    edge.start()
    token = environment_of(edge.pid)["SVCUID"]
    client = connect(ipc_socket=str(edge.host.socket_path), authtoken=token, timeout=10)
    yield GreengrassCoreIPCClientV2(client=client)
    client.close().result(10)


def publish(topic: str) -> Callable[[GreengrassCoreIPCClientV2], Any]:
    return lambda client: client.publish_to_iot_core(
        topic_name=topic, qos=ipc.QOS.AT_LEAST_ONCE, payload=b"{}"
    )


def publish_locally(topic: str) -> Callable[[GreengrassCoreIPCClientV2], Any]:
    message = ipc.PublishMessage(binary_message=ipc.BinaryMessage(message=b"{}"))
    return lambda client: client.publish_to_topic(topic=topic, publish_message=message)


def subscribe(topic: str) -> Callable[[GreengrassCoreIPCClientV2], Any]:
    return lambda client: client.subscribe_to_iot_core(
        topic_name=topic, qos=ipc.QOS.AT_LEAST_ONCE, on_stream_event=print
    )


def subscribe_locally(topic: str) -> Callable[[GreengrassCoreIPCClientV2], Any]:
    return lambda client: client.subscribe_to_topic(topic=topic, on_stream_event=print)


DENIED = {
    "another topic": publish("factory/press/stop"),
    "everything": publish("inspect/line-3"),
    "its own commands": publish("inspect/line-3/commands"),
    "a shadow": publish("$aws/things/line-3/shadow/update"),
    "a job": publish("$aws/things/line-3/jobs/1/update"),
    "beside its prefix": publish("inspector/line-3/results"),
    "below its results": publish("inspect/line-3/results/more"),
    "another local topic": publish_locally("factory/press/stop"),
    "local status": publish_locally("inspect/line-3/status"),
    "others' results": subscribe("inspect/+/results"),
    "all topics": subscribe("#"),
    "below commands": subscribe("inspect/line-3/commands/response"),
    "a local topic": subscribe_locally("inspect/line-3/results"),
}


def test_publishing_elsewhere_is_denied(as_inspector: GreengrassCoreIPCClientV2, edge: Edge) -> None:
    """With the recipe's own accessControl, whoever holds the component's token is held to its topics."""
    publish(f"inspect/{edge.host.thing_name}/results")(as_inspector)
    publish_locally(f"inspect/{edge.host.thing_name}/results")(as_inspector)
    for what, attempt in DENIED.items():
        with pytest.raises(ipc.UnauthorizedError):
            attempt(as_inspector)
            pytest.fail(f"{what} was allowed")


def test_no_component_widens_its_own_rights(as_inspector: GreengrassCoreIPCClientV2, edge: Edge) -> None:
    """Nor reaches another's configuration: an update is of its own, and accessControl is no part of it."""
    wide = {
        "accessControl": {"aws.greengrass.ipc.mqttproxy": {"p": {"operations": ["*"], "resources": ["*"]}}}
    }
    with pytest.raises(ipc.InvalidArgumentsError):
        as_inspector.update_configuration(value_to_merge=wide, timestamp=datetime.now(timezone.utc))
    with pytest.raises(ipc.UnauthorizedError):
        publish("factory/press/stop")(as_inspector)
    as_inspector.update_configuration(
        value_to_merge={"LogLevel": "DEBUG"}, timestamp=datetime.now(timezone.utc)
    )
    assert not edge.host.configuration.find(MODEL, ("LogLevel",))


def test_a_topic_outside_the_policy_is_told_and_nothing_is_lost(edge: Edge) -> None:
    """Results wait, and the log names the topic and what to mend; the policy mended, they arrive."""
    edge.deploy(TopicPrefix="factory")
    edge.drop(FAILING, "a.jpg")
    until(lambda: "publish denied target=iot_core" in edge.log, "it is denied", 30)
    (line, *_) = [each for each in edge.log.splitlines() if "publish denied target=iot_core" in each]
    assert f"factory/{edge.host.thing_name}/results" in line
    assert "add it to accessControl" in line
    assert edge.results == []
    edge.deploy(TopicPrefix="inspect")
    assert edge.wait_for_results(1)[0]["verdict"] == "fail"


@pytest.mark.parametrize(("profile", "padding"), [(CLASSIC, 50_000), (LITE, 4_000)], ids=["classic", "lite"])
def test_a_flood_of_commands_starves_nothing(edge: Edge, padding: int) -> None:
    """Whoever may send commands can make the component busy, not fill its memory nor hold up the line."""
    edge.start()
    edge.drop(FAILING, "first.jpg")
    (first,) = edge.wait_for_results(1)
    resend = {"command": "resend", "ledger": first["ledger"], "first": 1, "last": 1_000}
    payload = json.dumps(resend | {"request": "x" * 128}).encode() + b" " * padding
    before_kb = resident_kb(edge.pid)
    topic = f"inspect/{edge.host.thing_name}/commands"
    with subscribed(edge.host.broker_url) as attacker:
        # While it may not answer, what comes in waits; then it is let go, and the flood goes on.
        os.kill(edge.pid, signal.SIGSTOP)
        for _ in range(1_000):
            attacker.publish(topic, payload, qos=0)
        os.kill(edge.pid, signal.SIGCONT)
        edge.drop(FAILING, "second.jpg")
        until(lambda: "second.jpg" in edge.verdicts(), "the live result arrives", 60)
    until(lambda: "WARNING command dropped" in edge.log, "it is told", 60)
    grown_kb = resident_kb(edge.pid) - before_kb
    assert grown_kb < 40_000, f"{grown_kb} kB more"
    until(
        lambda: edge.command({"command": "status", "request": "after"})["request"] == "after",
        "it answers",
        60,
    )


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_signature_is_required_from_one_moment_to_the_next(edge: Edge, tmp_path: Path) -> None:
    """RequireSignature set live stops an unsigned model that runs; signed, it is taken."""
    keys = KeyPair(tmp_path / "keys")
    edge.start()
    edge.deploy(RequireSignature=True, PublicKey=keys.public)
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert "it has no manifest.sig; sign manifest.json" in status["reason"]
    keys.sign(edge.host.root / "work" / MODEL / "current")
    edge.wait_for_status(lambda status: status["event"] == "unblocked")
    other = KeyPair(tmp_path / "other")
    edge.deploy(PublicKey=other.public)
    edge.wait_for_status(lambda status: "PublicKey verifies" in (status["reason"] or ""))


def test_it_writes_nothing_beside_its_code(edge: Edge) -> None:
    """As its recipe starts it, Python leaves no bytecode among the artifacts."""
    edge.start()
    assert list(edge.host.root.rglob("inspector/run.py"))
    assert list(edge.host.root.rglob("inspector/**/*.pyc")) == []
