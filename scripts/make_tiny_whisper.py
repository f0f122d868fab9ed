"""
Build a tiny CTranslate2 Whisper offline: real format, scripted weights, no knowledge.

    python -m scripts.make_tiny_whisper FOLDER

The decoder's position encodings are random and each output row points at one of them, so the
model says a fixed sentence whatever it hears, then ends; everything else, the encoder and the
attention that word times come from, is small random noise. That makes batches, word times and
prompts run for real, with a result that tests can predict. CTranslate2 takes the model for an
English-only one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SENTENCE = (" Good", " morning", " every", "body", " twenty", "-", "five", " people", " came", ".")
"""What it says, token by token."""

WIDTH, HEADS, LAYERS, MELS = 64, 2, 2, 80
LANGUAGE_CODES = (  # noqa: SIM905 - a table is easier to read than 99 quotes
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no "
    "th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw "
    "gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl "
    "mg as tt haw ln ha ba jw su"
).split()
_TEXT_TOKENS = 50257
_POSITIONS = 448
_SURE = 3.0  # how clearly an answer stands out of the noise


def build(folder: Path) -> Path:
    """Write model.bin, config.json, vocabulary.json and tokenizer.json; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _vocabulary()
    _write_tokenizer(folder, tokens)
    spec = _spec(tokens)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [
        [layer, head] for layer in range(LAYERS) for head in range(HEADS)
    ]
    spec.config.lang_ids = [tokens.index(f"<|{code}|>") for code in LANGUAGE_CODES]
    spec.validate()
    spec.save(str(folder))
    return folder


def _vocabulary() -> list[str]:
    """51,865 tokens as Whisper numbers them: text, then special ones, then timestamps."""
    marks = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [token.replace(" ", "Ġ") for token in SENTENCE if len(token) > 1]
    text = marks + [word for word in dict.fromkeys(words) if word not in marks]
    text += [f"<unused{number}>" for number in range(_TEXT_TOKENS - len(text))]
    special = ["<|endoftext|>", "<|startoftranscript|>"]
    special += [f"<|{code}|>" for code in LANGUAGE_CODES]
    special += [
        "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
        "<|notimestamps|>",
    ]  # fmt: skip
    return text + special + [f"<|{step * 0.02:.2f}|>" for step in range(1501)]


def _write_tokenizer(folder: Path, tokens: list[str]) -> None:
    vocabulary = {token: number for number, token in enumerate(tokens[:_TEXT_TOKENS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True) for token in tokens[_TEXT_TOKENS:]]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "vocabulary.json").write_text(json.dumps(tokens))


def _spec(tokens: list[str]) -> Any:
    spec = ctranslate2.specs.WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    chance = np.random.default_rng(7)

    def noise(*shape: int) -> Any:
        return (chance.standard_normal(shape) * 0.02).astype(np.float32)

    _fill_norms(spec.encoder.layer_norm, spec.decoder.layer_norm)
    for conv, width in ((spec.encoder.conv1, MELS), (spec.encoder.conv2, WIDTH)):
        conv.weight, conv.bias = noise(WIDTH, width, 3), noise(WIDTH)
    spec.encoder.position_encodings.encodings = noise(1500, WIDTH)
    for layer in (*spec.encoder.layer, *spec.decoder.layer):
        _fill_layer(layer, noise)
    positions = chance.standard_normal((_POSITIONS, WIDTH)).astype(np.float32)
    spec.decoder.position_encodings.encodings = positions
    spec.decoder.embeddings.weight = noise(len(tokens), WIDTH)
    spec.decoder.scale_embeddings = False
    spec.decoder.projection.weight = _projection(tokens, positions, noise)
    return spec


def _projection(tokens: list[str], positions: Any, noise: Any) -> Any:
    """Rows that answer to a position: a timestamp first, the sentence, then the end."""
    rows = noise(len(tokens), WIDTH)
    # with timestamps the prompt is one token shorter, and the first answer is a timestamp
    answers = ["<|0.00|>", *(token.replace(" ", "Ġ") for token in SENTENCE), "<|endoftext|>"]
    for place, answer in enumerate(answers):
        rows[tokens.index(answer)] += _SURE * positions[place]
    return rows


def _fill_norms(*norms: Any) -> None:
    for norm in norms:
        norm.gamma, norm.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)


def _fill_layer(layer: Any, noise: Any) -> None:
    """Self-attention, cross-attention where there is one, and the feed-forward network."""
    _fill_norms(layer.self_attention.layer_norm, layer.ffn.layer_norm)
    _fill_linear(layer.self_attention.linear[0], 3 * WIDTH, WIDTH, noise)
    _fill_linear(layer.self_attention.linear[1], WIDTH, WIDTH, noise)
    if hasattr(layer, "attention"):
        _fill_norms(layer.attention.layer_norm)
        for linear, width in zip(layer.attention.linear, (1, 2, 1), strict=True):
            _fill_linear(linear, width * WIDTH, WIDTH, noise)
    _fill_linear(layer.ffn.linear_0, 4 * WIDTH, WIDTH, noise)
    _fill_linear(layer.ffn.linear_1, WIDTH, 4 * WIDTH, noise)


def _fill_linear(linear: Any, outputs: int, inputs: int, noise: Any) -> None:
    linear.weight, linear.bias = noise(outputs, inputs), noise(outputs)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
