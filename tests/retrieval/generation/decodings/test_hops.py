"""A question of several hops over a small corpus, with the packaged models and nobody's script."""

from collections.abc import Callable
from typing import Any

import pytest

from jobs.commands.ask import Asking
from retrieval.generation import GenerationSettings
from retrieval.results import Answer
from retrieval.search import Searcher
from tests.conftest import write_jsonl
from tests.tools.samples.film_samples import ARTICLES

QUESTION = "Who directed the later film of the actress who won an Oscar for playing Edith Piaf?"


@pytest.fixture(scope="module")
def asking(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("films")
    articles = [{"_id": name, "title": title, "text": text} for name, (title, text) in ARTICLES.items()]
    build(write_jsonl(root / "c.jsonl", articles), root / "index", model={"name": "bge-small-en"})
    with Searcher.open(str(root / "index")) as searcher:
        yield lambda **values: Asking(searcher, GenerationSettings(support_threshold=0, **values))


def documents(found: Answer) -> list[list[str]]:
    """Documents of each search."""
    assert found.steps is not None
    return [[one.split("#")[0] for one in step.passages] for step in found.steps]


def test_from_the_oscar_to_the_later_film_to_its_directors(asking: Any) -> None:
    found = asking(hops=3).ask_now(QUESTION, k=3)
    assert [step.reason for step in found.steps] == ["question", *["hop"] * 3, *["hop"] * 3]
    first, *hops = documents(found)
    assert first[0] == "cotillard"  # whose Oscar it was
    assert hops[0] == ["two_days"]  # her later film
    assert "Marion Cotillard" in found.steps[1].query and "Marion Cotillard" not in QUESTION
    assert ["dardenne"] in hops[3:]  # who directed it
    assert "Two Days" in next(step.query for step in found.steps if step.passages == ("dardenne#0",))
    every = [name for own in [first, *hops] for name in own]
    assert len(every) == len(set(every))  # nothing comes twice


@pytest.mark.parametrize(
    ("question", "film", "director"),
    [
        (
            "Which director made the later film with the actress who won an Academy Award for The Constant "
            "Gardener?",
            "favourite", "lanthimos",
        ),
        (
            "Where was the director born who made the film of 2020 with the actress who won an Oscar for "
            "Fargo?",
            "nomadland", "zhao",
        ),
    ],
)  # fmt: skip
def test_other_questions_of_the_kind(asking: Any, question: str, film: str, director: str) -> None:
    once = {name for own in documents(asking(hops=2).ask_now(question, k=3))[:1] for name in own}
    found = {name for own in documents(asking(hops=3).ask_now(question, k=3)) for name in own}
    assert director not in once and {film, director} <= found


def test_one_search_is_one_search(asking: Any) -> None:
    found = asking().ask_now(QUESTION, k=3)
    assert found.steps is None and len(found.citations) <= 3
