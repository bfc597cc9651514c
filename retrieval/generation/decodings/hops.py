"""Questions of several hops, without a model that plans: the best sentence joined to the question."""

import numpy as np

from retrieval.generation.decodings.progress import Progress
from retrieval.generation.evidence import Evidence

MOST_SENTENCE = 400  # characters of a sentence that a query takes


def next_query(progress: Progress, evidence: Evidence) -> tuple[str, str] | None:
    """The next search, and the sentence it was made of; None where no sentence is left.

    Of the passages of the latest search the sentence that fits the question best and was in no query before.
    evidence: of the progress's hits, with the question.
    """
    latest = set(progress.lists[-1])
    used = {step.text for step in progress.steps}
    for place in np.argsort(-evidence.scores, kind="stable").tolist():
        sentence = evidence.sentences[place]
        text = evidence.text_of(sentence)
        if sentence.passage not in latest or text in used:
            continue
        title = evidence.passages[sentence.passage].title
        return f"{progress.asked} {title} {text[:MOST_SENTENCE]}".strip(), text
    return None
