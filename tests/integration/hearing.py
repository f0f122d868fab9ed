"""What makes a process hear with real weights, and with none."""

import os
from collections.abc import Mapping

ONNX = "onnx segmentation-3.0 campplus-zh-en-common"
"""The name of the default diarizer with its default models."""

TINY: Mapping[str, str] = {
    "WHISPER_MODEL": "tiny.en",
    "DIARIZATION_ENGINE": "onnx",
    "HF_HUB_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
}
"""Whisper tiny.en and the diarizer onnx out of MODELS_DIR, as `make test` has them; offline."""

BASE: Mapping[str, str] = {**TINY, "WHISPER_MODEL": "base"}
"""The default model, as `make test-system` has it."""

NO_INDEX: Mapping[str, str] = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",  # nobody listens there
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_NO_INDEX": "",
}
"""A package index that is away, whatever pip is set up with here."""

NO_HUB: Mapping[str, str] = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_HUB_OFFLINE": "0",
    "NO_PROXY": "127.0.0.1",
}
"""A hub that is away."""
