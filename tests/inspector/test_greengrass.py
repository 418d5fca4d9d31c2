"""The Greengrass adapter, against each simulated nucleus over a real socket."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from awsiot.eventstreamrpc import ClientOperation
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.client import GetConfigurationOperation
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edge import held, only_classic, only_lite
from edgehost.broker import EMBEDDED
from edgehost.configuration import now_ms
from edgehost.profile import CLASSIC, Profile
from edgehost.thread import ThreadedHost, run_in_thread
from inspector.core.settings import Settings
from inspector.ports import Busy, Denied, Disconnected, Unreachable
from inspector.shell import greengrass
from inspector.shell.greengrass import (
    MESSAGES,
    CommandReceived,
    ConfigurationChanged,
    ConnectionLost,
    Greengrass,
    TokenRefusedError,
)
from inspector_fakes import DEADLINE_S
from late_line import late_line
from mosquitto_broker import Mosquitto, until

COMPONENT = "com.example.Probe"
RESULTS, COMMANDS = "inspect/edgehost-1/results", "inspect/edgehost-1/commands"


def access(*resources: str) -> dict[str, Any]:
    """An accessControl that allows every operation on some topics."""
    services = ("aws.greengrass.ipc.pubsub", "aws.greengrass.ipc.mqttproxy")
    return {service: {"policy": {"operations": ["*"], "resources": list(resources)}} for service in services}


CONFIGURATION = {"Threshold": 0.5, "accessControl": access(RESULTS, COMMANDS)}


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The embedded one; or one that acknowledges late: after so many times LINGER_S, or up to twice that."""
    if not hasattr(request, "param"):
        yield EMBEDDED
        return
    near = Mosquitto(tmp_path)
    near.start()
    with late_line(near.port, greengrass.LINGER_S * request.param) as url:
        yield url
    near.stop()


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, profile: Profile, broker: str) -> Iterator[ThreadedHost]:
    with run_in_thread(tmp_path_factory.mktemp("host"), profile=profile, broker=broker) as threaded:
        threaded.call(threaded.host.iot_core.online.wait(), 10)
        threaded.host.configuration.merge(COMPONENT, (), CONFIGURATION, now_ms())
        yield threaded


@pytest.fixture
def mail() -> queue.SimpleQueue:
    return queue.SimpleQueue()


@pytest.fixture
def adapter(
    host: ThreadedHost, mail: queue.SimpleQueue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Greengrass]:
    monkeypatch.setenv(greengrass.SOCKET, str(host.host.socket_path))
    monkeypatch.setenv("SVCUID", host.host.tokens.issue(COMPONENT))
    connected = Greengrass(mail.put)
    connected.connect()
    yield connected
    connected.close()


def in_host(host: ThreadedHost, action: Callable[[], object]) -> None:
    """Do something in the host's own thread."""

    async def act() -> None:
        action()

    host.call(act(), 10)


def test_it_reads_the_whole_configuration(adapter: Greengrass):
    """The configuration comes as a mapping, with accessControl in it."""
    assert adapter.configuration() == CONFIGURATION


@pytest.mark.parametrize("target", ["publish_to_topic", "publish_to_iot_core"])
def test_what_no_policy_allows_is_denied(adapter: Greengrass, target: str):
    """Publishing elsewhere is Denied, and the error names the topic and the fix."""
    publish = getattr(adapter, target)
    with pytest.raises(Denied, match=r"inspect/edgehost-1/other.*accessControl"):
        publish("inspect/edgehost-1/other", b"{}").result(DEADLINE_S)
    publish(RESULTS, b"{}").result(DEADLINE_S)


def test_changes_of_configuration_are_delivered(
    adapter: Greengrass, mail: queue.SimpleQueue, host: ThreadedHost
):
    """A merge into the component's configuration arrives as mail."""
    adapter.listen(COMMANDS)
    adapter.configuration()  # answered after the subscriptions are
    merge = host.host.configuration.merge
    in_host(host, lambda: merge(COMPONENT, (), {"Threshold": 0.7}, now_ms()))
    assert mail.get(timeout=10) == ConfigurationChanged()


def test_a_connection_that_awscrt_finds_closed_is_a_lost_one(
    adapter: Greengrass, monkeypatch: pytest.MonkeyPatch
):
    """Right after it broke the SDK may raise awscrt's own error, and not ConnectionClosedError."""

    def closed(*_: object) -> None:
        raise RuntimeError("4104 (AWS_ERROR_EVENT_STREAM_RPC_CONNECTION_CLOSED): Connection is closed.")

    monkeypatch.setattr(GetConfigurationOperation, "activate", closed)
    with pytest.raises(Disconnected, match="4104"):
        adapter.configuration()


def test_commands_are_delivered(adapter: Greengrass, mail: queue.SimpleQueue, host: ThreadedHost):
    """A message on the command topic arrives as mail, bytes as they are."""
    adapter.listen(COMMANDS)
    host.host.configuration.merge("com.example.Sender", (), {"accessControl": access("*")}, now_ms())
    token = host.host.tokens.issue("com.example.Sender")
    sender = GreengrassCoreIPCClientV2(connect(ipc_socket=str(host.host.socket_path), authtoken=token))
    sender.publish_to_iot_core(topic_name=COMMANDS, qos="1", payload=b"\x00ask")
    sender.close()
    assert mail.get(timeout=10) == CommandReceived(b"\x00ask")


def test_a_denied_command_topic_does_not_stop_the_component(
    adapter: Greengrass, caplog: pytest.LogCaptureFixture
):
    """Without the policy for commands the adapter says so and goes on."""
    adapter.listen("inspect/another/commands")
    until(lambda: "not subscribed" in caplog.text, "it is said")
    adapter.listen("inspect/another/commands")
    adapter.configuration()
    causes = [each.cause for each in caplog.records if each.message == "not subscribed"]
    assert sum("inspect/another/commands" in cause for cause in causes) == 1


def test_listening_again_opens_only_what_is_missing(
    adapter: Greengrass, mail: queue.SimpleQueue, host: ThreadedHost
):
    """``listen`` may be called from time to time: with another command topic, or to renew it, that one alone is
    opened anew."""
    merge = host.host.configuration.merge
    in_host(host, lambda: merge(COMPONENT, (), {"accessControl": access("inspect/*")}, now_ms()))
    for topic in (COMMANDS, COMMANDS, "inspect/other/commands"):
        adapter.listen(topic)
    wanted = {"inspect/other/commands"}
    until(lambda: {each.filter for each in host.host.iot_core._subscriptions} == wanted, "one topic is left")
    in_host(host, lambda: merge(COMPONENT, (), {"Threshold": 0.7}, now_ms()))
    assert mail.get(timeout=10) == ConfigurationChanged()
    adapter.configuration()
    assert mail.empty()
    (before,) = host.host.iot_core._subscriptions
    adapter.listen("inspect/other/commands", renew=True)
    until(lambda: {before} ^ host.host.iot_core._subscriptions > {before}, "another one is there")
    until(lambda: before not in host.host.iot_core._subscriptions, "the one before has gone")
    assert {each.filter for each in host.host.iot_core._subscriptions} == wanted


def test_a_lost_connection_is_said_and_made_again(
    adapter: Greengrass, mail: queue.SimpleQueue, host: ThreadedHost
):
    """When the nucleus hangs up that is mail, and calls are Unreachable until ``connect``; what is said of the old
    connection can be told from what is said of the new one."""
    adapter.listen(COMMANDS)
    in_host(host, host.host.ipc.disconnect_all)
    lost = mail.get(timeout=10)
    assert isinstance(lost, ConnectionLost) and lost.connection == adapter.connection
    for _ in range(20):  # more than may be under way: what fails gives its place back
        with pytest.raises(Disconnected):
            adapter.publish_to_topic(RESULTS, b"{}").result(DEADLINE_S)
    adapter.connect()
    adapter.publish_to_topic(RESULTS, b"{}").result(DEADLINE_S)
    assert adapter.connection > lost.connection


def test_a_refused_token_needs_a_restart(adapter: Greengrass, monkeypatch: pytest.MonkeyPatch):
    """A token that the nucleus does not know is TokenRefusedError, at the latest when it has closed five
    connections in a row: only a restart brings a new one."""
    monkeypatch.setenv("SVCUID", "0123456789ABCDEF")
    with pytest.raises(TokenRefusedError):
        for _ in range(greengrass.HANDSHAKES_CUT):
            with suppress(Unreachable):
                adapter.connect()


def test_a_nucleus_that_is_not_there_is_unreachable(adapter: Greengrass, monkeypatch: pytest.MonkeyPatch):
    """No socket, no connection: Unreachable, however often."""
    monkeypatch.setenv(greengrass.SOCKET, "/nonexistent/ipc.socket")
    for _ in range(greengrass.HANDSHAKES_CUT + 1):
        with pytest.raises(Unreachable, match="no connection to Greengrass"):
            adapter.connect()


def test_every_call_has_a_timeout(adapter: Greengrass, host: ThreadedHost):
    """A nucleus that takes a request and never answers is Unreachable after the timeout."""
    adapter._patience_s = 0.2
    with held(host), pytest.raises(Unreachable, match=r"no reply within 0\.2 s"):
        adapter.tell_iot_core(RESULTS, b"{}")


def test_a_call_under_way_is_cut_short_when_the_process_is_to_stop(adapter: Greengrass, host: ThreadedHost):
    """``hurry`` ends within a second what would have been waited for ten."""
    with held(host):
        threading.Timer(0.1, adapter.hurry).start()
        with pytest.raises(Unreachable, match="no reply within 1 s"):
            adapter.tell_iot_core(RESULTS, b"{}")


def test_a_publish_that_is_given_up_is_closed_and_gives_its_place_back(
    adapter: Greengrass, host: ThreadedHost, monkeypatch: pytest.MonkeyPatch
):
    """``cancel`` ends the wait for a nucleus that does not answer, and makes room for others."""
    _, closed, _ = count_streams(monkeypatch)
    with held(host):
        for _ in range(3):
            replies = [adapter.publish_to_topic(RESULTS, b"{}") for _ in range(MESSAGES)]
            with pytest.raises(Busy):
                adapter.publish_to_topic(RESULTS, b"{}")
            assert all(reply.cancel() for reply in replies)
        assert len(closed) == 3 * MESSAGES


def test_ten_messages_of_15_000_bytes_are_under_way_to_iot_core(adapter: Greengrass, host: ThreadedHost):
    """More is not sent, for Greengrass Lite would refuse it. The local topic has its own ten."""
    with held(host):
        small = [adapter.publish_to_iot_core(RESULTS, bytes(1_400)) for _ in range(MESSAGES)]
        with pytest.raises(Busy):
            adapter.publish_to_iot_core(RESULTS, b"")
        adapter.publish_to_topic(RESULTS, b"{}").cancel()
    for reply in small:
        reply.result(DEADLINE_S)
    until(adapter._to_iot_core.is_empty, "nothing lingers")
    with held(host):
        large = [adapter.publish_to_iot_core(RESULTS, bytes(7_000)) for _ in range(2)]
        with pytest.raises(Busy):
            adapter.publish_to_iot_core(RESULTS, bytes(1_000))
    for reply in large:
        reply.result(DEADLINE_S)


@only_classic
def test_a_message_above_the_budget_goes_alone(adapter: Greengrass):
    """Classic Greengrass takes what MaxMessageBytes may be raised to."""
    adapter.publish_to_iot_core(RESULTS, bytes(100_000)).result(DEADLINE_S)


def test_the_largest_result_fits_into_a_frame_under_the_longest_name(
    adapter: Greengrass, host: ThreadedHost, mail: queue.SimpleQueue
):
    """7,000 bytes to the topic of a thing of 128 characters, below a prefix of 100: Greengrass Lite, which hangs up
    at a frame of more than 10,012 bytes, takes it."""
    longest = "/".join(("p" * 100, "t" * 128, "results"))
    merge = host.host.configuration.merge
    in_host(host, lambda: merge(COMPONENT, (), {"accessControl": access(longest)}, now_ms()))
    payload = b"x" * Settings().max_message_bytes
    adapter.publish_to_iot_core(longest, payload).result(DEADLINE_S)
    adapter.publish_to_topic(longest, payload).result(DEADLINE_S)
    assert mail.empty()


@pytest.mark.parametrize("broker", [0.4], indirect=True)
def test_results_of_every_size_are_never_too_much(adapter: Greengrass):
    """As fast as there is room, small ones and the largest, to a broker that is far away: no publish fails, on
    Greengrass Lite neither."""
    adapter.listen(COMMANDS)
    replies, sizes = [], [100, 7_000, 1_400, 500, 3_000] * 8
    for size in sizes:
        reply: list[Future[None]] = []
        until(lambda size=size, reply=reply: try_to_publish(adapter, size, reply), "there is room")
        replies += reply
    for each in replies:
        each.result(DEADLINE_S)
    assert len(replies) == len(sizes)


@only_lite
@pytest.mark.parametrize("broker", [1.2], indirect=True)
def test_a_broker_farther_away_than_thought_is_given_more_time(adapter: Greengrass):
    """Refusals for want of room cost Greengrass Lite its places: there are few of them, and then none."""
    refused_at = []
    for number in range(40):
        reply: list[Future[None]] = []
        until(lambda reply=reply: try_to_publish(adapter, 2_800, reply), "there is room")
        try:
            reply[0].result(DEADLINE_S)
        except Unreachable:
            refused_at.append(number)
            until(adapter._to_iot_core.is_empty, "nothing counts any more")
    assert refused_at, "else the broker is not far enough away"
    assert len(refused_at) < 5
    assert refused_at[-1] < 20


def try_to_publish(adapter: Greengrass, size_bytes: int, reply: list[Future[None]]) -> bool:
    with suppress(Busy):
        reply.append(adapter.publish_to_iot_core(RESULTS, bytes(size_bytes)))
    return bool(reply)


def test_a_status_waits_for_room_and_goes_before_the_results(adapter: Greengrass, host: ThreadedHost):
    """What is told to IoT Core counts like a result, and is not kept out by those that follow one another."""
    adapter._patience_s = 0.2
    with held(host):
        replies = [adapter.publish_to_iot_core(RESULTS, b"{}") for _ in range(MESSAGES)]
        with pytest.raises(Unreachable, match=r"no room on the way to AWS IoT Core within 0\.2 s"):
            adapter.tell_iot_core(RESULTS, b"{}")
    adapter._patience_s = DEADLINE_S
    adapter.tell_iot_core(RESULTS, b"{}")
    assert all(reply.done() for reply in replies)


@pytest.mark.parametrize("listens", [True, False])
def test_what_was_accepted_lingers_unless_the_nucleus_has_a_spool(
    adapter: Greengrass, monkeypatch: pytest.MonkeyPatch, listens: bool, profile: Profile
):
    """Only classic Greengrass, which has a spool, serves validation requests: for any other a message counts a
    little longer than until its reply."""
    monkeypatch.setattr(greengrass, "LINGER_S", 1.0)
    if listens:
        adapter.listen(COMMANDS)
        adapter.configuration()
    started_s = time.monotonic()
    adapter.publish_to_iot_core(RESULTS, b"{}").result(DEADLINE_S)
    until(adapter._to_iot_core.is_empty, "it is over")
    has_spool = listens and profile is CLASSIC
    assert (time.monotonic() - started_s < 1.0) == has_spool


@only_lite
def test_a_subscription_that_was_lost_in_silence_is_renewed(
    adapter: Greengrass, mail: queue.SimpleQueue, host: ThreadedHost
):
    """When iotcored restarts, nobody tells the component; renewed, the subscription hears commands again."""
    adapter.listen(COMMANDS)
    until(lambda: len(host.host.iot_core._subscriptions) == 1, "it is subscribed")
    in_host(host, lambda: host.host.faults.daemon_restart("iotcored"))
    in_host(host, host.host.faults.clear)
    until(host.host.iot_core.online.is_set, "the host is online")
    assert host.host.iot_core._subscriptions == set()
    adapter.listen(COMMANDS)
    adapter.configuration()
    assert host.host.iot_core._subscriptions == set()
    adapter.listen(COMMANDS, renew=True)
    until(lambda: len(host.host.iot_core._subscriptions) == 1, "it is subscribed again")
    assert mail.empty()
    adapter.publish_to_iot_core(COMMANDS, b"ask").result(DEADLINE_S)
    assert mail.get(timeout=10) == CommandReceived(b"ask")


def test_ten_thousand_publishes_leak_nothing(
    adapter: Greengrass, monkeypatch: pytest.MonkeyPatch, mail: queue.SimpleQueue
):
    """Whether a reply ends its stream, as on classic Greengrass, or leaves it open, as on Lite: each stream is closed
    once, one is open at most, and the connection lives on."""
    opened, closed, ended = count_streams(monkeypatch)
    adapter.publish_to_topic(RESULTS, b"{}").result(DEADLINE_S)
    before, threads = operations(), threading.active_count()
    for _ in range(1_000):
        for reply in [adapter.publish_to_topic(RESULTS, b"{}") for _ in range(MESSAGES)]:
            reply.result(DEADLINE_S)
        until(adapter._to_topic.is_empty, "there is room again")
    until(lambda: len(ended) >= 10_000, "streams have ended")
    assert len(opened) == 10_001
    assert len(closed) == 10_000  # the last one is closed by the next reply
    until(lambda: operations() <= before + 2, "closed operations are freed")
    assert threading.active_count() == threads
    assert mail.empty()


def count_streams(monkeypatch: pytest.MonkeyPatch) -> tuple[list[None], list[None], list[None]]:
    """Grow by one for each operation of the SDK that is activated, closed, and has ended."""
    counts: tuple[list[None], list[None], list[None]] = ([], [], [])
    for name, count in zip(("_activate", "close", "_on_continuation_closed"), counts, strict=True):
        real = getattr(ClientOperation, name)

        def counted(self, *args, real=real, count=count, **kwargs):
            count.append(None)
            return real(self, *args, **kwargs)

        monkeypatch.setattr(ClientOperation, name, counted)
    return counts


def operations() -> int:
    """How many of the SDK's operations are in memory."""
    gc.collect()
    return sum(isinstance(each, ClientOperation) for each in gc.get_objects())
