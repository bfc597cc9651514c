"""The imports of our packages as they stand in the source: which file names what of which other file."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("retrieval", "pipelines", "jobs")


@dataclass(frozen=True)
class Import:
    """`importer` takes `name` of the file `module`, by its room's door or straight from it."""

    importer: str
    module: str
    name: str
    through_door: bool
    when_imported: bool  # at the top of the file; else inside a function, or for types alone

    def __str__(self) -> str:
        return f"{self.importer} -> {self.module}.{self.name}"


@cache
def modules() -> dict[str, Path]:
    """Every file by its dotted name; a door is its room's name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_room(name: str) -> bool:
    """Whether a name is that of a folder."""
    return name in modules() and modules()[name].name == "__init__.py"


def room_of(module: str) -> str:
    """The room that a file stands in; of a room, itself."""
    return module if is_room(module) else module.rpartition(".")[0]


@cache
def door(room: str) -> dict[str, str]:
    """What a room's door offers: the file of each name, or the file itself for a name that is a file."""
    stub = modules()[room].with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else modules()[room]).read_text("utf-8"))
    offered = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            start = room + ("." if node.module else "") if node.level else ""
            for alias in node.names:
                module = f"{start}{node.module or ''}"
                whole = f"{module}.{alias.name}"
                offered[alias.asname or alias.name] = whole if whole in modules() else module
    return offered


@cache
def imports() -> list[Import]:
    """All of them but those of doors."""
    found = []
    for module, path in modules().items():
        if path.name != "__init__.py":
            tree = ast.parse(path.read_text("utf-8"))
            top = {id(node) for node in tree.body}
            for node in ast.walk(tree):
                for target, name in _named(node):
                    found += _resolved(module, target, name, id(node) in top)
    return found


def _named(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(dotted name, name taken from it) of one statement, ours alone."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
        yield from ((node.module, alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((a.name, "") for a in node.names if a.name.split(".")[0] in PACKAGES)


def _resolved(importer: str, target: str, name: str, top: bool) -> Iterator[Import]:
    if f"{target}.{name}" in modules() and not is_room(f"{target}.{name}"):
        offered = name in door(target)
        yield Import(importer, f"{target}.{name}", name, offered, top)
    elif is_room(target):
        if name not in door(target):
            raise AssertionError(f"{importer}: the door of {target} does not offer {name}")
        yield Import(importer, door(target)[name], name, True, top)
    else:
        yield Import(importer, target, name, False, top)


def names_taken_by(*folders: str) -> set[str]:
    """Names that scripts below these folders import from our packages."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        name for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for _, name in _named(node)
    }  # fmt: skip


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of names that reach each other (Tarjan's strongly connected components), larger than one."""
    following: dict[str, set[str]] = {}
    for start, end in edges:
        following.setdefault(start, set()).add(end)
        following.setdefault(end, set())
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in following[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(following):
        if name not in order:
            visit(name)
    return found
