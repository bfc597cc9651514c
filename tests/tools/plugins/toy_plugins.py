"""A package outside of ours: the format of docs/extending.md, one with a parser, and a chunking method."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "extending.md"

ENTRY_POINTS = """
[corpusmill.formats]
poems = corpusmill_toy.poems:FORMAT
text = corpusmill_toy.formats:SHOUT
shout = corpusmill_toy.formats:SHOUT

[corpusmill.chunkers]
verses = corpusmill_toy.chunking:METHOD
broken = corpusmill_toy.broken:METHOD
odd = corpusmill_toy.formats:SHOUT
"""
FILES = {
    "__init__.py": "",
    "formats.py": """
from pipelines.sources import WholeFileFormat

class Shout(WholeFileFormat):
    name = "shout"
    summary = "a text in capitals"
    suffixes = ("shout", "txt")
    parser = "corpusmill_toy.parser"

SHOUT = Shout()
""",
    "parser.py": """
import os, sys

def extract(data, max_bytes):
    if data.startswith(b"hang"):
        while True:
            pass
    loaded = "pipelines.sources" in sys.modules or "corpusmill_toy.formats" in sys.modules
    return f"parsed in {os.getpid()}, more than it needs: {loaded}", data.decode().lower()
""",
    "chunking.py": """
from pydantic import Field
from pipelines.chunking import ChunkMethod
from retrieval.settings import Settings

class VerseSettings(Settings):
    lines: int = Field(1, ge=1, description="Lines in a passage.")

class Verses(ChunkMethod):
    name = "verses"
    summary = "so many lines"
    options = VerseSettings
    counts_units = False

    def split(self, batch):
        found = []
        for text in batch.texts:
            spans, at = [], 0
            lines = text.split("\\n")
            for first in range(0, len(lines), batch.options.lines):
                piece = "\\n".join(lines[first : first + batch.options.lines])
                if piece.strip():
                    spans.append((at, at + len(piece)))
                at += len(piece) + 1
            found.append(spans)
        return found

METHOD = Verses()
""",
    "broken.py": "import a_module_that_is_not_there\n",
}


def write_toy_package(folder: Path) -> Path:
    """Write the package, as an installer would lay it down, into a folder for sys.path."""
    package, info = folder / "corpusmill_toy", folder / "corpusmill_toy-1.5.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    [example] = re.findall(r"^```py\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    for name, text in (FILES | {"poems.py": example}).items():
        (package / name).write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corpusmill-toy\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
