"""The files that people start from: example configurations, the cluster file, and the demo's corpus."""

import copy
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml

from pipelines.config.build_settings import BuildConfig
from pipelines.training import TrainConfig

ROOT = Path(__file__).resolve().parents[2]
TRAININGS = sorted((ROOT / "configs").glob("train-*.yaml"))
CONFIGS = sorted({*(ROOT / "configs").glob("*.yaml")} - {*TRAININGS})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_are_valid_and_name_their_schema(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    config = BuildConfig.model_validate(yaml.safe_load(text))
    # What a shard is made of must fit into it.
    assert config.index.part_passages <= config.index.piece_passages <= config.index.shard_passages


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_configurations_of_trainings_are_valid_and_name_their_schema(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=train-schema.json"
    TrainConfig.model_validate(yaml.safe_load(text))
    stored = json.loads((ROOT / "configs" / "train-schema.json").read_text())
    assert stored == TrainConfig.model_json_schema(), "run: make docs"
    jsonschema.validate(yaml.safe_load(text), stored)


def test_the_three_scales_are_there() -> None:
    assert {"laptop", "wikipedia", "billion"} <= {path.stem for path in CONFIGS}


def test_the_schema_is_current() -> None:
    stored = json.loads((ROOT / "configs" / "schema.json").read_text())
    assert stored == BuildConfig.model_json_schema(), "run: make docs"


@pytest.fixture(scope="module")
def cluster() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_the_cluster_file_suits_rays_launcher(cluster: dict) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(cluster)))
    with pytest.raises(jsonschema.ValidationError, match="max_wokers"):
        validate_config(prepare_config({**cluster, "max_wokers": 3}))


def test_the_cluster_is_cheap_private_and_pinned(cluster: dict) -> None:
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    assert types["cpu_spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])
    assert "-e RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert all("IamInstanceProfile" in node["node_config"] for node in types.values())
    pins = dict(line.split("==") for line in constraints())
    images = [cluster["docker"]["image"], types["gpu_embed"]["docker"]["worker_image"]]
    assert all(image.startswith(f"rayproject/ray:{pins['ray']}-py311") for image in images)


def test_what_the_cluster_mounts_is_here(cluster: dict) -> None:
    sources = [source for source in cluster["file_mounts"].values() if not source.startswith("~")]
    assert [source for source in sources if not (ROOT / source).exists()] == []


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_constraints_are_exact_versions_without_addresses() -> None:
    assert [line for line in constraints() if line.count("==") != 1 or set(line) & set("/@+ ")] == []
    assert "torch==2.13.0" in constraints()


@pytest.fixture
def docstrings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo's corpus script, over two packages to be quick."""
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "examples" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "docstrings", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "MAIN", ["numpy"])
    monkeypatch.setattr(module, "OTHERS", ["typer", "not_installed_anywhere"])
    return module


def test_docstrings_are_a_corpus_of_public_names(
    docstrings: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "corpus.jsonl"
    monkeypatch.setattr("sys.argv", ["docstrings.py", str(out)])
    docstrings.main()
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    # A function of a private module, a compiled one, a class, a method, under the names people import.
    expected = {
        "numpy.linalg.lstsq",
        "numpy.dot",
        "numpy.ndarray",
        "numpy.ndarray.astype",
        "typer.Typer.command",
    }
    assert expected <= set(ids)
    assert not [name for name in ids if "._" in name]
    lstsq = rows[ids.index("numpy.linalg.lstsq")]
    assert lstsq["text"].startswith("Return the least-squares solution")
    assert (lstsq["package"], lstsq["kind"]) == ("numpy", "function")
    assert all(len(row["text"]) >= 80 for row in rows)

    before = out.stat().st_mtime_ns
    docstrings.main()
    assert out.stat().st_mtime_ns == before
    assert "unchanged" in capsys.readouterr().out


def test_documents_are_shared_out_fairly(docstrings: ModuleType) -> None:
    assert docstrings.fair_shares([1000, 10, 1000], [3, 3, 1], 410) == [300, 10, 100]
    assert docstrings.fair_shares([5, 7], [1, 1], 100) == [5, 7]
