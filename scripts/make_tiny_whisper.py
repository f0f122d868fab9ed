"""
Build a tiny CTranslate2 Whisper offline: real format, scripted weights, no knowledge.

    python -m scripts.make_tiny_whisper FOLDER [--multilingual]

Each output row points at one of the decoder's position encodings, so the model says a fixed
sentence whatever it hears, then ends; the attention that word times come from is small random
noise. That makes batches, word times and prompts run for real, with a result that tests can
predict.

The multilingual one also tells languages apart by ear: more sound in the lower half of the mel
bands than in the upper is LOW_LANGUAGE, the other way round HIGH_LANGUAGE; a few seconds of
white noise are none in particular, SPARE_LANGUAGE a little more than others. Two channels of the
encoder carry the difference, and cross-attention takes their mean over 30 seconds, so a longer
sound makes it surer.
"""

import json
import sys
from collections.abc import Sequence
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

LOW_LANGUAGE, HIGH_LANGUAGE, SPARE_LANGUAGE = "de", "nl", "en"
_LOW, _HIGH = 0, 1  # encoder channels that hear low and high sound
_HEARD = 0.4  # share of a heard channel that reaches the decoder
_LIKELY, _SPARE = 0.4, 0.03  # how a language answers to what was heard, and to nothing


def build(folder: Path, *, multilingual: bool = False, sentence: Sequence[str] = SENTENCE) -> Path:
    """
    Write model.bin, config.json, vocabulary.json and tokenizer.json; returns the folder.

    Args:
        sentence: what it says, as distinct tokens, at most 200.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _vocabulary(sentence, multilingual)
    _write_tokenizer(folder, tokens)
    spec = _spec(tokens, sentence, multilingual)
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


def _vocabulary(sentence: Sequence[str], multilingual: bool) -> list[str]:
    """51,865 tokens as Whisper numbers them: text, then special ones, then timestamps."""
    marks = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [token.replace(" ", "Ġ") for token in sentence if len(token) > 1]
    text = marks + [word for word in dict.fromkeys(words) if word not in marks]
    text += [f"<unused{number}>" for number in range(_TEXT_TOKENS - len(text))]
    if multilingual:
        # Only Whisper's multilingual vocabulary has an empty token, and CTranslate2 goes by that.
        text[-1] = ""
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


def _spec(tokens: list[str], sentence: Sequence[str], multilingual: bool) -> Any:
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
    # answers at right angles, so that none is taken for another
    directions = np.sqrt(WIDTH) * np.linalg.qr(chance.standard_normal((WIDTH, WIDTH)))[0]
    positions = chance.standard_normal((_POSITIONS, WIDTH)).astype(np.float32)
    positions[: WIDTH - 2] = directions[2:]
    spec.decoder.position_encodings.encodings = positions
    spec.decoder.embeddings.weight = noise(len(tokens), WIDTH)
    spec.decoder.scale_embeddings = False
    # the prompt names a language and a task where the model knows several
    first = 2 if multilingual else 0
    # with timestamps the prompt is one token shorter, and the first answer is a timestamp
    answers = ["<|0.00|>", *(token.replace(" ", "Ġ") for token in sentence), "<|endoftext|>"]
    rows = noise(len(tokens), WIDTH)
    for place, answer in enumerate(answers, first):
        rows[tokens.index(answer)] += _SURE * positions[place]
    if multilingual:
        _give_ears(spec, directions[:2])
        _answer_with_languages(rows, tokens, directions[:2], positions[0])
    spec.decoder.projection.weight = rows
    return spec


def _give_ears(spec: Any, directions: Any) -> None:
    """Let two encoder channels hear low and high sound, and the decoder learn of it."""
    contrast = np.repeat([1, -1], MELS // 2) * 8 / MELS
    for channel, weights in ((_LOW, contrast), (_HIGH, -contrast)):
        itself = np.eye(WIDTH)[channel]
        for conv, row in ((spec.encoder.conv1, weights), (spec.encoder.conv2, itself)):
            conv.weight[channel], conv.bias[channel] = 0, 0
            conv.weight[channel, :, 1] = row
        spec.encoder.position_encodings.encodings[:, channel] = 0
        for layer in spec.encoder.layer:
            for linear in (layer.self_attention.linear[1], layer.ffn.linear_1):
                linear.weight[channel], linear.bias[channel] = 0, 0
        _, values, out = spec.decoder.layer[-1].attention.linear
        values.weight[WIDTH + channel] = itself
        out.weight[:, channel] = _HEARD * directions[channel]


def _answer_with_languages(rows: Any, tokens: list[str], directions: Any, start: Any) -> None:
    """Make the rows of languages answer to what was heard, at the first position."""
    for language, channel in ((LOW_LANGUAGE, _LOW), (HIGH_LANGUAGE, _HIGH)):
        rows[tokens.index(f"<|{language}|>")] += _LIKELY * directions[channel]
    rows[tokens.index(f"<|{SPARE_LANGUAGE}|>")] += _SPARE * start


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
    build(Path(sys.argv[1]), multilingual="--multilingual" in sys.argv[2:])
