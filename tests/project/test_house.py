"""The tree is the map: imports go down, in no circle, and into a room by its door alone."""

import ast
import re
from pathlib import Path

import pytest

from tests.project.imports import (
    ROOT,
    Import,
    circles,
    door,
    imports,
    is_room,
    modules,
    names_taken_by,
    room_of,
)  # fmt: skip

# From the ground up; a room imports nothing of those that stand after it.
FLOORS = {
    "": ["retrieval", "pipelines", "jobs"],
    "retrieval": [
        "errors", "deadline", "plugins", "fusions", "rerankers", "settings", "text", "storage", "format",
        "results", "models", "filters", "lexical", "dense", "token_codes", "search", "generation", "serve",
        "client",
    ],
    "retrieval.serve": [
        "settings", "logs", "errors", "metrics", "configuration", "runtime", "http", "listener",
        "distributed",
    ],
    "pipelines": [
        "chunking", "extraction", "config", "judged", "sources", "runtime", "planning", "parts", "upkeep",
        "stages", "index", "training",
    ],
    "jobs": [
        "own_folder", "harmless", "extras", "drawing", "terminal", "arguments", "commands", "evaluation",
        "training", "cli", "__main__",
    ],
}  # fmt: skip
MOST_FILES = 12
# Types that the methods of a plug-in take and give.
SIGNATURES = {
    "Batch", "Demand", "DelimitedFormat", "DocumentFormat", "MergeWork", "ShardHeader", "Spans",
    "StoredShard",
}  # fmt: skip
MOST_LINES = 300
MOST_OF_A_FUNCTION = 50
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SUFFIXES = {".py", ".js", ".css", ".html"}
OURS = ("retrieval", "pipelines", "jobs", "benchmarks", "examples", "tests", "docs")
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for package in OURS
    for path in (ROOT / package).rglob("*")
    if path.suffix in SUFFIXES and "__pycache__" not in path.parts
)
FOLDERS = sorted(
    path
    for path in (ROOT / "retrieval").rglob("*")
    if path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists()
)
LOOSE = {"retrieval": {"client", "deadline", "errors", "settings"}, "pipelines": {"index"}}


def inside(module: str, folder: str) -> str:
    """What of `folder` a module is or belongs to; empty where it does not."""
    start = f"{folder}." if folder else ""
    return module.removeprefix(start).split(".")[0] if module.startswith(start) else ""


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_go_down(folder: str) -> None:
    floors = FLOORS[folder]
    wrong = []
    for entry in imports():
        above, below = inside(entry.importer, folder), inside(entry.module, folder)
        if above and below and above != below and floors.index(above) < floors.index(below):
            wrong.append(str(entry))
    assert wrong == []


@pytest.mark.parametrize("folder", FLOORS)
def test_every_room_has_its_floor(folder: str) -> None:
    start = f"{folder}." if folder else ""
    there = {inside(m, folder) for m in modules() if m.startswith(start) and m != folder}
    assert there == set(FLOORS[folder])


def test_no_file_is_part_of_a_circle() -> None:
    assert (
        circles({(entry.importer, entry.module) for entry in imports() if entry.importer != entry.module})
        == []
    )


def test_no_two_rooms_side_by_side_need_each_other() -> None:
    for folder in {room_of(room).rpartition(".")[0] for room in modules() if is_room(room)}:
        start = f"{folder}." if folder else ""
        edges = {(inside(e.importer, folder), inside(e.module, folder)) for e in imports()}
        rooms = {(a, b) for a, b in edges if a != b and is_room(start + a) and is_room(start + b)}
        assert circles(rooms) == [], folder


def past_the_door(entry: Import) -> bool:
    """Whether a file is named itself by one that stands neither in its room nor in a room of that room."""
    room = room_of(entry.module)
    at_home = room_of(entry.importer) == room or entry.importer.startswith(f"{room}.")
    return not entry.through_door and not at_home and "." in room


def test_rooms_are_entered_by_their_doors() -> None:
    assert [str(entry) for entry in imports() if past_the_door(entry)] == []


@pytest.mark.parametrize("room", sorted(name for name in modules() if is_room(name)))
def test_a_room_says_what_it_is_for_and_holds_what_fits(room: str) -> None:
    docstring = ast.get_docstring(ast.parse(modules()[room].read_text("utf-8")))
    assert docstring, "its first line says its purpose"
    files = {m.rpartition(".")[2] for m in modules() if m.rpartition(".")[0] == room and not is_room(m)}
    assert len(files) <= MOST_FILES
    if room in LOOSE:
        assert files == LOOSE[room]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_and_its_functions_can_be_seen_at_once(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    if path.endswith(".py"):
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTIONS)]
        long = [one.name for one in functions if (one.end_lineno or 0) - one.lineno >= MOST_OF_A_FUNCTION]
        assert long == []


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_files_that_are_no_modules_holds_what_fits(folder: Path) -> None:
    """Such as the playground's."""
    assert len([path for path in folder.iterdir() if path.is_file()]) <= MOST_FILES


@pytest.mark.parametrize("room", sorted(name for name in modules() if is_room(name) and name != "retrieval"))
def test_a_door_offers_what_somebody_takes(room: str) -> None:
    """And nothing else: what nobody outside uses is the room's own affair."""
    taken = {e.name for e in imports() if e.through_door and not e.importer.startswith(f"{room}.")}
    taken |= names_taken_by("benchmarks", "examples", "docs")
    taken |= set(re.findall(r"\w+", (ROOT / "docs" / "extending.md").read_text("utf-8")))  # plug-ins take it
    assert set(door(room)) - taken - SIGNATURES == set()
