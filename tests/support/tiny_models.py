"""Makes tiny models with random weights and asks transformers about them: a script for the Python of the serving environment.

    tiny_models.py FOLDER TOKENIZER

writes FOLDER/embedder, FOLDER/reranker, and FOLDER/expected.json with what transformers computes of the texts below, in float32.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

TEXTS = ("The ferry leaves at noon.", "A lighthouse keeper writes down the weather.", "42")
QUERY = "When does the ferry leave?"
_SIZES = {  # vLLM has CPU kernels for heads of 64 numbers, and not for all smaller ones
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def main(folder: Path, tokenizer: Path) -> None:
    """Write the models and what is expected of them."""
    import torch  # noqa: PLC0415  # because only the serving environment has it
    from transformers import (  # noqa: PLC0415  # because only the serving environment has it
        AutoTokenizer,
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForSequenceClassification,
    )

    torch.manual_seed(7)
    words = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(vocab_size=len(words), num_labels=1, initializer_range=0.2, **_SIZES)
    config.bos_token_id = config.eos_token_id = words.eos_token_id
    embedder = LlamaForCausalLM(config).eval()
    reranker = LlamaForSequenceClassification(config).eval()
    for name, model in (("embedder", embedder), ("reranker", reranker)):
        model.save_pretrained(folder / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / file, folder / name)

    def embed(text: str) -> Any:
        states = embedder.model(**words(text, return_tensors="pt")).last_hidden_state
        return torch.nn.functional.normalize(states[0, -1], dim=0).tolist()

    def score(text: str) -> float:
        logits = reranker(**words(QUERY, text, return_tensors="pt")).logits
        return float(torch.sigmoid(logits[0, 0]))

    with torch.inference_mode():
        expected = {"vectors": list(map(embed, TEXTS)), "scores": list(map(score, TEXTS))}
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
