"""An endpoint for clients of OpenAI's audio API: the same requests, fields, formats and errors."""
