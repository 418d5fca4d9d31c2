"""What strace saw of a program -> what was asked of the disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from powercut.disk import Name, Operation, Recording, Said, Stamp, Sync, Truncate, Write

_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_ARGUMENT = re.compile(r'"[^"]*"|\[[^]]*\](?: => \[[^]]*\])?|[^,\s][^,]*')
_PINNED = re.compile(r"/proc/self/fd/(\d+)(/|$)")
_TIME = re.compile(r"\{tv_sec=(\d+), tv_nsec=(\d+)\}")
_CALLS = re.findall(
    r"\w+",
    """open openat openat2 creat close dup dup2 dup3 fcntl lseek mmap write pwrite64 writev pwritev pwritev2 sendfile
    splice copy_file_range ftruncate truncate fallocate utimensat fsync fdatasync sync syncfs sync_file_range rename
    renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir mknod mknodat
    io_uring_setup""",
)
_NO_STRACE = "strace is missing, which records what the inspector asks of the disk: apt install strace"
_NO_PTRACE = (
    "strace could not trace the program; the kernel or the container must allow ptrace (CAP_SYS_PTRACE)"
)


class NotModelledError(Exception):
    """The program asked something of the disk of which the model doesn't know what it means for a power cut."""


def trace(command: Sequence[str], output: Path) -> None:
    """Run a program to its end, and have strace write down what its main thread asks of the disk."""
    assert shutil.which("strace"), _NO_STRACE
    calls = ",".join(f"?{call}" for call in _CALLS)  # some processors have not all of them
    strace = ["strace", "-xx", "-s", "10000000", "-o", str(output), "-e", f"trace={calls}"]
    done = subprocess.run([*strace, *command], capture_output=True, text=True, check=False)
    assert "ptrace" not in done.stderr.lower(), f"{_NO_PTRACE}: {done.stderr}"
    assert done.returncode == 0, done.stderr


@dataclass
class _Open:
    """An open file or directory below one of the roots."""

    inode: int
    is_appending: bool
    position: int = 0


class Reader:
    """Reads traces, one for each run of the program, and adds to a recording what happens below its roots.

    What is written to the file ``said``, which lies elsewhere, is what the world hears.
    """

    def __init__(self, roots: Sequence[Path], said: Path) -> None:
        self.recording = Recording()
        self._said = str(said)
        self._cwd = str(Path.cwd())
        self._names: dict[tuple[int, str], int] = {}
        self._shared: set[int] = set()
        self._inodes = 0
        for root in roots:
            self.recording.roots[root] = self._new_inode(is_directory=True)
            self._find(root)

    def read(self, output: Path) -> None:
        """Add the operations of one trace."""
        self._open: dict[int, _Open] = {}
        self._saying: set[int] = set()
        self._paths: dict[int, str] = {}
        for call, arguments, result in _calls(output):
            if result >= 0:
                getattr(self, f"_do_{call}", self._refuse)(arguments, result)
        operations = self.recording.operations
        operations[:] = [each for each in operations if getattr(each, "inode", None) not in self._shared]

    def _find(self, directory: Path) -> None:
        """Directories that are there before the first trace; files there must not be."""
        for path in sorted(directory.rglob("*")):
            assert path.is_dir(), f"{path} was there before"
            inode = self._new_inode(is_directory=True)
            self._name(inode, (self._entry(str(path)), inode))
        for inode in self.recording.directories:
            self._add(Sync(inode))

    def _new_inode(self, *, is_directory: bool) -> int:
        self._inodes += 1
        if is_directory:
            self.recording.directories.add(self._inodes)
        return self._inodes

    def _add(self, operation: Operation) -> None:
        self.recording.operations.append(operation)

    def _name(self, inode: int, *entries: tuple[tuple[int, str], int | None]) -> None:
        for entry, named in entries:
            if named is None:
                del self._names[entry]
            else:
                self._names[entry] = named
                self.recording.names[named] = entry[1]
        self._add(Name(tuple((*entry, named) for entry, named in entries), inode))

    def _entry(self, path: str) -> tuple[int, str]:
        """The directory of a path below a root, and the name in it."""
        for root, inode in self.recording.roots.items():
            if path.startswith(f"{root}/"):
                *parents, name = path[len(str(root)) + 1 :].split("/")
                for parent in parents:
                    inode = self._names[inode, parent]
                return inode, name
        raise LookupError(path)

    def _inode(self, path: str) -> int | None:
        if Path(path) in self.recording.roots:
            return self.recording.roots[Path(path)]
        return self._names.get(self._entry(path)) if self._is_ours(path) else None

    def _is_ours(self, path: str) -> bool:
        return any(path.startswith(f"{root}/") for root in self.recording.roots)

    def _path(self, directory: str, path: str) -> str:
        """A path as seen from the root: one may begin at an open directory, named by its descriptor."""
        text = os.fsdecode(_bytes(path))
        if found := _PINNED.match(text):
            directory, text = found[1], text[found.end() :]
        begin = self._cwd if directory == "AT_FDCWD" else self._paths[int(directory)]
        return os.path.normpath(os.path.join(begin, text))

    def _refuse(self, arguments: list[str], result: int) -> None:
        """A call that is not modelled, which doesn't matter unless it is about a file of ours."""
        if any(each.isdigit() and int(each) in self._open for each in arguments[:3]):
            raise NotModelledError(arguments)

    def _do_openat(self, arguments: list[str], result: int) -> None:
        path, flags = self._path(*arguments[:2]), arguments[2].split("|")
        self._paths[result] = path
        if path == self._said:
            self._saying.add(result)
        if not (self._is_ours(path) or Path(path) in self.recording.roots):
            return
        inode = self._inode(path)
        if inode is None:
            inode = self._new_inode(is_directory=False)
            self._name(inode, (self._entry(path), inode))
        elif "O_TRUNC" in flags:
            self._add(Truncate(inode, 0))
        self._open[result] = _Open(inode, "O_APPEND" in flags)

    def _do_open(self, arguments: list[str], result: int) -> None:
        self._do_openat(["AT_FDCWD", *arguments], result)

    def _do_close(self, arguments: list[str], result: int) -> None:
        self._open.pop(int(arguments[0]), None)
        self._saying.discard(int(arguments[0]))

    def _do_fcntl(self, arguments: list[str], result: int) -> None:
        if arguments[1].startswith("F_DUPFD"):
            self._do_dup(arguments, result)

    def _do_dup(self, arguments: list[str], result: int) -> None:
        if int(arguments[0]) in self._open:
            self._open[result] = self._open[int(arguments[0])]

    def _do_lseek(self, arguments: list[str], result: int) -> None:
        if file := self._open.get(int(arguments[0])):
            file.position = result

    def _do_write(self, arguments: list[str], result: int) -> None:
        descriptor, data = int(arguments[0]), _bytes(arguments[1])[:result]
        if descriptor in self._saying:
            self._add(Said(data))
        elif file := self._open.get(descriptor):
            self._append(file, data)

    def _append(self, file: _Open, data: bytes) -> None:
        if file.is_appending:
            file.position = len(self._content(file.inode))
        self._add(Write(file.inode, file.position, data))
        file.position += len(data)

    def _do_pwrite64(self, arguments: list[str], result: int) -> None:
        if file := self._open.get(int(arguments[0])):
            self._add(Write(file.inode, int(arguments[3]), _bytes(arguments[1])[:result]))

    def _do_sendfile(self, arguments: list[str], result: int) -> None:
        target, source = (self._open.get(int(each)) for each in arguments[:2])
        if target:
            if not source or not arguments[2].startswith("["):
                raise NotModelledError(arguments)
            offset = int(arguments[2][1:].split("]")[0])
            self._append(target, self._content(source.inode)[offset : offset + result])

    def _content(self, inode: int) -> bytes:
        content = bytearray()
        for operation in self.recording.operations:
            if isinstance(operation, Truncate) and operation.inode == inode:
                del content[operation.size_bytes :]
            elif isinstance(operation, Write) and operation.inode == inode:
                content[operation.offset : operation.offset + len(operation.data)] = operation.data
        return bytes(content)

    def _do_ftruncate(self, arguments: list[str], result: int) -> None:
        if file := self._open.get(int(arguments[0])):
            self._add(Truncate(file.inode, int(arguments[1])))

    def _do_truncate(self, arguments: list[str], result: int) -> None:
        if inode := self._inode(self._path("AT_FDCWD", arguments[0])):
            self._add(Truncate(inode, int(arguments[1])))

    def _do_mmap(self, arguments: list[str], result: int) -> None:
        """Memory shared with a file would be written past the model. That of the ledger need not survive."""
        file = self._open.get(int(arguments[4]))
        if file and "MAP_SHARED" in arguments[3] and "PROT_WRITE" in arguments[2]:
            names = [name for (_, name), inode in self._names.items() if inode == file.inode]
            if not all(name.endswith("-shm") for name in names):
                raise NotModelledError(f"mmap of {names}")
            self._shared.add(file.inode)

    def _do_utimensat(self, arguments: list[str], result: int) -> None:
        if arguments[1] == "NULL":
            file = self._open.get(int(arguments[0]))
            inode = file and file.inode
        else:
            inode = self._inode(self._path(*arguments[:2]))
        if inode:
            _, (seconds, nanoseconds) = _TIME.findall(arguments[2])
            self._add(Stamp(inode, int(seconds) * 10**9 + int(nanoseconds)))

    def _do_fsync(self, arguments: list[str], result: int) -> None:
        if file := self._open.get(int(arguments[0])):
            self._add(Sync(file.inode))

    def _do_fdatasync(self, arguments: list[str], result: int) -> None:
        self._do_fsync(arguments, result)

    def _do_sync_file_range(self, arguments: list[str], result: int) -> None:
        """Promises nothing for a power cut."""

    def _do_renameat(self, arguments: list[str], result: int) -> None:
        source, target = self._path(*arguments[:2]), self._path(*arguments[2:4])
        if self._is_ours(source) != self._is_ours(target) or (len(arguments) > 4 and arguments[4] != "0"):
            raise NotModelledError(arguments)
        if self._is_ours(source):
            inode = self._names[self._entry(source)]
            self._name(inode, (self._entry(source), None), (self._entry(target), inode))

    def _do_renameat2(self, arguments: list[str], result: int) -> None:
        self._do_renameat(arguments, result)

    def _do_rename(self, arguments: list[str], result: int) -> None:
        self._do_renameat(["AT_FDCWD", arguments[0], "AT_FDCWD", arguments[1]], result)

    def _do_linkat(self, arguments: list[str], result: int) -> None:
        target = self._path(*arguments[2:4])
        if self._is_ours(target):
            inode = self._inode(self._path(*arguments[:2]))
            assert inode
            self._name(inode, (self._entry(target), inode))

    def _do_link(self, arguments: list[str], result: int) -> None:
        self._do_linkat(["AT_FDCWD", arguments[0], "AT_FDCWD", arguments[1]], result)

    def _do_symlinkat(self, arguments: list[str], result: int) -> None:
        if self._is_ours(self._path(*arguments[1:3])):
            raise NotModelledError(arguments)

    def _do_symlink(self, arguments: list[str], result: int) -> None:
        self._do_symlinkat([arguments[0], "AT_FDCWD", arguments[1]], result)

    def _do_unlinkat(self, arguments: list[str], result: int) -> None:
        path = self._path(*arguments[:2])
        if self._is_ours(path):
            entry = self._entry(path)
            self._name(self._names[entry], (entry, None))

    def _do_unlink(self, arguments: list[str], result: int) -> None:
        self._do_unlinkat(["AT_FDCWD", *arguments], result)

    def _do_rmdir(self, arguments: list[str], result: int) -> None:
        self._do_unlink(arguments, result)

    def _do_mkdirat(self, arguments: list[str], result: int) -> None:
        path = self._path(*arguments[:2])
        if self._is_ours(path):
            inode = self._new_inode(is_directory=True)
            self._name(inode, (self._entry(path), inode))

    def _do_mkdir(self, arguments: list[str], result: int) -> None:
        self._do_mkdirat(["AT_FDCWD", *arguments], result)


def _calls(output: Path) -> Iterator[tuple[str, list[str], int]]:
    """Each call that returned, with its arguments as strace writes them."""
    for line in output.read_text().splitlines():
        if found := _CALL.match(line):
            yield found[1], _ARGUMENT.findall(found[2]), int(found[3])


def _bytes(argument: str) -> bytes:
    return bytes.fromhex(argument.strip('"').replace("\\x", ""))
