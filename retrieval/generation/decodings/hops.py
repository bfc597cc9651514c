"""Questions of several hops, without a model that plans: what passages add to the question is searched for.

For each of the first passages, the sentence that fits the question best: its words that are not the
question's, such as a name, behind the question's words that it does not have. On two-hop questions this put
both supporting articles into ten passages for two thirds of them, where one search did so for two fifths, the
question with the whole sentence for half; see docs/benchmarks.md.
"""

import re

import numpy as np

from retrieval.generation.context import Context
from retrieval.generation.decodings.progress import Progress, Wanted
from retrieval.generation.evidence import Evidence

PASSAGES = 3  # whose sentences are searched for, beside each other
MOST_QUERY = 400  # characters
_WORD = re.compile(r"\w+")
_BEGINNING = 5  # letters: words that begin alike are taken for forms of one


def next_queries(progress: Progress, context: Context, evidence: Evidence) -> tuple[Wanted, ...]:
    """The next searches, each with its sentence; none where no sentence adds a word.

    context: of the progress's hits. evidence: of its passages, with the question.
    """
    used = {step.text for step in progress.steps}
    best: dict[int, Wanted] = {}
    for place in np.argsort(-evidence.scores, kind="stable").tolist():
        sentence = evidence.sentences[place]
        text = evidence.text_of(sentence)
        if sentence.passage in best or text in used:
            continue
        title = evidence.passages[sentence.passage].title
        if query := beyond(progress.asked, title, text):
            best[sentence.passage] = Wanted(query, text=text)
    places = [context.holding.get(place) for place in progress.lists[-1]]
    latest = [passage for passage in dict.fromkeys(places) if passage in best]
    return tuple(best[passage] for passage in latest[:PASSAGES])


def beyond(question: str, title: str, sentence: str) -> str:
    """The words of a question that a titled sentence lacks, and those that it has beyond the question.

    Empty where it has none of its own.
    """
    asked, said = _WORD.findall(question), _WORD.findall(f"{title} {sentence}")
    own, known = {_form(word) for word in asked}, {_form(word) for word in said}
    new = [word for word in said if _form(word) not in own]
    left = [word for word in asked if _form(word) not in known]
    return " ".join([*left, *new])[:MOST_QUERY] if new else ""


def _form(word: str) -> str:
    return word.casefold()[:_BEGINNING]
