"""Recipes: what is read, what is chosen for this platform, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgehost.recipe import Dependency, RecipeError, Rules, architecture, load, parse
from edgehost.variables import VariableError, interpolate

FULL = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": "com.example.Full",
    "ComponentVersion": "1.2.3-rc.1",
    "ComponentDependencies": {
        "com.example.Base": {"VersionRequirement": ">=1.0.0"},
        "com.example.Other": {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"},
    },
    "ComponentConfiguration": {"DefaultConfiguration": {"Greeting": "hi"}},
    "Manifests": [
        {"Platform": {"os": "windows"}, "Lifecycle": {"run": "no"}},
        {
            "Platform": {"os": "linux", "runtime": "*"},
            "Artifacts": [{"Uri": "s3://BUCKET/com.example.Full/1.2.3/full.zip", "Unarchive": "ZIP"}],
            "Lifecycle": {
                "Setenv": {"SHARED": "1", "BOTH": "shared"},
                "install": {"Script": "make", "Timeout": "1800"},
                "run": {"Script": "go", "Setenv": {"BOTH": "run"}, "RequiresPrivilege": False},
            },
        },
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**FULL, **changes}


def lifecycle(steps: Any) -> dict[str, Any]:
    return changed(Manifests=[{"Lifecycle": steps}])


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_recipe_is_read(tmp_path: Path, suffix: str) -> None:
    """YAML and JSON give the same recipe, with the first manifest that fits Linux."""
    path = tmp_path / f"recipe{suffix}"
    path.write_text(json.dumps(FULL) if suffix == ".json" else yaml.safe_dump(FULL))
    recipe = load(path, Rules())
    assert (recipe.name, recipe.version) == ("com.example.Full", "1.2.3-rc.1")
    assert recipe.dependencies == {
        "com.example.Base": Dependency("HARD", ">=1.0.0"),
        "com.example.Other": Dependency("SOFT", "^1.0.0"),
    }
    assert recipe.default_configuration == {"Greeting": "hi"}
    assert [(artifact.file, artifact.unarchive) for artifact in recipe.artifacts] == [("full.zip", True)]
    assert recipe.steps["install"].timeout_s == 1800
    assert recipe.steps["run"].timeout_s is None
    assert recipe.steps["run"].environment == {"SHARED": "1", "BOTH": "run"}


def test_keys_have_no_case() -> None:
    """As classic reads them."""
    recipe = parse(
        {
            "componentname": "a",
            "COMPONENTVERSION": "1.0.0",
            "manifests": [{"lifecycle": {"RUN": {"script": "x"}}}],
        },
        "r",
    )
    assert recipe.steps["run"].script == "x"


def test_install_times_out_after_two_minutes_by_default() -> None:
    """The nucleus's default, for a script written in short form too."""
    recipe = parse(lifecycle({"install": "a", "startup": "b"}), "r")
    assert (recipe.steps["install"].timeout_s, recipe.steps["startup"].timeout_s) == (120, 120)


@pytest.mark.parametrize(
    ("permission", "bits"),
    [
        ({}, 0o400),
        ({"Read": "NONE"}, 0o400),
        ({"Read": "ALL"}, 0o444),
        ({"Execute": "OWNER"}, 0o500),
        ({"Read": "ALL", "Execute": "ALL"}, 0o555),
    ],
)
def test_permission_of_an_artifact(permission: Any, bits: int) -> None:
    """Its owner may always read it."""
    artifact = {"Uri": "s3://a/b", "Digest": "abc=", "Algorithm": "SHA-256", "Permission": permission}
    (read,) = parse(changed(Manifests=[{"Artifacts": [artifact]}]), "r").artifacts
    assert (read.permission, read.digest, read.algorithm) == (bits, "abc=", "SHA-256")


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        (None, True),
        ({"os": "*"}, True),
        ({"os": "all"}, True),
        ({"os": "/linux|darwin/"}, True),
        ({"os": "/windows|darwin/"}, False),
        ({"os": "darwin"}, False),
        ({"os": "linux", "architecture": architecture()}, True),
        ({"os": "linux", "architecture": "riscv"}, False),
        ({"os": "linux", "runtime": "aws_nucleus_lite"}, False),
        ({"runtime": "aws_nucleus"}, True),
    ],
)
def test_platform(platform: Any, fits: bool) -> None:
    """A manifest is chosen by os, architecture and runtime; one without a platform fits all."""
    manifest = {"Lifecycle": {"run": "x"}} | ({"Platform": platform} if platform else {})
    if fits:
        assert parse(changed(Manifests=[manifest]), "r").steps["run"].script == "x"
    else:
        with pytest.raises(RecipeError, match="none for this platform"):
            parse(changed(Manifests=[manifest]), "r")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (changed(ComponentName=None), "ComponentName is None"),
        (changed(ComponentName=".."), "ComponentName is '..'"),
        (changed(ComponentName="a/b"), "ComponentName is 'a/b'"),
        (changed(ComponentVersion=1.0), "ComponentVersion is 1.0"),
        (changed(ComponentVersion="1.0"), "ComponentVersion is '1.0'"),
        (changed(Manifests=[]), "Manifests has no entry"),
        (changed(ComponentDependencies=["x"]), "ComponentDependencies is"),
        (changed(ComponentDependencies={"x": {"DependencyType": "FIRM"}}), "x.DependencyType is 'FIRM'"),
        (changed(ComponentConfiguration={"DefaultConfiguration": "x"}), "DefaultConfiguration is 'x'"),
        (changed(Manifests=[{"Artifacts": [{"Uri": "s3://"}]}]), r"Artifacts\[0\].Uri is 's3://'"),
        (changed(Manifests=[{"Artifacts": [{"Uri": "s3://a", "Unarchive": "TAR"}]}]), "Unarchive is 'TAR'"),
        (lifecycle({"run": {"Timeout": 1}}), "Lifecycle.run.Script is None"),
        (lifecycle({"install": {"Script": "x", "Timeout": "soon"}}), "install.Timeout is 'soon'"),
        (lifecycle({"run": {"Script": "x", "Setenv": "x"}}), "run is 'x', not a mapping"),
        (lifecycle({"run": {"Script": "x", "Skipif": "onpath git"}}), "run.Skipif is not supported"),
        (lifecycle({"bootstrap": "x"}), "Lifecycle.bootstrap is a step"),
        (lifecycle({"run": "x", "startup": "y"}), "both run and startup"),
    ],
)
def test_refused_recipe_names_itself_and_the_field(recipe: dict[str, Any], words: str) -> None:
    """Whoever wrote it must know where to look."""
    with pytest.raises(RecipeError, match=words) as raised:
        parse(recipe, "my-recipe.yaml")
    assert "my-recipe.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "can't be parsed"),
        ("- a list", "not a mapping"),
        ("# " + "x" * 16_000, "16000 is the most"),
        ("!!python/object/apply:os.system ['true']", "can't be parsed"),
    ],
)
def test_unreadable_recipe_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Not YAML, not a mapping, too long, or code in disguise."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words):
        load(path, Rules())


VALUES = {"artifacts:path": "/a", "artifacts:decompressedPath": "/d", "work:path": "/w", "iot:thingName": "t"}
SETTINGS = {
    "Text": "hi",
    "Number": 0.5,
    "Flag": True,
    "Nothing": None,
    "List": [1, {"x": "y"}],
    "a/b": {"~": "odd"},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cd {work:path} && run {artifacts:path}", "cd /w && run /a"),
        ("{configuration:/Text} {configuration:/Number} {configuration:/Flag}", "hi 0.5 true"),
        ("{configuration:/Nothing}", "null"),
        ("{configuration:/List/1/x}", "y"),
        ("{configuration:/List}", '[1,{"x":"y"}]'),
        ("{configuration:/a~1b/~0}", "odd"),
        ("${HOME:-/root} ${x} { echo; } {a,b} {}", "${HOME:-/root} ${x} { echo; } {a,b} {}"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    """Known ones are replaced; a shell's own braces are left alone."""
    assert interpolate(text, VALUES, SETTINGS) == expected


@pytest.mark.parametrize(
    "text", ["{artifacts:pth}", "{work:}x{work:no}", "{configuration:/None}", "{configuration:/List/9}"]
)
def test_variable_without_a_value_is_an_error(text: str) -> None:
    """It names the variable."""
    with pytest.raises(VariableError, match=r"\{"):
        interpolate(text, VALUES, SETTINGS)
