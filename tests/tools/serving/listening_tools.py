"""What a process and all that it started listen on, and which files of a folder others can reach."""

import ipaddress
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

_LISTENING = "0A"


def tree(process: int) -> list[psutil.Process]:
    """A process and its descendants."""
    try:
        found = psutil.Process(process)
        return [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def listening(process: int) -> set[tuple[str, str, int]]:
    """(command, address, port) of TCP sockets that listen, and of UDP sockets, as the kernel lists them."""
    found = set()
    for one in tree(process):
        try:
            name, inodes = " ".join(one.cmdline())[:60], set(_inodes(one.pid))
        except (OSError, psutil.Error):
            continue  # it has ended
        for table in ("tcp", "tcp6", "udp", "udp6"):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                words = line.split()
                if words[9] in inodes and (words[3] == _LISTENING or table.startswith("udp")):
                    address, port = words[1].split(":")
                    found.add((name, _address(address), int(port, 16)))
    return found


def outside(sockets: set[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Those that other machines reach."""
    return sorted(one for one in sockets if not _is_loopback(one[1]))


def reachable(folder: Path) -> list[str]:
    """Files, folders and sockets below `folder`, itself included, that another user can read, write or enter.

    What lies in a folder that they cannot enter is out of their reach, whatever its own mode.
    """
    mode = folder.lstat().st_mode
    if stat.S_ISLNK(mode) or not mode & 0o077:
        return []
    below = sorted(folder.iterdir()) if stat.S_ISDIR(mode) else []
    return [f"{stat.filemode(mode)} {folder}", *(found for path in below for found in reachable(path))]


def private_folder(process: int) -> Path:
    """The folder of the Ray that a process has started, as what it started names it."""
    names = {one.environ().get("RAY_AUTH_TOKEN_PATH") for one in tree(process)[1:] if one.is_running()}
    (name,) = names - {None}
    return Path(name).parent


def _inodes(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _address(word: str) -> str:
    family = socket.AF_INET if len(word) == 8 else socket.AF_INET6
    raw = bytes.fromhex(word)
    whole = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return socket.inet_ntop(family, whole)


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
