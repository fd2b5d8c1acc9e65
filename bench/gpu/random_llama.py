"""A Llama-shaped model with random weights and a tokenizer of as many words, written to a folder: what a machine without a network has."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


@dataclass(frozen=True)
class Shape:
    """A model's shape, and how it is loaded.

    Attributes:
        context: tokens of prompt and answer.
        tokens: of an answer.
        loads: how many requests come at once.
    """

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    tokens: int
    loads: tuple[int, ...]
    tied: bool = False


SHAPES = {
    "gpu": (
        Shape("llama-1b", 2048, 8192, 16, 32, 8, 128_256, 2048, 128, loads=(1, 8, 64), tied=True),
        Shape("llama-8b", 4096, 14_336, 32, 32, 8, 128_256, 2048, 128, loads=(1, 8, 64)),
    ),
    "cpu": (Shape("tiny", 64, 128, 2, 4, 2, 512, 128, 8, loads=(1, 4), tied=True),),
}
"""The shapes of Llama 3.2 1B and Llama 3.1 8B (their config.json), and one for tests."""


def count_parameters(shape: Shape) -> int:
    """Return the parameters: embeddings, and in each layer attention, gated MLP and two norms.

    >>> [round(count_parameters(shape) / 1e9, 2) for shape in SHAPES["gpu"]]
    [1.24, 8.03]
    """
    head = shape.hidden // shape.heads
    attention = 2 * shape.hidden * head * (shape.heads + shape.kv_heads)
    layer = attention + 3 * shape.hidden * shape.intermediate + 2 * shape.hidden
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    return embeddings + shape.layers * layer + shape.hidden


def write_model(shape: Shape, folder: Path, device: str) -> None:
    """Write config, weights and tokenizer, as `from_pretrained` reads them."""
    import torch  # noqa: PLC0415  # because it is heavy
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415  # because it is heavy

    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden // shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=shape.context,
        tie_word_embeddings=shape.tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        dtype="float32" if device == "cpu" else "bfloat16",
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if device == "cpu" else torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
        model.save_pretrained(folder)
        del model
        if device != "cpu":
            torch.cuda.empty_cache()
    finally:
        torch.set_default_dtype(before)
    write_tokenizer(shape.vocabulary, folder)


def write_tokenizer(vocabulary: int, folder: Path) -> None:
    """Write a tokenizer in which each token is a word: `w4 w5 w6`. A random model says any of them."""
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415  # because it is heavy
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415  # because it is heavy

    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    special = {text: number for number, text in enumerate(names.values())}
    words: dict[str, Any] = {f"w{number}": number for number in range(3, vocabulary)}
    made = Tokenizer(models.WordLevel(special | words, unk_token=names["unk_token"]))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2})
    )
