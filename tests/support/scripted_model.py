"""A Llama whose every answer is known: it repeats one word, and where structured output forbids that, it is as short as it can be.

All of its weights are zero, except that each token has a score of its own whatever stands before it. So it takes a file of some
megabytes, nothing is random, and a grammar's answer ends. It has the tokenizer of another model.
"""

import json
import shutil
import struct
from pathlib import Path

WORD = "Hello"
"""What it says."""
HIDDEN, LAYER = 128, "model.layers.0"
SCORES = {WORD: 2.0, "<|im_end|>": 1.0}
"""The end of an answer comes next after the word."""
_blank, _other = -3.0, 0.0
"""Scores of tokens with white space, which a grammar for JSON allows without end, and of the others."""
TEMPLATE = """{%- if tools %}<|im_start|>system
Tools: {{ tools | tojson }}
Answer with <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""
"""Its tool calls are those of Hermes. It thinks like DeepSeek R1, but its tokenizer has no token for that."""
_blanks = tuple("\u0120\u010a\u0109\u010d ")
"""Blank, line feed, tab and carriage return, as byte-level tokenizers write them."""


def write_model(folder: Path, tokenizer: Path) -> Path:
    """Write the model with the tokenizer of another one; return its folder."""
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, folder / name)
    config = json.loads((tokenizer / "config.json").read_text()) | {
        "hidden_size": HIDDEN,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.0}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    _write_weights(folder / "model.safetensors", vocabulary, config["vocab_size"])
    return folder


def _write_weights(file: Path, vocabulary: dict[str, int], size: int) -> None:
    scores = [_other] * size
    for token, number in vocabulary.items():
        blank = _blank if any(mark in token for mark in _blanks) else _other
        scores[number] = SCORES.get(token, blank)
    square, one = (HIDDEN, HIDDEN), [1.0]
    layer = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    parts = {name: "self_attn" if name[1:] == "_proj" else "mlp" for name in layer}
    tensors = {
        "model.embed_tokens.weight": ((size, HIDDEN), one * size),
        "lm_head.weight": ((size, HIDDEN), scores),
        "model.norm.weight": ((HIDDEN,), one * HIDDEN),
        f"{LAYER}.input_layernorm.weight": ((HIDDEN,), one * HIDDEN),
        f"{LAYER}.post_attention_layernorm.weight": ((HIDDEN,), one * HIDDEN),
        **{f"{LAYER}.{part}.{name}.weight": (square, []) for name, part in parts.items()},
    }
    header, data = {}, bytearray()
    for name, (shape, firsts) in tensors.items():
        begin = len(data)
        width = 2 * (shape[1] if len(shape) == 2 else 1)
        data += bytes(shape[0] * width)
        for row, value in enumerate(firsts):
            # A bfloat16 is the upper half of a float32.
            data[begin + row * width : begin + row * width + 2] = struct.pack("<f", value)[2:]
        offsets = [begin, len(data)]
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
