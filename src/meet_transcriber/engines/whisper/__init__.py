"""Whisper on CTranslate2: a batched decoder that keeps every result with its window."""
