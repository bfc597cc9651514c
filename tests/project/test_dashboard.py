"""The Grafana dashboard: it shows the metrics that there are, by labels that they have."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import metrics as serve_metrics
from ray.util import metrics as ray_metrics

from retrieval.serve import metrics
from retrieval.serve.metrics import Metrics

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "corpusmill.json"


@cache
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def exported(kind: str, name: str) -> set[str]:
    """Names under which a metric of Ray is exported for Prometheus."""
    endings = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}[kind]
    return {f"ray_{name.removesuffix('_total') if kind == 'Counter' else name}{ending}" for ending in endings}


def our_metrics() -> dict[str, Any]:
    values = [*vars(Metrics()).values(), *vars(metrics).values()]
    return {value.info["name"]: value for value in values if isinstance(value, ray_metrics.Metric)}


def kind_of(metric: Any) -> str:
    kinds = ("Counter", "Gauge", "Histogram")
    return next(kind for kind in kinds if isinstance(metric, getattr(ray_metrics, kind)))


def metrics_of_serve() -> set[str]:
    """Exported names of the metrics that the installed Ray Serve's source declares."""
    found: set[str] = set()
    declared = re.compile(r'\b(Counter|Gauge|Histogram)\(\s*(?:name=)?f?"(serve_[\w{}]+)"')
    for path in Path(serve.__file__).parent.rglob("*.py"):
        for kind, name in declared.findall(path.read_text(encoding="utf-8")):
            found |= exported(kind, name.replace("{protocol_name}", "http"))
    return found


def test_the_dashboard_shows_metrics_that_exist() -> None:
    shown = set(re.findall(r"\bray_\w+", " ".join(expressions())))
    variables = dashboard()["templating"]["list"]
    shown |= set(re.findall(r"\bray_\w+", json.dumps(variables)))
    ours = {name: exported(kind_of(metric), name) for name, metric in our_metrics().items()}
    assert shown <= metrics_of_serve().union(*ours.values())
    for name, names in ours.items():
        assert shown & names, f"the dashboard does not show {name}"


def test_the_dashboard_groups_and_filters_by_labels_that_exist() -> None:
    for text in expressions():
        selectors = re.findall(r"\{(.*?)\}", text)
        assert selectors and all('application=~"$application"' in selector for selector in selectors), text
        for name, metric in our_metrics().items():
            if f"ray_{name}" in text:
                used = re.findall(r'(\w+)[=!]~?"', " ".join(selectors))
                used += [label for group in re.findall(r"by \((.*?)\)", text) for label in group.split(", ")]
                assert set(used) <= {*metric.info["tag_keys"], "le", "application"}, text
                # Only these add the application, and keep the replicas of a node apart.
                assert isinstance(metric, getattr(serve_metrics, kind_of(metric))), name


def test_the_dashboard_is_sound_and_names_no_address() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
    assert {one["name"] for one in dashboard()["templating"]["list"]} == {"datasource", "application"}
    assert not re.search(r"://|\d+\.\d+\.\d+\.\d+|localhost", json.dumps(dashboard()))
