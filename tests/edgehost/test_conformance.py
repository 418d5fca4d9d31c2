"""Both nuclei's answers over IPC, row by row of the table in ``conformance``: by AWS's own client, and in frames.

The client shows that its model classes take what the host says. The frames show what the client can't: the message
of an error (it drops Lite's), the order of events, and that nothing more comes.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest

from conformance import components, configuration, iotcore, pubsub
from conformance.case import ALL_ALLOWED, NOW_S, Action, Case, Deployment, Payload, Request
from conformance.speaker import (
    OPERATIONS,
    Answer,
    SdkSpeaker,
    Speaker,
    WireSpeaker,
    can_express,
    request_model,
)
from edgehost.profile import PROFILES
from edgehost.thread import ThreadedHost, run_in_thread
from ipc_bench import DEADLINE_S, Bench
from mosquitto_broker import until

CASES = [
    *configuration.CASES,
    *pubsub.CASES,
    *components.CASES,
    *components.unsupported(set(OPERATIONS)),
    *iotcore.CASES,
]
ROWS = [
    pytest.param(profile, case, id=f"{profile}-{case.operation}-{number}")
    for number, case in enumerate(CASES)
    for profile in case.profiles
]
NEED_A_POLICY = {
    "PublishToTopic",
    "SubscribeToTopic",
    "PublishToIoTCore",
    "SubscribeToIoTCore",
    "RestartComponent",
    "CreateLocalDeployment",
    "ValidateAuthorizationToken",
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ThreadedHost]]:
    """A host of each profile, for all rows: each row's components have names of their own."""
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(
                run_in_thread(tmp_path_factory.mktemp(name), profile=profile, steady_s=0)
            )
            for name, profile in PROFILES.items()
        }
        for threaded in running.values():
            threaded.call(threaded.host.iot_core.online.wait(), DEADLINE_S)
        yield running


class Stage:
    """A host on which one row is played, by speakers of one kind."""

    def __init__(self, bench: Bench, case: Case, speaks: Callable[[Bench, str, Payload], Speaker]) -> None:
        self.bench = bench
        self.case = case
        self._suffix = f".n{next(_numbers)}"
        self._speaks = speaks
        self._speakers: dict[str, Speaker] = {}
        self.bench.configure(self._named("com.me"), dict(case.configuration))
        self.bench.configure(self._named("com.other"), {})
        for name in case.deployed:
            self.deploy(name, {}).result(DEADLINE_S)
        self.bench.configure(self._named("com.me"), {"accessControl": self._outgoing(case.access)})

    async def leave(self) -> None:
        """Stop and forget the row's components, lest every row that follows carries them along."""
        host = self.bench.host
        names = [self._named(name) for name in ("com.me", "com.other")]
        if deployed := [name for name in names if host.find_component(name)]:
            # a subscriber whose connection is closing may still be asked
            await host.deploy(None, None, {}, remove=deployed, answer_timeout_s=1)
        for name in names:
            host.configuration.remove(name)

    @contextmanager
    def offline(self) -> Iterator[None]:
        """The broker is away."""
        online = self.bench.host.iot_core.online
        self.bench.call(_now(self.bench.host.iot_core.cut), DEADLINE_S)
        until(lambda: not online.is_set(), "the host is offline")
        yield
        self.bench.call(_now(self.bench.host.iot_core.mend), DEADLINE_S)
        self.bench.call(online.wait(), DEADLINE_S)

    def ask(self, operation: str, payload: Payload, by: str = "com.me") -> Answer:
        """What the host answers, with the names of the table."""
        if by not in self._speakers:
            access = self.case.access if by == self.case.by else ALL_ALLOWED
            self._speakers[by] = self._speaks(self.bench, self._named(by), self._outgoing(access))
        model, answer = self._speakers[by].ask(operation, self._outgoing(payload))
        return model, self._incoming(answer)

    def act(self, action: Action) -> list[Any]:
        """Do it; the events that were heard for it."""
        if isinstance(action, Request):
            model, answer = self.ask(action.operation, action.payload, action.by)
            assert model == f"{action.operation}Response", answer
            return []
        return self._deploy_and_reply(action)

    def deploy(self, name: str, config: Payload) -> Any:
        """Begin to deploy a component that runs for ever."""
        name = self._named(name)
        directory = self.bench.host.root / "recipes" / name
        directory.mkdir(parents=True, exist_ok=True)
        manifest = {
            "Platform": {"os": "linux", "runtime": "*"},
            "Artifacts": [],
            "Lifecycle": {"run": "exec sleep 600"},
        }
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": "1.0.0",
            "Manifests": [manifest],
        }
        (directory / "recipe.json").write_text(json.dumps(recipe))
        deployment = self.bench.host.deploy(
            directory, None, {name: "1.0.0"}, {name: config} if config else None
        )
        return self.bench.threaded.submit(deployment)

    def events(self, count: int) -> Iterator[Any]:
        """That many, and whatever else had been sent before a further request was answered."""
        speaker = self._speakers[self.case.by]
        for _ in range(count):
            yield self._incoming(speaker.next_event())
        self.ask("GetConfiguration", {}, self.case.by)
        while speaker.has_event():
            yield self._incoming(speaker.next_event())

    def _deploy_and_reply(self, action: Deployment) -> list[Any]:
        under_way = self.deploy("com.me", action.config)
        heard = []
        for reply in action.replies:
            event = self._speakers["com.me"].next_event()
            heard.append(self._incoming(event))
            (identity,) = re.findall(r'"deploymentId": "([^"]+)"', json.dumps(event))
            payload = json.loads(json.dumps(reply.payload).replace('"d"', json.dumps(identity)))
            assert self.ask(reply.operation, payload)[0] == f"{reply.operation}Response"
        under_way.result(DEADLINE_S)
        return heard

    def _named(self, name: str) -> str:
        return f"{name}{self._suffix}" if name.startswith("com.") else name

    def _outgoing(self, payload: Payload) -> Payload:
        text = re.sub(r'"(com\.(?:me|other))"', rf'"\1{self._suffix}"', json.dumps(payload))
        if '"TOKEN"' in text:
            text = text.replace('"TOKEN"', json.dumps(self.bench.host.tokens.issue(self._named("com.me"))))
        return dict(json.loads(text))

    def _incoming(self, payload: Any) -> Any:
        text = json.dumps(payload).replace(self._suffix, "")
        return json.loads(re.sub(r'"deploymentId": "[^"]+"', '"deploymentId": "d"', text))


@pytest.mark.parametrize("profile", PROFILES)
def test_an_event_comes_before_the_reply_that_it_is_owed_to(hosts, profile) -> None:
    """As captured frames 9 and 10, 38 and 39 have it: who hears itself hears first, and is answered then."""
    message = {"topic": "itself", "publishMessage": {"binaryMessage": {"message": "eA=="}}}
    update = {"timestamp": NOW_S, "valueToMerge": {"Key": 1}}
    with ExitStack() as exit_stack:
        bench = Bench(hosts[profile], exit_stack)
        client = bench.raw()
        client.connect(bench.token("com.itself"))
        client.request(1, "SubscribeToTopic", b'{"topic": "itself"}')
        client.request(2, "SubscribeToConfigurationUpdate")
        assert client.request(3, "PublishToTopic", json.dumps(message).encode()).headers[":stream-id"] == 1
        assert client.receive().headers[":stream-id"] == 3
        assert (
            client.request(4, "UpdateConfiguration", json.dumps(update).encode()).headers[":stream-id"] == 2
        )
        assert client.receive().headers[":stream-id"] == 4


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_closed_stream_hears_nothing(bench, inbox, profile) -> None:
    """After the client closed the operation, publishing goes on and nothing arrives."""
    client = bench.client("com.a")
    _, operation = client.subscribe_to_topic(topic="t", **inbox.handlers())
    operation.close().result(DEADLINE_S)
    assert inbox.closed.get(timeout=DEADLINE_S) == "closed"
    message = m.PublishMessage(binary_message=m.BinaryMessage(message=b"x"))
    client.publish_to_topic(topic="t", publish_message=message)
    assert inbox.is_empty()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_many_calls_on_one_connection(bench, profile) -> None:
    """A thousand requests, each closed by the caller too, and the connection is as good as new."""
    client = bench.client("com.a")
    message = m.PublishMessage(binary_message=m.BinaryMessage(message=b"x"))
    started = time.monotonic()
    for _ in range(1000):
        operation = client.client.new_publish_to_topic()
        operation.activate(m.PublishToTopicRequest(topic="t", publish_message=message))
        operation.get_response().result(DEADLINE_S)
        operation.close()
    assert client.get_configuration().component_name == "com.a"
    assert time.monotonic() - started < 20


async def _now(function: Callable[[], None]) -> None:
    function()


def play(
    threaded: ThreadedHost, case: Case, speaks: Callable[[Bench, str, Payload], Speaker]
) -> tuple[Answer, list]:
    """Do what a row says; the answer and the events."""
    with ExitStack() as exit_stack:
        stage = Stage(Bench(threaded, exit_stack), case, speaks)
        exit_stack.callback(lambda: threaded.call(stage.leave(), DEADLINE_S))
        for action in case.before:
            stage.act(action)
        if case.offline:
            exit_stack.enter_context(stage.offline())
        answer = stage.ask(case.operation, case.request, case.by)
        heard = [event for action in case.after for event in stage.act(action)]
        heard += stage.events(len(case.events) - len(heard))
        for key, value in case.changes.items():
            expected = value if isinstance(value, dict) else {key: value}
            model, found = stage.ask("GetConfiguration", {"keyPath": [key]})
            assert (found.get("value") if model == "GetConfigurationResponse" else {key: None}) == expected
    return answer, heard


def in_frames(bench: Bench, component: str, access: Payload) -> Speaker:
    return WireSpeaker(bench.raw(), bench.token(component, access))


def by_the_sdk(bench: Bench, component: str, access: Payload) -> Speaker:
    return SdkSpeaker(bench.client(component, access))


@pytest.mark.parametrize(("profile", "case"), ROWS)
def test_in_frames(hosts, profile, case) -> None:
    """Answer and events are as the row says; on Lite, the order of keys too."""
    (model, payload), heard = play(hosts[profile], case, in_frames)
    if case.error:
        assert model == case.error, payload
        assert case.message is None or is_message(case.message, payload["_message"])
        assert payload["_errorCode"] == case.error
    else:
        assert (model, text(payload, profile)) == (f"{case.operation}Response", text(case.answer, profile))
    assert [text(event, profile) for event in heard] == [text(event, profile) for event in case.events]


@pytest.mark.parametrize(
    ("profile", "case"), [row for row in ROWS if can_express(row.values[1].operation, row.values[1].request)]
)
def test_by_the_sdk(hosts, profile, case) -> None:
    """AWS's client takes the answers and the events, and raises its own classes for errors."""
    (model, payload), heard = play(hosts[profile], case, by_the_sdk)
    assert model == (case.error or f"{case.operation}Response"), payload
    assert case.error or payload == case.answer
    assert sorted(map(text, heard)) == sorted(map(text, case.events))


def text(payload: Payload, profile: str = "") -> str:
    """As JSON, which tells 1 from true and 1.0; classic's mappings are in no order."""
    return json.dumps(payload, sort_keys=profile != "lite")


def is_message(expected: str, message: str) -> bool:
    """Whether a message is the one in the table, or has it in it."""
    return message == expected or (expected[:1] == "…" and expected[1:] in message)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_table_is_complete(hosts, profile) -> None:
    """Every operation of the SDK has a row; one that is served has its success, its refusals and its denial."""
    served = components.SERVED[profile]
    assert set(hosts[profile].host.services.operations) == served
    kinds: dict[str, set[str]] = {operation: set() for operation in OPERATIONS}
    for case in CASES:
        if profile in case.profiles:
            kinds[case.operation].add(case.kind)
            for request in requests(case):
                kinds[request.operation].add("success")
    for operation in OPERATIONS:
        needed = {"unsupported"}
        if operation in served:
            has_arguments = bool(vars(request_model(operation)()))
            needed = {"success"} | ({"invalid"} if has_arguments else set())
            needed |= {"denied"} if operation in NEED_A_POLICY else set()
        assert kinds[operation] >= needed, operation


def requests(case: Case) -> Iterator[Request]:
    """What is asked, with success, beside the row's own request."""
    for action in (*case.before, *case.after):
        yield from action.replies if isinstance(action, Deployment) else (action,)
