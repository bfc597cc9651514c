"""A fusion is one file: choices, reference and errors follow from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import retrieval
from retrieval.fusions.registry import FUSIONS
from retrieval.settings import SearchSettings

TOY = """
from pydantic import Field
from retrieval.fusions.fusion import Fusion

def shares(signal, settings):
    return (signal.ranks > 0) * signal.weight * settings["toy_share"]

SHARE = Field(0.5, gt=0, description="Of each.")
TOY = Fusion("toy", "all count alike", shares, settings={"toy_share": (float, SHARE)})
"""
TRY = """
import numpy as np
from pydantic import ValidationError
from retrieval.fusions import FUSIONS
from retrieval.search import Ranking, fuse
from retrieval.settings import SearchSettings

settings = SearchSettings(fusion="toy", toy_share=2)
first = Ranking(np.array([[3.0, 1.0]]), np.array([[7, 9]]))
second = Ranking(np.array([[5.0]]), np.array([[9]]))
lists = {"dense": first, "lexical": second}
found = fuse(FUSIONS[settings.fusion], lists, [1.0, 1.0], dict(settings)).ranking(2)
assert found.ids.tolist() == [[9, 7]] and found.scores.tolist() == [[4.0, 2.0]]
described = SearchSettings.model_json_schema()["properties"]
assert "toy" in described["fusion"]["enum"] and "toy: all count alike." in described["fusion"]["description"]
assert described["toy_share"]["exclusiveMinimum"] == 0
try:
    SearchSettings(fusion="none")
except ValidationError as error:
    assert "'toy'" in str(error)
    print("told")
"""


def test_another_file_is_another_fusion(tmp_path: Path) -> None:
    """In a copy of the package with one file more."""
    source = Path(retrieval.__file__).parent
    shutil.copytree(source, tmp_path / "retrieval", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "retrieval" / "fusions" / "toy.py").write_text(TOY)
    command = [sys.executable, "-c", TRY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "told", done.stderr


def test_settings_are_those_of_the_fusions() -> None:
    assert set(SearchSettings.model_json_schema()["properties"]["fusion"]["enum"]) == set(FUSIONS)
    own = {name for fusion in FUSIONS.values() for name in fusion.settings}
    assert own == {"rrf_k"} and own <= set(SearchSettings.model_fields)
    with pytest.raises(ValidationError, match="'calibrated', 'rrf' or 'weighted'"):
        SearchSettings.model_validate({"fusion": "sum"})
