"""Recipes: what each nucleus reads, what is chosen for this platform, and what is refused with which words."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml

from edgehost.profile import CLASSIC, LITE, Profile
from edgehost.recipe import Dependency, Recipe, RecipeError, Step, architecture, load, parse
from edgehost.variables import Scope, VariableError, fill, interpolate

ROOT = Path(__file__).parents[2]
FULL: dict[str, Any] = {
    "RecipeFormatVersion": "2020-01-25",
    "ComponentName": "com.example.Full",
    "ComponentVersion": "1.2.3-rc.1",
    "ComponentType": "aws.greengrass.generic",
    "ComponentDependencies": {
        "com.example.Base": {"VersionRequirement": ">=1.0.0", "DependencyType": "HARD"},
        "com.example.Other": {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"},
    },
    "ComponentConfiguration": {"DefaultConfiguration": {"Greeting": "hi"}},
    "Manifests": [
        {"Platform": {"os": "windows", "runtime": "*"}, "Lifecycle": {"run": "no"}},
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
BOTH = pytest.mark.parametrize("profile", [CLASSIC, LITE], ids=["classic", "lite"])


def changed(**changes: Any) -> dict[str, Any]:
    return {**FULL, **changes}


def manifest(**fields: Any) -> dict[str, Any]:
    return {"Platform": {"runtime": "*"}, "Artifacts": [], "Lifecycle": {"run": "x"}} | fields


def lifecycle(steps: Any) -> dict[str, Any]:
    return changed(Manifests=[manifest(Lifecycle=steps)])


def read(recipe: Any, profile: Profile = CLASSIC, name: str = "r.json") -> Recipe:
    """Read a recipe that is text, or is written as JSON or YAML, by the name's suffix."""
    text = recipe if isinstance(recipe, str) else json.dumps(recipe)
    if name.endswith(".yaml") and not isinstance(recipe, str):
        text = yaml.safe_dump(recipe)
    return parse(text.encode(), PurePath(name), profile.rules)


def refusal(recipe: Any, profile: Profile = CLASSIC, name: str = "r.json") -> str:
    with pytest.raises(RecipeError) as raised:
        read(recipe, profile, name)
    return str(raised.value)


@BOTH
@pytest.mark.parametrize("name", ["r.yaml", "r.json"])
def test_recipe_is_read(name: str, profile: Profile) -> None:
    """YAML and JSON give the same recipe, with the first manifest that fits Linux."""
    recipe = read(FULL, profile, name)
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


@BOTH
def test_the_projects_own_recipes_are_read(profile: Profile, tmp_path: Path) -> None:
    """As they are built, by either nucleus."""
    build = [sys.executable, str(ROOT / "tools" / "build.py"), "--output", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True)
    recipes = {
        recipe.name: recipe
        for path in (tmp_path / "recipes").iterdir()
        for recipe in [load(path, profile.rules)]
    }
    assert set(recipes) == {"com.edgeinspector.Inspector", "com.edgeinspector.Model"}
    assert set(recipes["com.edgeinspector.Inspector"].steps) == {"install", "run"}
    for recipe in recipes.values():
        scope = Scope(VALUES, recipe.default_configuration)
        assert "{" not in "".join(fill(step, scope, profile.rules).script for step in recipe.steps.values())


def test_keys_have_no_case_on_classic() -> None:
    """A stranger's spelling will do."""
    recipe = {
        "recipeformatversion": "2020-01-25",
        "componentname": "a",
        "COMPONENTVERSION": "1.0.0",
        "manifests": [{"artifacts": [{"URI": "s3://a/b"}], "lifecycle": {"Run": {"script": "x"}}}],
    }
    assert read(recipe).steps["run"].script == "x"


def test_keys_have_case_on_lite(caplog: pytest.LogCaptureFixture) -> None:
    """A key in another case is as if it weren't there; the host says so."""
    recipe = read(
        changed(
            Manifests=[
                manifest(Artifacts=[{"Uri": "s3://a/b.zip", "unarchive": "ZIP"}], Lifecycle={"run": "x"})
            ]
        ),
        LITE,
    )
    assert not recipe.artifacts[0].unarchive
    assert "unarchive is not read, as keys compare with case: write Unarchive" in caplog.text
    words = refusal(lifecycle({"run": {"script": "x"}}), LITE)
    assert "Lifecycle.run.script is not read, as keys compare with case: write Script" in words


def test_scalars_of_yaml_are_texts_on_lite() -> None:
    """In a local recipe; JSON keeps its types. On classic they are what Jackson makes of them."""
    defaults = "{a: 0.5, b: true, c: null, d: 3, e: '3', f: yes, g: 2020-01-25, h: 0x1f, i: [1, ~], j: }"
    text = yaml.safe_dump({**FULL, "ComponentConfiguration": "DEFAULTS"}).replace(
        "DEFAULTS", f"{{DefaultConfiguration: {defaults}}}"
    )
    assert read(text, LITE, "r.yaml").default_configuration == {
        "a": "0.5",
        "b": "true",
        "c": "null",
        "d": "3",
        "e": "3",
        "f": "yes",
        "g": "2020-01-25",
        "h": "0x1f",
        "i": ["1", "~"],
        "j": "",
    }
    typed = {
        "a": 0.5,
        "b": True,
        "c": None,
        "d": 3,
        "e": "3",
        "f": "yes",
        "g": "2020-01-25",
        "h": "0x1f",
        "i": [1, None],
        "j": None,
    }
    assert read(text, CLASSIC, "r.yaml").default_configuration == typed
    json_recipe = changed(ComponentConfiguration={"DefaultConfiguration": typed})
    assert read(json_recipe, LITE).default_configuration == typed


@BOTH
def test_steps_time_out_by_default(profile: Profile) -> None:
    """The nuclei's defaults, for a script written in short form too."""
    steps = read(lifecycle({"install": "a", "startup": "b", "bootstrap": "c"}), profile).steps
    assert [steps[name].timeout_s for name in ("install", "startup", "bootstrap")] == [120, 120, 120]


def test_shutdown_and_recover_time_out_by_default() -> None:
    """Sooner than the others."""
    steps = read(lifecycle({"run": "a", "shutdown": "b", "recover": "c"})).steps
    assert (steps["run"].timeout_s, steps["shutdown"].timeout_s, steps["recover"].timeout_s) == (None, 15, 60)


def test_steps_that_lite_never_runs_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """shutdown, recover and Skipif; the host says so."""
    caplog.set_level(logging.WARNING)
    steps = lifecycle({"run": {"Script": "x", "Skipif": "onpath sh"}, "shutdown": "y", "recover": "z"})
    recipe = read(steps, LITE)
    assert recipe.steps == {"run": Step("x", None, {})}
    assert "Lifecycle.shutdown is never run by this nucleus" in caplog.text
    assert "Lifecycle.run.Skipif is not heeded by this nucleus" in caplog.text
    assert read(steps).steps["run"].skip_if == "onpath sh"


def test_dependency_without_a_type_is_hard_on_classic() -> None:
    """Lite's unit file names no such dependency at all."""
    recipe = changed(ComponentDependencies={"com.b": {"VersionRequirement": "1.x"}})
    assert read(recipe).dependencies == {"com.b": Dependency("HARD", "1.x")}
    assert read(recipe, LITE).dependencies == {"com.b": Dependency("SOFT", "1.x")}


@BOTH
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
def test_permission_of_an_artifact(permission: Any, bits: int, profile: Profile) -> None:
    """Its owner may always read it."""
    artifact = {"Uri": "s3://a/b", "Digest": "abc=", "Algorithm": "SHA-256", "Permission": permission}
    (artifact_read,) = read(changed(Manifests=[manifest(Artifacts=[artifact])]), profile).artifacts
    assert (artifact_read.permission, artifact_read.digest, artifact_read.algorithm) == (
        bits,
        "abc=",
        "SHA-256",
    )


HERE = architecture()


@pytest.mark.parametrize(
    ("platform", "on_classic", "on_lite"),
    [
        (None, True, False),
        ({"os": "*"}, True, False),
        ({"os": "linux"}, True, False),
        ({"os": "all", "runtime": "*"}, True, True),
        ({"os": "/linux|darwin/", "runtime": "*"}, True, False),
        ({"os": "/windows|darwin/", "runtime": "*"}, False, False),
        ({"os": "darwin", "runtime": "*"}, False, False),
        ({"os": "linux", "runtime": "*", "architecture": HERE}, True, True),
        ({"os": "linux", "runtime": "*", "architecture": "*"}, True, True),
        ({"os": "linux", "runtime": "*", "architecture": "all"}, True, False),
        ({"os": "linux", "runtime": "*", "architecture": "riscv"}, False, False),
        ({"os": "linux", "runtime": "aws_nucleus_lite"}, False, True),
        ({"runtime": "aws_nucleus"}, True, False),
        ({"runtime": "*", "shop": "floor"}, False, True),
        ({"runtime": "*", "shop": "*"}, True, True),
    ],
)
def test_platform(platform: Any, on_classic: bool, on_lite: bool) -> None:
    """A manifest is chosen by os, architecture and runtime; on Lite without patterns, and the runtime is named."""
    only = manifest(Platform=platform)
    if platform is None:
        del only["Platform"]
    for profile, fits in ((CLASSIC, on_classic), (LITE, on_lite)):
        if fits:
            assert read(changed(Manifests=[only]), profile).steps["run"].script == "x"
        else:
            words = refusal(changed(Manifests=[only]), profile)
            assert "none for this platform" in words or "Platform is missing" in words


def test_lite_says_why_no_manifest_fits() -> None:
    """Manifest by manifest."""
    words = refusal(
        changed(
            Manifests=[
                manifest(Platform={"os": "linux"}),
                manifest(Platform={"os": "/linux/", "runtime": "*"}),
                manifest(Lifecycle={}),
            ]
        ),
        LITE,
    )
    assert "runtime aws_nucleus_lite" in words
    assert "Manifests[0] names no runtime, so it is for classic alone: add runtime: '*'" in words
    assert "Manifests[1] is for os /linux/" in words
    assert "Manifests[2] has no lifecycle" in words


@pytest.mark.parametrize(
    ("shared", "selections", "on_classic", "on_lite"),
    [
        ({"all": {"run": "a"}}, None, "a", "a"),
        ({"all": {"run": "a"}, "linux": {"run": "b"}}, ["linux"], "b", "b"),
        ({"all": {"run": "a"}, "line": {"run": "b"}}, ["line", "all"], "b", "a"),
        ({"run": {"all": "a", "line": "b"}}, ["line"], "b", None),
        ({"run": "a"}, None, "a", None),
    ],
)
def test_lifecycle_by_selection(
    shared: Any, selections: list[str] | None, on_classic: str, on_lite: str | None
) -> None:
    """Where the manifest has none, the recipe's Lifecycle is, by selection; on Lite ``all`` or ``linux`` alone."""
    only = manifest(Lifecycle={}, **({"Selections": selections} if selections else {}))
    recipe = changed(Manifests=[only], Lifecycle=shared)
    assert read(recipe).steps["run"].script == on_classic
    if on_lite:
        assert read(recipe, LITE).steps["run"].script == on_lite
    else:
        assert "has no lifecycle" in refusal(recipe, LITE)


def artifacts(*entries: Any) -> dict[str, Any]:
    return changed(Manifests=[manifest(Artifacts=list(entries))])


@BOTH
@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (changed(RecipeFormatVersion="2021"), "RecipeFormatVersion is '2021'"),
        (changed(ComponentType="aws.greengrass.lambda"), "ComponentType is 'aws.greengrass.lambda'"),
        (changed(ComponentName=None), "ComponentName is missing"),
        (changed(ComponentName=".."), "ComponentName is '..'"),
        (changed(ComponentName="a/b"), "ComponentName is 'a/b'"),
        (changed(ComponentName="a" * 129), "ComponentName is 'aaa"),
        (changed(ComponentVersion=1.0), "ComponentVersion is 1.0"),
        (changed(ComponentVersion="1.0"), "ComponentVersion is '1.0'"),
        (changed(ComponentVersion="1.0.1234567"), "ComponentVersion is '1.0.1234567'"),
        (changed(Manifests=[]), "Manifests has no entry"),
        (changed(Manifests="x"), "Manifests is 'x', not a list"),
        (changed(ComponentDependencies=["x"]), "ComponentDependencies is ['x'], not a mapping"),
        (changed(ComponentDependencies={"x": {}}), "ComponentDependencies.x.VersionRequirement is missing"),
        (
            changed(ComponentDependencies={"x": {"VersionRequirement": "1", "DependencyType": "FIRM"}}),
            "x.DependencyType is 'FIRM', not HARD or SOFT",
        ),
        (changed(ComponentConfiguration={"DefaultConfiguration": "x"}), "DefaultConfiguration is 'x'"),
        (artifacts({}), "Manifests[0].Artifacts[0].Uri is missing"),
        (artifacts({"Uri": "s3://"}), "Artifacts[0].Uri is 's3://', which names no file"),
        (artifacts({"Uri": "docker:hello"}), "this host runs no Docker images"),
        (artifacts({"Uri": "s3://a/b", "Unarchive": "TAR"}), "Unarchive is 'TAR', not NONE or ZIP"),
        (artifacts({"Uri": "s3://a/b", "Digest": 1}), "Digest is 1, not text"),
        (artifacts({"Uri": "s3://a/b", "Permission": {"Read": "SOME"}}), "Permission.Read is 'SOME'"),
        (lifecycle({"run": {"Timeout": 1}}), "Manifests[0].Lifecycle.run.Script is missing"),
        (lifecycle({"run": {"Script": 1}}), "Lifecycle.run.Script is 1, not text"),
        (lifecycle({"run": ["x"]}), "Lifecycle.run is ['x'], neither a script nor a mapping with Script"),
        (lifecycle({"install": {"Script": "x", "Timeout": "soon"}}), "install.Timeout is 'soon', not a"),
        (lifecycle({"install": {"Script": "x", "Timeout": True}}), "install.Timeout is True, not a"),
        (lifecycle({"install": {"Script": "x", "Timeout": -1}}), "install.Timeout is -1, not a"),
        (lifecycle({"run": {"Script": "x", "Setenv": "x"}}), "run.Setenv is 'x', not a mapping"),
        (lifecycle({"run": {"Script": "x", "Setenv": {"A": ["x"]}}}), "Setenv.A is ['x'], not text"),
        (lifecycle({"run": "x", "startup": "y"}), "Lifecycle.run is there beside startup"),
    ],
)
def test_refused_recipe_names_itself_and_the_field(
    recipe: dict[str, Any], words: str, profile: Profile
) -> None:
    """Whoever wrote it must know where to look."""
    refused = refusal(recipe, profile, "my-recipe.json")
    assert refused.startswith("recipe my-recipe.json, line 1: ")
    assert words in refused


@pytest.mark.parametrize(
    ("profile", "recipe", "words"),
    [
        (CLASSIC, changed(RecipeFormatVersion=None), "RecipeFormatVersion is missing"),
        (CLASSIC, lifecycle({"run": {"Script": "x", "Skipif": "git"}}), "run.Skipif is 'git'; write 'onpath"),
        (CLASSIC, changed(Manifests=[manifest(Platform={"os": "/(/"})]), "which is no regular expression"),
        (LITE, changed(Manifests=[{"Lifecycle": {"run": "x"}}]), "Manifests[0].Platform is missing"),
        (
            LITE,
            changed(Manifests=[{"Platform": {"runtime": "*"}, "Lifecycle": {"run": "x"}}]),
            "Manifests[0].Artifacts is missing; Greengrass Lite needs it, if only as []",
        ),
        (LITE, artifacts({"Uri": "s3://a/b", "Unarchive": "zip"}), "Unarchive is 'zip', not NONE or ZIP"),
        (LITE, lifecycle({"run": {"Script": "x", "Timeout": 0.5}}), "Timeout is 0.5, not a whole number"),
        (LITE, lifecycle({"Setenv": {"A": 1}, "run": "x"}), "Lifecycle.Setenv.A is 1, not text"),
        (LITE, lifecycle({"Setenv": {"A-B": "1"}, "run": "x"}), "A-B is no name that a shell can export"),
        (LITE, lifecycle({"run": {"Script": "x", "RequiresPrivilege": 1.5}}), "RequiresPrivilege is 1.5"),
    ],
)
def test_recipe_that_one_nucleus_refuses(profile: Profile, recipe: dict[str, Any], words: str) -> None:
    """The other takes it, the first for a reason of its own."""
    assert words in refusal(recipe, profile)
    if "regular" not in words:
        read(recipe, LITE if profile is CLASSIC else CLASSIC)


@BOTH
def test_error_tells_the_line(profile: Profile) -> None:
    """Of the field, or of what should have it; in YAML and in JSON with tabs."""
    text = """\
RecipeFormatVersion: '2020-01-25'
ComponentName: com.a
ComponentVersion: 1.0.0
Manifests:
  - Platform: {runtime: '*'}
    Artifacts: []
    Lifecycle:
      run:
        Script: |
          one
          two
        Timeout: x
"""
    words = "not a whole number of seconds" if profile is LITE else "not a number of seconds"
    expected = f"recipe r.yaml, line 12: Manifests[0].Lifecycle.run.Timeout is 'x', {words}"
    assert refusal(text, profile, "r.yaml") == expected
    without = text.replace("Script: |", "Skript: |").replace("Timeout: x", "Timeout: 3")
    missing = "recipe r.yaml, line 8: Manifests[0].Lifecycle.run.Script is missing"
    assert refusal(without, profile, "r.yaml") == missing
    indented = json.dumps(FULL | {"ComponentVersion": "x"}, indent="\t")
    line = indented.splitlines().index('\t"ComponentVersion": "x",') + 1
    assert refusal(indented, profile).startswith(f"recipe r.json, line {line}: ComponentVersion is 'x'")


@BOTH
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.yaml", b"a: [", ", line 1: can't be parsed"),
        ("r.json", b'{"a":\n,}', ", line 2: can't be parsed"),
        ("r.json", b'{"a": NaN}', "NaN is not JSON"),
        ("r.yaml", b"", "is empty"),
        ("r.yaml", b"- a list", "not a mapping"),
        ("r.json", b"[]", "not a mapping"),
        ("r.yaml", b"a: 1\n? [b]\n: 2", ", line 2: it has a key that is not text"),
        ("r.yaml", b"a: 1\n---\nb: 2", ", line 2: can't be parsed"),
        ("r.yaml", b"a: 1\nb: {c: 1, \xff: 2}", ", line 2: is not UTF-8"),
        ("r.yaml", b"# " + b"x" * 16_000, "is the most that Greengrass takes"),
        ("r.yaml", b"a:\n  b: 1\n  c: 2\n  b: 3", ", line 4: a.b is there already, in line 2"),
        ("r.json", b'{"a": 1,\n"a": 2}', ", line 2: a is there already, in line 1"),
        ("r.yaml", b"a: &x 1\nb: *x", ", line 2: can't be parsed: *x is an alias"),
        (
            "r.yaml",
            b"a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
            ", line 2: can't be parsed: *a is an alias",
        ),
        ("r.yaml", b"[" * 7_000, "nested too deeply"),
        ("r.json", b"[" * 7_000, "nested too deeply"),
        ("r.yaml", b"a: !!python/object/apply:os.system ['true']", "can't be parsed: the tag"),
        ("r.yaml", b"a: 1\nb: \x00", ", line 2: can't be parsed: it has the character U+0000"),
    ],
)
def test_unreadable_recipe_is_refused(name: str, text: bytes, words: str, profile: Profile) -> None:
    """Not YAML or JSON, not a mapping, too long, ambiguous, a bomb, or code in disguise."""
    with pytest.raises(RecipeError) as raised:
        parse(text, PurePath(name), profile.rules)
    assert words in str(raised.value)


@pytest.mark.parametrize(("profile", "most"), [(CLASSIC, 16_000), (LITE, 8_196)])
def test_recipe_may_have_so_many_bytes(profile: Profile, most: int) -> None:
    """One more is refused."""
    text = json.dumps(FULL).ljust(most)
    assert read(text, profile).name == "com.example.Full"
    assert f"it has {most + 1} bytes; {most} is the most" in refusal(text + " ", profile)


VALUES = {
    "artifacts:path": "/a",
    "artifacts:decompressedPath": "/d",
    "kernel:rootPath": "/",
    "work:path": "/w",
    "iot:thingName": "t",
}
SETTINGS = {
    "Text": "hi",
    "Number": 0.5,
    "Flag": True,
    "Nothing": None,
    "List": [1, {"x": "y"}],
    "a/b": {"~": "odd"},
    "Quoted": 'a "b" $c `d` \\e',
}
SCOPE = Scope(VALUES, SETTINGS, {"com.b": Scope({"work:path": "/w/b"}, {"Port": 80})})


@BOTH
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cd {work:path} && run {artifacts:path}", "cd /w && run /a"),
        ("{configuration:/Text} {configuration:/Number} {configuration:/Flag}", "hi 0.5 true"),
        ("{configuration:/Nothing}", "null"),
        ("{configuration:/List/1/x}", "y"),
        ("{configuration:/List}", '[1,{"x":"y"}]'),
        ("{configuration:/a~1b/~0}", "odd"),
        ("{iot:thingName}$HOME", "t$HOME"),
    ],
)
def test_variables(text: str, expected: str, profile: Profile) -> None:
    """Known ones are replaced."""
    assert interpolate(text, SCOPE, profile.rules) == expected


@pytest.mark.parametrize(
    ("text", "on_classic"),
    [
        ("${HOME:-/root} ${x} { echo; } {a,b} {}", "${HOME:-/root} ${x} { echo; } {a,b} {}"),
        ("${x:1:2} awk '{print $1}'", "${x:1:2} awk '{print $1}'"),
        ("{ never closed", "{ never closed"),
        ("{com.b:configuration:/Port} {com.b:work:path}", "80 /w/b"),
    ],
)
def test_other_braces_are_the_shells_on_classic(text: str, on_classic: str) -> None:
    """Or a dependency's; Lite takes every brace for a variable of the component's own, and fails."""
    assert interpolate(text, SCOPE, CLASSIC.rules) == on_classic
    with pytest.raises(VariableError, match="Greengrass Lite"):
        interpolate(text, SCOPE, LITE.rules)


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "{artifacts:pth}",
        "{work:path}x{work:no}",
        "{configuration:/None}",
        "{configuration:/List/9}",
        "{com.c:configuration:/x}",
        "{com.b:configuration:/x}",
    ],
)
def test_variable_without_a_value_is_an_error(text: str, profile: Profile) -> None:
    """It names the variable."""
    with pytest.raises(VariableError, match=r"\{"):
        interpolate(text, SCOPE, profile.rules)


def test_step_is_filled_in() -> None:
    """Script, Setenv and Skipif; on Lite configuration in a script is text within double quotes."""
    text = 'printf %s "{configuration:/Quoted}"'
    step = Step(text, None, {"A": "{configuration:/Quoted}"}, "exists {work:path}")
    on_classic = fill(step, SCOPE, CLASSIC.rules)
    assert (on_classic.script, on_classic.skip_if) == ('printf %s "a "b" $c `d` \\e"', "exists /w")
    assert on_classic.environment == {"A": SETTINGS["Quoted"]}
    on_lite = fill(step, SCOPE, LITE.rules)
    assert on_lite.environment == {"A": SETTINGS["Quoted"]}
    said = subprocess.run(["sh", "-c", on_lite.script], capture_output=True, text=True, check=True).stdout
    assert said == SETTINGS["Quoted"]
