"""Types of dense index by the suite that all have to pass, and one that comes from outside the package."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrieval.plugins.registry
from pipelines.config.build_settings import validate
from retrieval.dense.making.choice import check_options, choose_dense
from retrieval.dense.registry import dense_type, read_spec
from retrieval.dense.settings import DenseSettings
from retrieval.dense.testing import DenseTypeSuite
from retrieval.dense.types.flat import TYPE as FLAT
from retrieval.dense.types.hnsw import TYPE as HNSW
from retrieval.dense.types.ivf_flat import TYPE as IVF_FLAT
from retrieval.dense.types.ivf_pq import TYPE as IVF_PQ
from retrieval.errors import ConfigError, IndexDamaged
from tests.tools.plugins.plugin_packages import install, install_signs
from tests.tools.plugins.signs import SIGNS

LISTS = {"nlist": 16}


class TestFlat(DenseTypeSuite):
    kind = FLAT


class TestIvfFlat(DenseTypeSuite):
    kind = IVF_FLAT
    settings = DenseSettings(type="ivf_flat", **LISTS)


class TestIvfPq(DenseTypeSuite):
    kind = IVF_PQ
    settings = DenseSettings(type="ivf_pq", pq_m=16, **LISTS)


class TestRotated(DenseTypeSuite):
    kind = IVF_PQ
    settings = DenseSettings(type="ivf_pq", pq_m=8, pq_bits=8, opq=True, coarse="hnsw", **LISTS)


class TestHnsw(DenseTypeSuite):
    kind = HNSW
    settings = DenseSettings(type="hnsw", hnsw_m=8)


class TestSigns(DenseTypeSuite):
    kind = SIGNS
    dimension = 64


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, on the path; what is imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    known = set(sys.modules)
    retrieval.plugins.registry._loaded.cache_clear()
    yield folder
    retrieval.plugins.registry._loaded.cache_clear()
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def spec_values(**changes: Any) -> dict[str, Any]:
    """A manifest's `dense` of the plug-in."""
    settings = DenseSettings(plugins=("signs",), type="signs")
    spec, _ = choose_dense(settings, 100, 64, 10**9)
    return spec.model_dump(mode="json") | changes


def test_a_plugin_is_chosen_by_its_name_where_the_configuration_enables_it(site: Path) -> None:
    values = {"corpus": {"paths": ["x"]}, "index": {"path": "y"}, "dense": {"type": "signs"}}
    with pytest.raises(ConfigError, match="no such dense type; the nearest one is .*, of auto, flat, hnsw"):
        validate(values, "test")
    install_signs(site)
    with pytest.raises(ConfigError, match=r"not enabled: write `plugins: \[signs\]`"):
        validate(values, "test")
    sys.modules.pop("corpusmill_signs", None)  # of a test before
    values |= {"plugins": ["signs"]}
    settings = validate(values, "test").dense
    assert "corpusmill_signs" not in sys.modules  # a name is looked up, nothing is loaded
    spec, reason = choose_dense(settings, 1_000, 64, 10**9)
    assert spec.type == "signs" and "signs as configured" in reason
    with pytest.raises(ConfigError, match="nearest one is signs, of auto, .*ivf_pq, signs"):
        validate({**values, "dense": {"type": "sings"}}, "test")


def test_options_are_those_of_the_plugin(site: Path) -> None:
    install_signs(site)
    settings = DenseSettings(plugins=("signs",), type="signs", options={"least_shortlist": 70})
    check_options(settings)
    spec, _ = choose_dense(settings, 1_000, 64, 10**9)
    assert [point.shortlist for point in dense_type("signs", ["signs"]).grid(spec, 10)] == [100, 200, 400]
    with pytest.raises(ConfigError, match="least_shortlists") as caught:
        check_options(DenseSettings(plugins=("signs",), type="signs", options={"least_shortlists": 7}))
    assert "least_shortlist" in caught.value.hint
    with pytest.raises(ValueError, match="plug-ins"):
        DenseSettings(type="ivf_pq", options={"a": 1})


def test_options_count_and_their_absence_does_not(site: Path) -> None:
    install_signs(site)
    plain, other = (
        DenseSettings(plugins=("signs",), type="signs"),
        DenseSettings(plugins=("signs",), type="signs", options={"least_shortlist": 7}),
    )
    for artefact in ("quantizer", "version"):
        assert "options" not in DenseSettings().fingerprint_values(artefact)
        assert plain.fingerprint_values(artefact) != other.fingerprint_values(artefact)


def test_an_index_never_chooses_what_its_opener_has_not_enabled(site: Path) -> None:
    install_signs(site)
    values = spec_values()
    for name in [name for name in sys.modules if name == "corpusmill_signs"]:
        del sys.modules[name]
    for enabled in ([], ["sign"], ["corpusmill_signs"]):
        with pytest.raises(ConfigError, match="not enabled: signs would load corpusmill_signs:SIGNS") as told:
            read_spec(values, enabled)
        assert "--plugin signs" in told.value.hint
    assert "corpusmill_signs" not in sys.modules
    kind, spec = read_spec(values, ["signs"])
    assert kind.notation(spec) == "signs"
    assert spec.model_dump(mode="json") == values


@pytest.mark.parametrize(
    "wrong", [{"least_shortlist": 0}, {"least_shortlist": None}, {"more": 1}, {"dimension": -1}]
)
def test_a_hostile_spec_of_a_plugin_is_damage(site: Path, wrong: dict[str, Any]) -> None:
    install_signs(site)
    with pytest.raises(IndexDamaged, match=next(iter(wrong))):
        read_spec(spec_values(**wrong), ["signs"])


def test_what_is_no_type_of_index_is_refused(site: Path) -> None:
    install(site, "other", "SIGNS = 1\nFLAT = 2\n", {"signs": "SIGNS", "flat": "FLAT", "gone": "GONE"})
    install(site, "raising", "raise RuntimeError('no')\n", {"raising": "X"})
    with pytest.raises(ConfigError, match="not a dense type"):
        dense_type("signs", ["signs"])
    with pytest.raises(ConfigError, match="cannot be loaded: AttributeError"):
        dense_type("gone", ["gone"])
    with pytest.raises(ConfigError, match="cannot be loaded: RuntimeError"):
        dense_type("raising", ["raising"])
    with pytest.raises(ConfigError, match="not installed"):
        dense_type("absent", ["absent"])
    assert dense_type("flat", ["flat"]) is FLAT  # no package takes the name of one of ours


def test_a_name_that_two_packages_offer_is_refused(site: Path) -> None:
    install_signs(site)
    install(site, "corpusmill_other", "SIGNS = 1\n", {"signs": "SIGNS"})
    with pytest.raises(ConfigError, match="several packages"):
        dense_type("signs", ["signs"])


def test_search_is_by_hamming_distance_and_scores_are_exact() -> None:
    codes = np.packbits(np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]) > 0, axis=1)
    from tests.tools.plugins.signs import SignSearch

    query = np.array([[1, 1, -1, -1, -1, -1, -1, -1]], np.float32)
    scores, rows = SignSearch(codes).search(query, 2, None, None, None)  # type: ignore[arg-type]
    assert rows.tolist() == [[1, 0]] and scores.tolist() == [[0, -1]]
