"""An endpoint for clients of OpenAI's audio API: the same requests, fields, formats and errors."""

from meet_transcriber.api.openai.routes import openai_router

__all__ = ["openai_router"]
