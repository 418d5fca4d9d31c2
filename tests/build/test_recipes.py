"""The recipes keep to what classic Greengrass and Greengrass Lite both take."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPES = [ROOT / "recipe.yaml", ROOT / "models" / "recipe.yaml"]
PORTABLE_VARIABLES = (
    r"\{(artifacts:path|artifacts:decompressedPath|kernel:rootPath|iot:thingName|work:path"
    r"|configuration:/[^}]+)\}"
)


def load(path: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return recipe


def lifecycle(path: Path) -> dict[str, Any]:
    (manifest,) = load(path)["Manifests"]
    steps: dict[str, Any] = manifest["Lifecycle"]
    return steps


@pytest.fixture(params=RECIPES, ids=["inspector", "model"])
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_it_fits_lite(path: Path) -> None:
    assert path.stat().st_size <= 8_000


def test_it_runs_on_both(path: Path) -> None:
    (manifest,) = load(path)["Manifests"]
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}
    (artifact,) = manifest["Artifacts"]
    assert set(artifact) == {"Uri", "Unarchive"}


def test_scripts_have_no_brace_but_portable_variables(path: Path) -> None:
    for step in lifecycle(path).values():
        assert "{" not in re.sub(PORTABLE_VARIABLES, "", step["Script"])


def test_steps_are_those_that_both_have(path: Path) -> None:
    assert set(lifecycle(path)) <= {"install", "run", "startup"}
    for step in lifecycle(path).values():
        assert set(step) <= {"Script", "Timeout", "Setenv", "RequiresPrivilege"}


def test_the_iot_policy_allows_one_thing_what_the_recipe_allows_any() -> None:
    """The policy in docs/deploy.md: each topic of ``accessControl`` with the thing's name in it, and no wildcard."""
    access = load(RECIPES[0])["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"]
    proxy = access["aws.greengrass.ipc.mqttproxy"].values()
    document = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text("utf-8"), re.DOTALL)
    assert document
    for operation, action in {"PublishToIoTCore": "iot:Publish", "SubscribeToIoTCore": "iot:Receive"}.items():
        (allowed,) = (each["resources"] for each in proxy if operation in each["operations"][0])
        (statement,) = (each for each in json.loads(document[1])["Statement"] if each["Action"] == action)
        granted = statement["Resource"]
        topics = [granted] if isinstance(granted, str) else granted
        assert [each.partition("/")[2] for each in topics] == [
            each.replace("*", "line-3") for each in allowed
        ]
    assert "*" not in document[1]


def test_only_install_has_a_time_limit() -> None:
    assert lifecycle(RECIPES[0])["install"]["Timeout"] > 120
    assert "Timeout" not in lifecycle(RECIPES[0])["run"]


def test_run_installs_nothing() -> None:
    assert "pip" not in lifecycle(RECIPES[0])["run"]["Script"]
    assert "install" not in lifecycle(RECIPES[0])["run"]["Script"]


def test_scripts_survive_paths_with_spaces(path: Path, tmp_path: Path) -> None:
    """Each script, its variables filled in, is parsed by a real shell; every path arrives as one word."""
    for step in lifecycle(path).values():
        script = re.sub(
            PORTABLE_VARIABLES, lambda found: f"/a b/{found[1].replace(':', '_')}", step["Script"]
        )
        shown = re.sub(r"\b(exec|python3)\b", "printf '%s\\\\n'", script, count=1)
        words = subprocess.run(
            ["sh", "-euc", shown], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert len([word for word in words if word.startswith("/a b/")]) >= 1
        assert not [word for word in words if word.startswith("b/")]


def test_the_model_is_a_soft_dependency() -> None:
    """A hard one would restart the inspector whenever the model component moves."""
    dependency = load(RECIPES[0])["ComponentDependencies"]["com.edgeinspector.Model"]
    assert dependency["DependencyType"] == "SOFT"


def test_it_may_do_what_it_needs_and_no_more() -> None:
    allowed = sorted(permissions())
    assert allowed == [
        ("aws.greengrass.ipc.mqttproxy", "aws.greengrass#PublishToIoTCore", "inspect/*/commands/response"),
        ("aws.greengrass.ipc.mqttproxy", "aws.greengrass#PublishToIoTCore", "inspect/*/results"),
        ("aws.greengrass.ipc.mqttproxy", "aws.greengrass#PublishToIoTCore", "inspect/*/status"),
        ("aws.greengrass.ipc.mqttproxy", "aws.greengrass#SubscribeToIoTCore", "inspect/*/commands"),
        ("aws.greengrass.ipc.pubsub", "aws.greengrass#PublishToTopic", "inspect/*/results"),
    ]


def test_policies_fit_the_memory_that_lite_gives_them() -> None:
    access = load(RECIPES[0])["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"]
    assert all(len(yaml.safe_dump(policies)) < 2_048 for policies in access.values())


def permissions() -> Iterator[tuple[str, str, str]]:
    access = load(RECIPES[0])["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"]
    for service, policies in access.items():
        for policy in policies.values():
            for operation in policy["operations"]:
                for resource in policy["resources"]:
                    yield service, operation, resource


def test_the_default_configuration_is_valid_and_says_what_the_code_says() -> None:
    from inspector.core.settings import Settings, parse

    defaults = load(RECIPES[0])["ComponentConfiguration"]["DefaultConfiguration"]
    settings, warnings = parse(defaults)
    assert settings == Settings()
    assert warnings == ()
