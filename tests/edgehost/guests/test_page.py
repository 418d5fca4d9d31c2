"""docs/run-your-own-component.md, from top to bottom, as a reader follows it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.session

from mosquitto_broker import until

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "run-your-own-component.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BACKGROUND = {"edgehost run ": "Ctrl-C stops it", "edgehost subscribe ": "subscribed to"}
"""Commands that don't end, and what they say once they are at work."""
REPEATABLE = ("edgehost logs ", "edgehost status ")


def blocks(*languages: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block, in order."""
    return [(language, text) for language, text in BLOCK.findall(PAGE.read_text()) if language in languages]


def commands(text: str) -> list[str]:
    """The commands of a shell block; a line that ends with a backslash goes on."""
    return text.replace("\\\n", " ").strip().splitlines()


def squeezed(text: str) -> str:
    """Text whose columns may be as wide as they like."""
    return re.sub(" +", " ", text)


class Reader:
    """Somebody with a directory of their own, and a terminal for every command that doesn't end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._terminals: list[tuple[subprocess.Popen[str], Path]] = []
        self._command = ""
        self._output = ""
        programs = directory / "bin"
        programs.mkdir()
        (programs / "edgehost").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgehost "$@"\n')
        (programs / "edgehost").chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}

    def writes(self, text: str) -> None:
        """A file, its path in the first line."""
        first, _, _ = text.partition("\n")
        path = self._directory / first.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def types(self, command: str) -> None:
        """A command, with directories of this test's own in place of those in /tmp."""
        command = command.replace("/tmp/", f"{self._directory}/")
        ready = next((text for start, text in BACKGROUND.items() if command.startswith(start)), None)
        if ready:
            self._begin(command, ready)
        else:
            self._command = command
            self._output = self._run(command)

    def sees(self, text: str) -> None:
        """Each line, or a longer one, in the last command's output or in one of the other terminals."""
        for line in map(squeezed, text.splitlines()):
            until(
                lambda line=line: line in self._everything(), f"{line!r} is to be seen after {self._command}"
            )

    def closes(self) -> None:
        for process, _ in reversed(self._terminals):
            process.terminate()
            process.wait(30)

    def _begin(self, command: str, ready: str) -> None:
        output = self._directory / f"terminal-{len(self._terminals)}"
        with output.open("w") as file:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                cwd=self._directory,
                env=self._environment | {"PYTHONUNBUFFERED": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._terminals.append((process, output))
        until(lambda: ready in output.read_text(), f"{command} says {ready!r}")

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self._directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def _everything(self) -> str:
        if self._command.startswith(REPEATABLE):
            self._output = self._run(self._command)
        return squeezed(self._output + "".join(output.read_text() for _, output in self._terminals))


@contextmanager
def reading(directory: Path) -> Iterator[Reader]:
    reader = Reader(directory)
    try:
        yield reader
    finally:
        reader.closes()


def test_the_page_holds_what_it_promises(tmp_path: Path) -> None:
    """Its files, its commands and what they print."""
    with reading(tmp_path) as reader:
        for language, text in blocks("python", "yaml", "sh", "text"):
            if language == "sh":
                for command in commands(text):
                    reader.types(command)
            elif language == "text":
                reader.sees(text)
            else:
                reader.writes(text)


def test_aws_knows_the_commands_of_the_page() -> None:
    """The operations of greengrassv2 and their options are those of AWS's model of the service."""
    service = botocore.session.get_session().get_service_model("greengrassv2")
    typed = [shlex.split(command) for _, text in blocks("console") for command in commands(text)]
    operations = [words[2:] for words in typed if words[:2] == ["aws", "greengrassv2"]]
    assert len(operations) == 2
    for name, *words in operations:
        shape = service.operation_model(camel(name)).input_shape
        options = {camel(word.removeprefix("--")).casefold() for word in words if word.startswith("--")}
        assert options <= {member.casefold() for member in shape.members}
        assert {member.casefold() for member in shape.required_members} <= options


def camel(words: str) -> str:
    return "".join(word.capitalize() for word in words.split("-"))
