"""Recipes as people write them after AWS's documentation and samples, on classic.

Each is deployed and says what its author meant it to say, or it is refused with a reason.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edgehost.deployment import DeploymentError
from edgehost.profile import LITE
from edgehost.recipe import RecipeError, load
from edgehost.state import State
from edgehost.thread import ThreadedHost, run_in_thread
from mosquitto_broker import until

RECIPES = Path(__file__).parent / "recipes"
HELLO_SH = '#!/bin/sh\necho "hello $*"\n'
HELLO_PY = 'import sys\n\nprint("hello", *sys.argv[1:])\n'

SAYS = {
    "artifacts.yaml": "hello directly",
    "base.yaml": "hello, base",
    "bootstrap.yaml": "hello prepared",
    "configuration.json": 'hello localhost 8883 true /b 0.85 null slash ["/a","/b"]',
    "daemon.yaml": "hello from behind",
    "flow-editor.yaml": "hello since 2024-02-29 at 06:30, false",
    "dependent.yaml": "hello at port 5432, ROOT/work/com.example.Base",
    "global-lifecycle.yaml": "hello from everywhere",
    "hello-world.json": "hello to a whole world",
    "install-only.json": "hello once",
    "privilege.yaml": "hello whoever runs it",
    "recover.yaml": "hello again",
    "selections-below.yaml": "hello from a penguin",
    "selections-on-top.yaml": "hello from posix",
    "setenv.yaml": "hello everywhere below eu-north-1 8080 false",
    "shell.yaml": "hello 3",
    "skipif.yaml": "hello after all",
    "token-exchange.yaml": "hello without credentials",
}
SILENT = ("artifacts-only.yaml",)
REFUSED = {
    "refused-docker.yaml": r"Artifacts\[0\]\.URI is 'docker:",
    "refused-lambda.yaml": "ComponentType is 'aws.greengrass.lambda'",
    "refused-nucleus-too-old.yaml": r"requires aws\.greengrass\.Nucleus >=3\.0\.0; this nucleus has 2\.",
    "refused-public-component.yaml": r"depends on aws\.greengrass\.StreamManager.*leave the dependency out",
    "refused-unbuilt.yaml": "COMPONENT_NAME",
    "refused-windows-only.yaml": "none for this platform",
}


class Shelf:
    """A device, and everybody's packages beside it."""

    def __init__(self, threaded: ThreadedHost, packages: Path) -> None:
        self.host = threaded.host
        self._call = threaded.call
        self._recipes = packages / "recipes"
        self._artifacts = packages / "artifacts"
        self._recipes.mkdir()

    def deploy(self, file: str) -> str:
        """Deploy a recipe, with artifacts that say hello, and what it depends on; return the component's name."""
        text = (RECIPES / file).read_text().replace("DIGEST-OF-hello.sh", digest(HELLO_SH))
        recipe = yaml.safe_load(text)
        name, version = recipe["ComponentName"], recipe["ComponentVersion"]
        for each in self._recipes.iterdir():
            each.unlink()
        shutil.copy(RECIPES / "base.yaml", self._recipes)
        (self._recipes / file).write_text(text)
        for uri in re.findall(r"\w+:\S+/[\w.]+\.(?:sh|py|zip)", text):
            self._write(self._artifacts / name / version / uri.rsplit("/", 1)[1])
        self._call(self.host.deploy(self._recipes, self._artifacts, {name: version}), 30)
        return str(name)

    def log(self, name: str) -> str:
        return self.host.components[name].log.path.read_text()

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("hello.sh", HELLO_SH)
        else:
            path.write_text(HELLO_PY if path.suffix == ".py" else HELLO_SH)


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    directory = tmp_path_factory.mktemp("shelf")
    with run_in_thread(directory / "root", steady_s=0.3) as threaded:
        yield Shelf(threaded, directory)


def test_every_recipe_is_tried() -> None:
    """No file lies there unread."""
    assert {path.name for path in RECIPES.iterdir()} == {*SAYS, *SILENT, *REFUSED}


@pytest.mark.parametrize("file", SAYS)
def test_recipe_runs(shelf: Shelf, file: str) -> None:
    """Its scripts run as their author meant them to."""
    name = shelf.deploy(file)
    expected = SAYS[file].replace("ROOT", str(shelf.host.root))
    until(lambda: f"stdout. {expected}. {{" in shelf.log(name), f"{file} says {expected!r}", 10)


@pytest.mark.parametrize("file", SILENT)
def test_recipe_without_scripts_is_finished(shelf: Shelf, file: str) -> None:
    """It is there for others."""
    name = shelf.deploy(file)
    assert shelf.host.components[name].state == State.FINISHED


def test_missing_credentials_are_told(shelf: Shelf) -> None:
    """Whoever depends on the token exchange service learns here why its AWS client finds none."""
    name = shelf.deploy("token-exchange.yaml")
    assert "[WARN]" in next(line for line in shelf.log(name).splitlines() if "no AWS credentials" in line)


@pytest.mark.parametrize("file", [*SAYS, *SILENT])
def test_lite_says_what_it_needs(file: str) -> None:
    """None of them was written with Lite in mind; whoever takes one there learns what is missing."""
    with pytest.raises(RecipeError, match=r"add runtime: '\*'|Greengrass Lite needs it"):
        load(RECIPES / file, LITE.rules)


@pytest.mark.parametrize("file", REFUSED)
def test_recipe_is_refused(shelf: Shelf, file: str) -> None:
    """What this host can't do is said before anything is deployed."""
    with pytest.raises(DeploymentError, match=REFUSED[file]):
        shelf.deploy(file)
