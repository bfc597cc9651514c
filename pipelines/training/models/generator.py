"""A generator with gradients: the log-probability of an answer after a prompt, token by token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.errors import ConfigError
from retrieval.generation import Prompt
from retrieval.generation.generators import model_folder
from retrieval.generation.marginal import shared_beginning
from retrieval.models import TRANSFORMERS, Trust, resolve_model
from retrieval.models.encoders import choose_dtype
from retrieval.settings import ModelSettings

_SHARED_TOKENS = 16  # a shorter beginning is not worth a pass of its own


class TrainedGenerator(nn.Module):
    """A causal model or an encoder-decoder, whole or by LoRA. Weights in float32, autocast where it pays."""

    def __init__(self, name: str | None, *, lora_rank: int | None, device: str = "cpu") -> None:
        """Raises ModelError, and ConfigError where LoRA is asked for and `peft` is missing."""
        super().__init__()
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        self.resolved = resolve_model(str(model_folder(name)), trust=Trust(of="generator"))
        folder = str(self.resolved.folder)
        arguments: dict[str, Any] = {
            "local_files_only": True, "trust_remote_code": False, "use_safetensors": True,
        }  # fmt: skip
        with TRANSFORMERS:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            self.two_sided = bool(config.is_encoder_decoder)
            kind = AutoModelForSeq2SeqLM if self.two_sided else AutoModelForCausalLM
            model: Any = kind.from_pretrained(folder, dtype=torch.float32, **arguments)
        if self.tokenizer.eos_token_id is None:
            raise ConfigError(f"the generator in {folder} has no token that ends a text")
        end = self.tokenizer.eos_token_id
        self.padding: int = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self.chat = bool(getattr(self.tokenizer, "chat_template", None))
        self.model = (
            _with_lora(model, lora_rank, self.two_sided).to(device) if lora_rank else model.to(device)
        )
        self.device = device
        self._low = choose_dtype(ModelSettings(), device)
        if (head := self.model.get_output_embeddings()) is not None:
            head.register_forward_pre_hook(_in_one_block)
        self.eval()  # no dropout: the workers' gradients are those of one

    def count(self, text: str) -> int:
        """Tokens of a text, without those that stand around a prompt."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer_ids(self, answer: str, most: int) -> list[int]:
        """An answer as the product's prompt has it written, with the citation of its passage, and its end.

        That of a base model ends with its line: nobody reads on, so no end of a text is learnt after it.
        """
        own_line = not (self.chat or self.two_sided)
        text = f" {answer} [1].\n" if own_line else f"{answer} [1]."
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if own_line and self.tokenizer.decode(found[-1:]).endswith("\n"):
            end = found.pop()
        else:  # also where a tokenizer knows no lines
            end = int(self.tokenizer.eos_token_id)
        return [*found[: most - 1], end]

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """As the product has it read: see `LocalGenerator`."""
        if self.chat:
            messages = list(prompt.messages)
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            found = self.tokenizer(prompt.text, split_special_tokens=True)["input_ids"]
        return found

    def forward(self, prompts: Sequence[Prompt], answer: Sequence[int]) -> Tensor:
        """`log p(y_i | x, z, y_<i)` of the tokens of one answer after each of k prompts: (k, t) float32."""
        rows = [self.prompt_ids(prompt) for prompt in prompts]
        with torch.autocast(self.device, self._low, enabled=self._low != torch.float32):
            return self._two_sided(rows, answer) if self.two_sided else self._causal(rows, answer)

    def _causal(self, rows: list[list[int]], answer: Sequence[int]) -> Tensor:
        """Padded on the left, so that the answers end the rows: logits are computed for them alone.

        What all prompts begin with, instructions and examples, is read once.
        """
        shared = self._shared(rows, len(answer))
        past = self._read(rows[0][:shared], len(rows)) if shared >= _SHARED_TOKENS else None
        start = shared if past is not None else 0
        ids, mask = _padded([[*row[start:], *answer] for row in rows], self.padding, left=True)
        mask = torch.cat([mask.new_ones(len(rows), start), mask], 1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, start:]
        found = self.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), past_key_values=past,
            position_ids=positions.to(self.device), logits_to_keep=len(answer) + 1,
            use_cache=past is not None,
        )  # fmt: skip
        return self._of(found.logits[:, :-1], answer)

    def _shared(self, rows: list[list[int]], answer: int) -> int:
        """Tokens to read once. Padding follows them, which a window over the last tokens would count."""
        window = getattr(self.model.config.get_text_config(), "sliding_window", None)
        if window is not None and max(map(len, rows)) + answer >= window:
            return 0
        return shared_beginning(rows)

    def _read(self, ids: list[int], rows: int) -> Any:
        """Keys and values of a beginning, for each of the rows, with their gradients; None: it has others."""
        from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

        found = self.model(
            input_ids=torch.tensor([ids], device=self.device), use_cache=True, logits_to_keep=1
        ).past_key_values
        plain = type(found) is DynamicCache and all(
            type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in found.layers
        )
        if not plain:  # states of a recurrent model, say
            return None
        found.batch_repeat_interleave(rows)
        return found

    def _two_sided(self, rows: list[list[int]], answer: Sequence[int]) -> Tensor:
        ids, mask = _padded(rows, self.padding, left=False)
        labels = torch.tensor([list(answer)] * len(rows), device=self.device)
        found = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device), labels=labels)
        return self._of(found.logits, answer)

    def _of(self, logits: Tensor, answer: Sequence[int]) -> Tensor:
        wanted = torch.tensor(list(answer), device=logits.device).expand(len(logits), -1)
        return logits.float().log_softmax(-1).gather(2, wanted[..., None]).squeeze(2)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that have gradients, by name."""
        return {name: one for name, one in self.named_parameters() if one.requires_grad}

    def save(self, folder: Path) -> None:
        """As a folder that transformers loads; LoRA is merged into the weights for it."""
        if not hasattr(self.model, "merge_adapter"):
            self.model.save_pretrained(folder)
        else:
            self.model.merge_adapter()
            plain = self.model.get_base_model()
            state = {
                name.replace(".base_layer", ""): value
                for name, value in plain.state_dict().items()
                if "lora_" not in name
            }
            with torch.device("meta"):
                empty = type(plain)(plain.config)  # modules without LoRA's wrapping
            empty.save_pretrained(folder, state_dict=state)
            self.model.unmerge_adapter()
        self.tokenizer.save_pretrained(folder)


def _in_one_block(_head: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Rows of a view are multiplied row by row, and each reads all weights of the vocabulary."""
    return (inputs[0].contiguous(),)


def _padded(rows: list[list[int]], padding: int, *, left: bool) -> tuple[Tensor, Tensor]:
    """Ids and mask (n, t) int64 of rows of different lengths."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), padding)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for place, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[place, span] = torch.tensor(row)
        mask[place, span] = 1
    return ids, mask


def _with_lora(model: Any, rank: int, two_sided: bool) -> Any:
    """Low-rank updates of all linear layers but the output, whose weights are tied to the embeddings."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError(
            "rag.lora_rank needs the package peft, which is not installed",
            hint="pip install 'corpusmill[train]', or rag.lora_rank: null to train the whole generator",
        ) from error
    kind = "SEQ_2_SEQ_LM" if two_sided else "CAUSAL_LM"
    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type=kind)
    )
