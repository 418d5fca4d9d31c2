"""Local deployments, from recipes on disk to running components, and what components hear of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest

from deploying import FOREVER, Deploying
from edgehost.control import ControlServer
from edgehost.deployment import DeploymentError
from edgehost.goal import prepare
from edgehost.nucleus import EdgeHost, RootInUseError
from edgehost.process import group_is_alive
from edgehost.running_host import send
from edgehost.state import State
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S
from mosquitto_broker import until

ASK = "asks before it changes"


def test_deployed_component_runs(deploy: Deploying) -> None:
    """Variables are replaced, defaults and --config are merged, files are in place, status tells."""
    (deploy.artifacts / "com.a/1.0.0").mkdir(parents=True)
    (deploy.artifacts / "com.a/1.0.0/hello.txt").write_text("from the artifact")
    run = f"cat {{artifacts:path}}/hello.txt; echo ' for' {{configuration:/Who}} on {{iot:thingName}}; {FOREVER}"
    deploy.recipe("com.a", run=run, configuration={"Who": "nobody", "Kept": 1}, artifacts=["hello.txt"])
    deploy("com.a", config={"com.a": {"who": "me"}})
    assert deploy.state("com.a") == State.RUNNING
    host = deploy.bench.host
    assert host.configuration.value("com.a") == {"Who": "me", "Kept": 1}
    (status,) = host.status()
    assert (status["name"], status["version"], status["state"]) == ("com.a", "1.0.0", "RUNNING")
    until(lambda: "from the artifact for me on edgehost-1" in deploy.log("com.a"), "it said so")
    deploy.bench.call(host.stop_component("com.a"))
    assert deploy.state("com.a") == State.FINISHED


def test_process_gets_the_environment_of_a_core_device(
    deploy: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a component finds, and what of the developer's shell it must not find."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the developer's")
    monkeypatch.setenv("PYTHONPATH", "/the/developer's")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    deploy.recipe("com.a", run="env -0 > environment; mv environment done")
    deploy("com.a")
    deploy.bench.call(deploy.bench.host.components["com.a"].reached(State.FINISHED), 10)
    raw = (deploy.bench.host.root / "work/com.a/done").read_text()
    environment = dict(line.split("=", 1) for line in raw.split("\0") if line)
    assert environment["AWS_IOT_THING_NAME"] == "edgehost-1"
    assert environment["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] == str(
        deploy.bench.host.socket_path
    )
    assert environment["SVCUID"] == environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert {"AWS_REGION", "AWS_DEFAULT_REGION", "GG_ROOT_CA_PATH", "PATH"} <= set(environment)
    assert environment["GGC_VERSION"] == "2.14.0"
    assert environment["HTTPS_PROXY"] == "http://proxy:1"
    unwanted = {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    assert not unwanted & set(environment)
    client = deploy.bench.raw()
    assert client.connect(environment["SVCUID"]).headers[":message-flags"] == 1


def test_dependencies_start_first(deploy: Deploying) -> None:
    """In order of dependency, whatever order they are named in; HARD ones are up before."""
    deploy.recipe("com.base", startup="sleep 0.2; echo base > ../order")
    deploy.recipe("com.top", run="cat ../order; echo top", dependencies={"com.base": "HARD"})
    deploy("com.top", "com.base")
    deploy.bench.call(deploy.bench.host.components["com.top"].reached(State.FINISHED), 10)
    assert "stdout. base" in deploy.log("com.top")


def test_nothing_changed_means_nothing_restarted(deploy: Deploying) -> None:
    """The same version and configuration once more leaves the process alone."""
    deploy.recipe("com.a")
    deploy("com.a")
    before = deploy.pid("com.a")
    deploy("com.a")
    assert deploy.pid("com.a") == before


@pytest.mark.parametrize("change", ["version", "recipe", "artifact", "script's configuration"])
def test_what_changed_restarts(deploy: Deploying, change: str) -> None:
    """A new version, an edited recipe or artifact, or configuration that a script is made of."""
    (deploy.artifacts / "com.a/1.0.0").mkdir(parents=True)
    (deploy.artifacts / "com.a/1.0.0/file").write_text("old")
    run = f": {{configuration:/In}}; {FOREVER}"
    deploy.recipe("com.a", run=run, configuration={"In": 1}, artifacts=["file"])
    deploy("com.a")
    before, config = deploy.pid("com.a"), None
    if change == "version":
        deploy.recipe("com.a", "1.1.0", run=run)
    elif change == "recipe":
        deploy.recipe("com.a", run=f"true; {run}", configuration={"In": 1}, artifacts=["file"])
    elif change == "artifact":
        (deploy.artifacts / "com.a/1.0.0/file").write_text("new")
    else:
        config = {"com.a": {"In": 2}}
    deploy("com.a=1.1.0" if change == "version" else "com.a", config=config)
    assert deploy.state("com.a") == State.RUNNING
    assert deploy.pid("com.a") != before


def test_changed_configuration_is_an_event(deploy: Deploying, inbox) -> None:
    """Classic tells the component, which goes on running."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy("com.a")
    before = deploy.pid("com.a")
    deploy.bench.client("com.a").subscribe_to_configuration_update(**inbox.handlers())
    deploy("com.a", config={"com.a": {"Speed": 2}})
    assert inbox.next().configuration_update_event.key_path == ["Speed"]
    assert deploy.pid("com.a") == before


def validator(deploy: Deploying, status: str, asked: list[Any], message: str | None = None) -> Any:
    """Connect as com.a and answer every validation event with ``status``."""
    client = deploy.bench.client("com.a")

    def answer(events: Any) -> None:
        event = events.validate_configuration_update_event
        asked.append(event.configuration)
        report = m.ConfigurationValidityReport(
            status=status, deployment_id=event.deployment_id, message=message
        )
        client.send_configuration_validity_report(configuration_validity_report=report)

    client.subscribe_to_validate_configuration_updates(
        on_stream_event=answer, on_stream_error=lambda error: True, on_stream_closed=lambda: None
    )
    return client


def test_accepted_configuration_is_applied(deploy: Deploying) -> None:
    """The component sees the whole configuration as it would be, before it is."""
    deploy.recipe("com.a", configuration={"Speed": 1, "Kept": 1})
    deploy("com.a")
    asked: list[Any] = []
    validator(deploy, "ACCEPTED", asked)
    deploy("com.a", config={"com.a": {"Speed": 2}})
    (configuration,) = asked
    assert {key: configuration[key] for key in ("Speed", "Kept")} == {"Speed": 2, "Kept": 1}
    assert deploy.bench.host.configuration.value("com.a", ("Speed",)) == 2


def test_rejected_configuration_fails_the_deployment(deploy: Deploying) -> None:
    """With the component's reason, and nothing changed."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy("com.a")
    before = deploy.pid("com.a")
    validator(deploy, "REJECTED", [], "Speed is over the limit")
    with pytest.raises(
        DeploymentError, match=r"com\.a refused the new configuration: Speed is over the limit"
    ):
        deploy("com.a", config={"com.a": {"Speed": 2}})
    assert deploy.bench.host.configuration.value("com.a", ("Speed",)) == 1
    assert deploy.pid("com.a") == before


def test_validator_that_says_nothing_fails_the_deployment(deploy: Deploying, inbox) -> None:
    """After the time that it has to answer."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy("com.a")
    deploy.bench.client("com.a").subscribe_to_validate_configuration_updates(**inbox.handlers())
    with pytest.raises(DeploymentError, match=r"no validity report within 0\.1 s"):
        deploy("com.a", config={"com.a": {"Speed": 2}}, answer_timeout_s=0.1)


def test_unchanged_configuration_is_not_validated(deploy: Deploying) -> None:
    """There is nothing to ask."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy("com.a")
    asked: list[Any] = []
    validator(deploy, "REJECTED", asked)
    deploy("com.a", config={"com.a": {"Speed": 1}})
    assert asked == []


def test_update_is_announced_deferred_and_over(deploy: Deploying) -> None:
    """A subscriber hears of the update, puts it off, is asked again, lets it go, and hears that it is done."""
    deploy.recipe("com.a")
    deploy("com.a")
    client, events = deploy.bench.client("com.a"), []
    over = threading.Event()

    def answer(event: Any) -> None:
        events.append(event)
        if event.post_update_event:
            over.set()
        else:
            assert event.pre_update_event.is_ggc_restarting is False
            delay_ms = 50 if len(events) == 1 else 0
            client.defer_component_update(
                deployment_id=event.pre_update_event.deployment_id, message=ASK, recheck_after_ms=delay_ms
            )

    client.subscribe_to_component_updates(
        on_stream_event=answer, on_stream_error=lambda error: True, on_stream_closed=lambda: None
    )
    deploy.recipe("com.b")
    deploy("com.b")
    assert over.wait(10)
    deployments = {(event.pre_update_event or event.post_update_event).deployment_id for event in events}
    assert (len(events), len(deployments)) == (3, 1)
    with pytest.raises(m.ServiceError) as raised:
        client.defer_component_update(deployment_id="late", recheck_after_ms=0)
    assert raised.value.message == "Time limit to respond to PreComponentUpdateEvent exceeded"


def test_silent_subscriber_consents_in_the_end(deploy: Deploying, inbox) -> None:
    """Nobody holds an update up by saying nothing."""
    deploy.recipe("com.a")
    deploy("com.a")
    deploy.bench.client("com.a").subscribe_to_component_updates(**inbox.handlers())
    deploy.recipe("com.b")
    deploy("com.b", answer_timeout_s=0.1)
    assert deploy.state("com.b") == State.RUNNING


def test_reported_state_reaches_the_component(deploy: Deploying) -> None:
    """UpdateState over IPC moves a component that is starting up."""
    deploy.recipe("com.a", startup=FOREVER)
    deployment = deploy.start("com.a")
    client = connect_when_starting(deploy)
    client.update_state(state=m.ReportedLifecycleState.RUNNING)
    deployment.result(10)
    assert deploy.state("com.a") == State.RUNNING


def connect_when_starting(deploy: Deploying) -> Any:
    """A client as com.a, once it is STARTING."""
    host = deploy.bench.host

    async def starting() -> None:
        while "com.a" not in host.components:
            await asyncio.sleep(0.01)
        await host.components["com.a"].reached(State.STARTING)

    deploy.bench.call(starting(), 10)
    return deploy.bench.client("com.a")


def test_restart_and_stop_by_name(deploy: Deploying) -> None:
    """A person may restart a component; an unknown one is named with those that are there."""
    deploy.recipe("com.a")
    deploy("com.a")
    before = deploy.pid("com.a")
    deploy.bench.call(deploy.bench.host.restart_component("com.a"), 10)
    assert deploy.pid("com.a") not in (before, None)
    with pytest.raises(LookupError, match=r"com\.none is not deployed on this host; deployed: com\.a"):
        deploy.bench.call(deploy.bench.host.stop_component("com.none"))


def test_broken_component_fails_the_deployment_with_its_last_words(deploy: Deploying) -> None:
    """The message holds the end of the log, where the reason is."""
    deploy.recipe("com.a", install="echo 'no compiler found' >&2; exit 2")
    with pytest.raises(
        DeploymentError, match=r"com\.a 1\.0\.0 is BROKEN; .*/logs/com\.a\.log ends:"
    ) as raised:
        deploy("com.a", policy="nothing")
    assert "no compiler found" in str(raised.value)
    assert deploy.state("com.a") == State.BROKEN
    deploy.recipe("com.a", install="true")
    deploy("com.a")
    assert deploy.state("com.a") == State.RUNNING


@pytest.mark.parametrize(
    ("broken", "names", "config", "words"),
    [
        ({}, ["com.none"], None, r"no recipe of com\.none 1\.0\.0"),
        (
            {"dependencies": {"com.none": "SOFT"}},
            ["com.a"],
            None,
            r"com\.a 1\.0\.0 depends on com\.none >=0\.0\.0, of which there is no recipe in .*/recipes",
        ),
        ({"dependencies": {"com.b": "HARD"}}, ["com.a", "com.b"], None, "dependencies go in a circle"),
        (
            {"run": "{artifacts:nowhere}"},
            ["com.a"],
            None,
            "unknown recipe variable {artifacts:nowhere}",
        ),
        (
            {"run": "{configuration:/None}"},
            ["com.a"],
            None,
            "names no value in the component's configuration",
        ),
        ({"artifacts": ["none.zip"]}, ["com.a"], None, r"none\.zip is missing"),
        ({}, ["com.a"], {"com.x": {}}, r"configuration for com\.x, which would not be deployed"),
    ],
)
def test_impossible_deployment_touches_nothing(deploy: Deploying, broken, names, config, words) -> None:
    """Each fault is named, and what ran before runs on."""
    deploy.recipe("com.a", "0.9.0")
    deploy("com.a=0.9.0")
    before = deploy.pid("com.a")
    deploy.recipe("com.a", **broken)
    deploy.recipe("com.b", dependencies={"com.a": "HARD"})
    with pytest.raises(DeploymentError, match=words):
        deploy(*names, config=config)
    assert deploy.pid("com.a") == before
    assert deploy.state("com.a") == State.RUNNING
    assert sorted(path.name for path in (deploy.bench.host.root / "packages/recipes").iterdir()) == [
        "com.a-0.9.0.json"
    ]


def test_policies_are_those_of_the_recipe(deploy: Deploying) -> None:
    """accessControl in DefaultConfiguration decides what the component may do."""
    policy = {"p": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["mine"]}}
    deploy.recipe("com.a", configuration={"accessControl": {"aws.greengrass.ipc.pubsub": policy}})
    deploy("com.a")
    client = deploy.bench.client("com.a", {})
    message = m.PublishMessage(binary_message=m.BinaryMessage(message=b"x"))
    client.publish_to_topic(topic="mine", publish_message=message)
    with pytest.raises(m.UnauthorizedError):
        client.publish_to_topic(topic="yours", publish_message=message)


def test_only_one_host_per_root(bench) -> None:
    """A second one on the same root is refused before it touches the first one's sockets."""

    async def start_another() -> None:
        async with EdgeHost(bench.host.root):
            pass

    with pytest.raises(RootInUseError, match="a host runs under"):
        bench.call(start_another())
    assert bench.raw().connect(bench.token("com.a")).headers[":message-flags"] == 1


def test_socket_moves_where_the_root_is_too_deep(tmp_path: Path) -> None:
    """A Unix socket's path is limited to 107 bytes; the host serves from a short directory and removes it."""
    with run_in_thread(tmp_path / ("deep" * 40)) as threaded:
        path = threaded.host.socket_path
        assert path.exists()
        assert len(bytes(path)) <= 107
    assert not path.parent.exists()


def test_control_socket_is_reached_under_any_root(tmp_path: Path) -> None:
    """Its name is longer than the other socket's: with roots of every length around the limit both can be made."""
    for length in (92, 93, 96, 97):
        root = tmp_path / "r"
        root = root.with_name("r" * (length - len(str(tmp_path)) - 1))
        with run_in_thread(root) as threaded:
            server = ControlServer(threaded.host)
            threaded.call(server.__aenter__(), DEADLINE_S)
            assert send(root, "status")["root"] == str(root)
            threaded.call(server.__aexit__(None, None, None), DEADLINE_S)


def test_start_by_hand_waits_for_a_deployment_to_replace_the_component(deploy: Deploying) -> None:
    """Else the old version's process would go on beside the new one's, with nobody to stop it."""
    deploy.recipe("com.b", run="trap 'while ! test -e ../go; do sleep 0.05; done; exit 0' TERM; " + FOREVER)
    run = f"echo $$ >> ../pids; {FOREVER}"
    deploy.recipe("com.a", run=run, dependencies={"com.b": "HARD"})
    deploy("com.a", "com.b")
    host = deploy.bench.host
    deploy.recipe("com.a", "2.0.0", run=run, dependencies={"com.b": "HARD"})
    deploy.recipe("com.b", "2.0.0")
    deployment = deploy.start("com.a=2.0.0", "com.b=2.0.0")
    until(lambda: deploy.state("com.a") == State.FINISHED, "com.a is stopped, com.b is not yet")
    started = deploy.bench.threaded.submit(host.start_component("com.a"))
    (host.root / "work/go").touch()
    deployment.result(DEADLINE_S)
    started.result(DEADLINE_S)
    pids = (host.root / "work/pids").read_text().split()
    assert [pid for pid in map(int, pids) if group_is_alive(pid)] == [deploy.pid("com.a")]


def test_large_artifacts_hold_up_nobody(deploy: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host serves others while it stages what is to be deployed."""
    served = threading.Event()

    def unhurried(*arguments: Any) -> Any:
        assert served.wait(DEADLINE_S), "nobody was served meanwhile"
        return prepare(*arguments)

    async def serve() -> None:
        served.set()

    monkeypatch.setattr("edgehost.deployment.prepare", unhurried)
    deploy.recipe("com.a")
    deployment = deploy.start("com.a")
    deploy.bench.call(serve())
    deployment.result(20)


def test_root_components_of_earlier_deployments_stay(deploy: Deploying) -> None:
    """A deployment adds and replaces; only what is removed goes, with its configuration, not its work directory."""
    deploy.recipe("com.base", configuration={"Speed": 1})
    deploy.recipe("com.a", dependencies={"com.base": "HARD"})
    deploy.recipe("com.b")
    deploy("com.a")
    deploy("com.b")
    host = deploy.bench.host
    rows = {each["name"]: each["is_root"] for each in host.status()}
    assert rows == {"com.base": False, "com.a": True, "com.b": True}
    kept = deploy.pid("com.b")
    deploy(remove=["com.a"])
    assert [each["name"] for each in host.status()] == ["com.b"]
    assert deploy.pid("com.b") == kept
    assert "com.base" not in host.configuration
    assert (host.root / "work/com.base").is_dir()
    assert [path.name for path in (host.root / "packages/recipes").iterdir()] == ["com.b-1.0.0.json"]
    with pytest.raises(
        DeploymentError, match=r"com\.base can't be removed, being no root component; .*: com\.b"
    ):
        deploy(remove=["com.base"])


def test_dependency_is_found_by_its_requirement(deploy: Deploying) -> None:
    """The highest version that will do; the one that runs stays while it does; and it goes when nobody needs it."""
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        deploy.recipe("com.base", version)
    deploy.recipe("com.a", dependencies={"com.base": "SOFT <2.0.0"})
    deploy("com.a")
    assert deploy.version("com.base") == "1.1.0"
    deploy.recipe("com.b", dependencies={"com.base": "SOFT >=1.0.0"})
    running = deploy.pid("com.base")
    deploy("com.b")
    assert (deploy.version("com.base"), deploy.pid("com.base")) == ("1.1.0", running)
    deploy(remove=["com.a"])
    assert deploy.version("com.base") == "1.1.0"
    deploy.recipe("com.c", dependencies={"com.base": "SOFT >=2.0.0"})
    deploy("com.c")
    assert deploy.version("com.base") == "2.0.0"
    deploy.recipe("com.d", dependencies={"com.base": "SOFT <2.0.0"})
    with pytest.raises(DeploymentError, match=r"no version of com\.base satisfies everyone: .*com\.c 1\.0"):
        deploy("com.d")
    deploy(remove=["com.b", "com.c"])
    assert deploy.bench.host.status() == []


def test_kept_versions_need_no_directories(deploy: Deploying) -> None:
    """The version before the present one is kept, and no older one."""
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        deploy.recipe("com.a", version, artifacts=["x.txt"], run=f"cat {{artifacts:path}}/x.txt; {FOREVER}")
        deploy.artifact("com.a", "x.txt", f"this is {version}\n", version)
        deploy(f"com.a={version}")
    deploy("com.a=2.0.0", recipes=None, artifacts=None)
    until(lambda: deploy.log("com.a").count("this is 2.0.0") == 2, "the kept version runs")
    with pytest.raises(
        DeploymentError, match=r"no recipe of com\.a 1\.0\.0 on this device; .*2\.0\.0, 3\.0\.0"
    ):
        deploy("com.a=1.0.0", recipes=None, artifacts=None)
    artifacts = deploy.bench.host.root / "packages/artifacts/com.a"
    assert sorted(path.name for path in artifacts.iterdir()) == ["2.0.0", "3.0.0"]


def test_hard_dependents_move_along_and_soft_ones_do_not(deploy: Deploying) -> None:
    """Stopped before the dependency and started when it is up again, at any depth."""
    deploy.recipe("com.base", startup="sleep 0.2; echo base up >> ../order")
    for name, dependencies in {
        "com.hard": {"com.base": "HARD"},
        "com.deep": {"com.hard": "HARD"},
        "com.soft": {"com.base": "SOFT"},
    }.items():
        run = f"trap 'echo {name} down >> ../order; exit 0' TERM; echo {name} up >> ../order; {FOREVER}"
        deploy.recipe(name, run=run, dependencies=dependencies)
    order = deploy.bench.host.root / "work/order"
    deploy("com.deep", "com.soft")
    assert order.read_text().splitlines().index("com.deep up") == 3
    order.unlink()
    soft = deploy.pid("com.soft")
    deploy.recipe("com.base", "1.1.0", startup="sleep 0.2; echo base up >> ../order")
    deploy("com.base=1.1.0")
    moved = ["com.deep down", "com.hard down", "base up", "com.hard up", "com.deep up"]
    assert order.read_text().splitlines() == moved
    assert deploy.pid("com.soft") == soft
    order.unlink()
    deploy.bench.call(deploy.bench.host.restart_component("com.base"), 20)
    until(lambda: order.read_text().splitlines() == moved, "all have moved again")
    assert deploy.pid("com.soft") == soft


def test_hard_dependency_that_is_broken_fails_at_once(deploy: Deploying) -> None:
    """Its dependents wait for it, and nobody waits for them."""
    deploy.recipe("com.base", startup="exit 1")
    deploy.recipe("com.top", run="echo never; exit 0", dependencies={"com.base": "HARD"})
    with pytest.raises(DeploymentError, match=r"com\.base 1\.0\.0 is BROKEN"):
        deploy("com.top", policy="nothing")
    assert deploy.state("com.top") == State.INSTALLED
    assert "never" not in deploy.log("com.top")
    deploy.bench.call(deploy.bench.host.restart_component("com.top"), 10)
    assert deploy.state("com.top") == State.INSTALLED


def test_configuration_is_reset_and_merged(deploy: Deploying) -> None:
    """As greengrass-cli's --update-config: pointers go back to the defaults first; other keys are values."""
    defaults = {"Speed": 1, "deep/er": {"a": 1, "b": 1}}
    deploy.recipe("com.a", configuration=defaults)
    deploy("com.a", config={"com.a": {"Speed": 2, "deep/er": {"a": 2, "b": 2, "new": 2}}})
    configuration, running = deploy.bench.host.configuration, deploy.pid("com.a")

    def change(values: dict[str, Any]) -> Any:
        deploy.bench.call(deploy.bench.host.configure("com.a", values), 10)
        return configuration.value("com.a")

    expected = {"Speed": 3, "deep/er": {"b": 2, "a": 1}}
    assert change({"RESET": ["/deep~1er/a", "/deep~1er/new"], "MERGE": {"Speed": 3}}) == expected
    assert change({"RESET": [""]}) == defaults
    assert change({"MERGE": {"Speed": 4}}) == defaults | {"Speed": 4}
    assert change({"RESET": 1, "Speed": 5})["RESET"] == 1
    assert deploy.pid("com.a") == running
    with pytest.raises(DeploymentError, match=r"RESET for com\.a: 'Speed' is no JSON pointer"):
        change({"RESET": ["Speed"]})
    with pytest.raises(DeploymentError, match=r"MERGE for com\.a is 1, not an object"):
        change({"MERGE": 1})


def test_configuration_of_what_is_not_deployed_is_refused(deploy: Deploying) -> None:
    """By name, with those that are there."""
    with pytest.raises(LookupError, match=r"com\.a is not deployed on this host; deployed: none"):
        deploy.bench.call(deploy.bench.host.configure("com.a", {"Speed": 1}))


def test_stopped_component_starts_by_name(deploy: Deploying) -> None:
    """A person may stop a component and start it again; what else is deployed leaves it stopped."""
    deploy.recipe("com.a")
    deploy.recipe("com.b")
    deploy("com.a")
    host = deploy.bench.host
    deploy.bench.call(host.stop_component("com.a"), 10)
    deploy("com.b")
    assert deploy.pid("com.a") is None
    deploy.bench.call(host.start_component("com.a"), 10)
    assert deploy.state("com.a") == State.RUNNING


def test_altered_artifact_touches_nothing(deploy: Deploying) -> None:
    """The digest that the recipe gives is not that of the file."""
    deploy.artifact("com.a", "x.txt", "altered")
    digest = {"Digest": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Algorithm": "SHA-256"}
    deploy.recipe("com.a", artifacts=["x.txt"], artifact=digest)
    with pytest.raises(
        DeploymentError, match=r"com\.a 1\.0\.0: artifact x\.txt has digest .*, the recipe says AAAA"
    ):
        deploy("com.a")
    assert deploy.bench.host.status() == []
    assert not list((deploy.bench.host.root / "packages").rglob("x.txt"))
