"""A text that grows token by token."""

from typing import Any


class Pieces:
    """Takes tokens one by one and gives what each adds to the text. `tokens`: those taken."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokens: list[int] = []
        self._tokenizer = tokenizer
        self._shown = ""

    def feed(self, token: int) -> str:
        """What is certain after this token: a character may take several."""
        self.tokens.append(token)
        text = self._tokenizer.decode(self.tokens, skip_special_tokens=True)
        if text.endswith("\ufffd") or not text.startswith(self._shown):
            return ""
        added, self._shown = text[len(self._shown) :], text
        return str(added)
