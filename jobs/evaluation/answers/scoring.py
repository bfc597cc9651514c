"""Measures of one answer, from strings alone: nothing here asks a model."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from jobs.evaluation.answers.questions import Question
from pipelines.judged import holds_any, sequences_of
from retrieval.results import Answer, Hit

_CITATION = re.compile(r"\s*\[[\d\s,;\u2013-]+\]")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def normalized(text: str) -> str:
    """SQuAD's normalisation: lower case, no punctuation, no articles, single spaces."""
    plain = "".join(letter for letter in text.lower() if letter not in _PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", plain).split())


def exact_match(said: str, answers: Sequence[str]) -> float:
    """1 where the answer is one of those that are right, normalised."""
    return float(normalized(said) in {normalized(one) for one in answers})


def f1(said: str, answers: Sequence[str]) -> float:
    """The best F1 of the answer's words with those of a right one, both normalised."""
    return max((_f1(normalized(said).split(), normalized(one).split()) for one in answers), default=0.0)


def _f1(said: Sequence[str], right: Sequence[str]) -> float:
    if not said or not right:
        return float(said == right)
    common = sum((Counter(said) & Counter(right)).values())
    return 2 * common / (len(said) + len(right))


def plain(answer: str) -> str:
    """An answer without its citations."""
    return _CITATION.sub("", answer).strip()


def scores(question: Question, found: Answer, context: Sequence[Hit]) -> dict[str, float]:
    """Measures of an answer; those that the question says nothing of are left out.

    context: the passages that were found for it. exact_match, f1, holds: a right answer stands in it. What
    should not be answered is never right. answer_recall: a right answer stands in the context. supporting,
    supporting_all: share of the named documents in it, and whether all are. citation_precision: share of the
    citations that name such a document; citation_recall: whether one does. nuggets_vital, nuggets: share of
    the vital facts, and of all, that the answer tells.
    """
    said = plain(found.answer)
    values = {"holds": float(holds_any(said, sequences_of(question.answers)))}
    if question.answers:
        values["exact_match"] = exact_match(said, question.answers)
        values["f1"] = f1(said, question.answers)
        wanted = sequences_of(question.answers)
        values["answer_recall"] = float(any(holds_any(hit.text, wanted) for hit in context))
    if question.documents:
        values |= _of_documents(set(question.documents), found, context)
    if question.nuggets:
        told = {one: holds_any(said, sequences_of([one.text, *one.aliases])) for one in question.nuggets}
        values["nuggets"] = sum(told.values()) / len(told)
        if vital := [known for one, known in told.items() if one.importance == "vital"]:
            values["nuggets_vital"] = sum(vital) / len(vital)
    return values


def _of_documents(wanted: set[str], found: Answer, context: Sequence[Hit]) -> dict[str, float]:
    read = [any(_is(hit.doc_id, one) for hit in context) for one in wanted]
    values = {"supporting": sum(read) / len(read), "supporting_all": float(all(read))}
    cited = [any(_is(one.doc_id, known) for known in wanted) for one in found.citations]
    if cited:
        values["citation_precision"] = sum(cited) / len(cited)
    return {**values, "citation_recall": float(any(cited))}


def _is(document: str, named: str) -> bool:
    """Whether a document is the one that is named, by its id or, with * at the end, by how that begins."""
    return document.startswith(named[:-1]) if named.endswith("*") else document == named
