"""What Greengrass Lite's services bring about, beside what they answer (test_conformance.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest

from conformance.case import ALL_ALLOWED
from edgehost.configuration import KeyPath
from edgehost.profile import LITE
from edgehost.state import State
from ipc_bench import DEADLINE_S, Bench, Inbox
from mosquitto_broker import until

pytestmark = pytest.mark.parametrize("profile", [LITE], ids=["lite"])
NAME = "com.example.Hello"


FOREVER = "while true; do sleep 0.05; done"


def write_recipe(directory: Path, step: str = "run") -> Path:
    """A component that has one step, which takes for ever; the directory."""
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": NAME,
        "ComponentVersion": "1.0.0",
        "ComponentConfiguration": {"DefaultConfiguration": {"Greeting": "hi", "Times": 1}},
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": [],
                "Lifecycle": {step: FOREVER},
            }
        ],
    }
    (directory / f"{NAME}-1.0.0.json").write_text(json.dumps(recipe))
    return directory


def wait_for_process(bench: Bench) -> None:
    """Until the component was deployed and something of it runs."""
    until(lambda: any(each["name"] == NAME and each["pid"] for each in bench.host.status()), f"{NAME} runs")


def test_a_component_restarts_another(bench: Bench, tmp_path: Path) -> None:
    """Another process runs afterwards."""
    bench.call(bench.host.deploy(write_recipe(tmp_path), None, {NAME: "1.0.0"}), DEADLINE_S)
    before = bench.host.component(NAME).pid
    bench.client("com.a", ALL_ALLOWED).restart_component(component_name=NAME)
    until(lambda: bench.host.component(NAME).pid not in (None, before), f"{NAME} was started again")


def test_a_component_deploys_another(bench: Bench, tmp_path: Path) -> None:
    """Recipes, versions, configuration and what to remove are taken from the request; the deployment has an id."""
    client = bench.client("com.a", ALL_ALLOWED)
    answer = client.create_local_deployment(
        recipe_directory_path=str(write_recipe(tmp_path)),
        root_component_versions_to_add={NAME: "1.0.0"},
        component_to_configuration={NAME: {"MERGE": {"Times": 2}}},
    )
    assert len(answer.deployment_id) == 36
    wait_for_process(bench)
    assert bench.host.configuration.value(NAME) == {"Greeting": "hi", "Times": 2}
    raw = bench.raw()
    raw.connect(bench.token("com.a", ALL_ALLOWED))
    raw.request(1, "CreateLocalDeployment", json.dumps({"rootComponentVersionsToRemove": [NAME]}).encode())
    until(lambda: bench.host.find_component(NAME) is None, f"{NAME} was removed")


def test_a_deployment_that_a_component_asked_for_ends_with_the_host(bench: Bench, tmp_path: Path) -> None:
    """Nothing of it is left when the host has stopped: the fixture's end would wait for ever otherwise."""
    write_recipe(tmp_path, "install")
    client = bench.client("com.a", ALL_ALLOWED)
    client.create_local_deployment(
        recipe_directory_path=str(tmp_path), root_component_versions_to_add={NAME: "1.0.0"}
    )
    wait_for_process(bench)


def test_deployments_queue_up_to_a_number(bench: Bench, tmp_path: Path) -> None:
    """While one is under way nine more may wait."""
    write_recipe(tmp_path, "install")
    client = bench.client("com.a", ALL_ALLOWED)
    request = {"recipe_directory_path": str(tmp_path), "root_component_versions_to_add": {NAME: "1.0.0"}}
    for _ in range(10):
        client.create_local_deployment(**request)
    with pytest.raises(m.ServiceError):
        client.create_local_deployment(**request)


def test_running_ends_the_wait_for_startup(bench: Bench, tmp_path: Path) -> None:
    """A component that says so is RUNNING while its startup script still runs; ERRORED changes nothing."""
    write_recipe(tmp_path, "startup")
    deployment = bench.threaded.submit(bench.host.deploy(tmp_path, None, {NAME: "1.0.0"}))
    wait_for_process(bench)
    client = bench.client(NAME)
    client.update_state(state="ERRORED")
    client.update_state(state="RUNNING")
    deployment.result(DEADLINE_S)
    assert bench.host.component(NAME).state is State.RUNNING


def test_subscriptions_are_counted(bench: Bench) -> None:
    """One more than there is room for is refused; one that has ended makes room."""
    client = bench.client("com.a")
    inbox = Inbox()
    opened = [client.subscribe_to_topic(topic="t", **inbox.handlers())[1] for _ in range(99)]
    with pytest.raises(m.ServiceError):
        client.subscribe_to_topic(topic="t", **inbox.handlers())
    opened[0].close().result(DEADLINE_S)
    client.subscribe_to_topic(topic="t", **inbox.handlers())


def test_what_killed_one_subscription_spares_the_others(bench: Bench) -> None:
    """A subscription to another topic goes on, and a new one to the same topic hears again."""
    client = bench.client("com.a")
    dead, other, fresh = Inbox(), Inbox(), Inbox()
    client.subscribe_to_topic(topic="t", **dead.handlers())
    client.subscribe_to_topic(topic="u", **other.handlers())
    too_much = m.PublishMessage(json_message=m.JsonMessage(message={"l": [1] * 43}))
    small = m.PublishMessage(json_message=m.JsonMessage(message={"l": []}))
    client.publish_to_topic(topic="t", publish_message=too_much)
    client.subscribe_to_topic(topic="t", **fresh.handlers())
    client.publish_to_topic(topic="t", publish_message=small)
    client.publish_to_topic(topic="u", publish_message=small)
    assert fresh.next().json_message.message == other.next().json_message.message == {"l": []}
    assert dead.is_empty() and dead.closed.empty()


def test_a_stale_leaf_is_no_change(bench: Bench) -> None:
    """Not for a watcher inside the host either."""
    bench.configure("com.a", {"Key": 1})
    client = bench.client("com.a")
    client.update_configuration(value_to_merge={"Key": 2}, timestamp=_at(20))
    heard: list[KeyPath] = []
    bench.host.configuration.watch("com.a", (), heard.append)
    client.update_configuration(value_to_merge={"Key": 3}, timestamp=_at(10))
    assert heard == []
    assert client.get_configuration(key_path=["Key"]).value == {"Key": 2}


def _at(seconds: float) -> Any:
    return m.UpdateConfigurationRequest._from_payload({"timestamp": 1795320717.5 + seconds}).timestamp
