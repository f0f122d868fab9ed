"""A real uvicorn on 127.0.0.1 that serves /v1, for the official client."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import uvicorn
from fastapi import FastAPI

PATIENCE_SECONDS = 120.0


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve for as long as the context lasts; gives the base URL."""
    config = uvicorn.Config(app, "127.0.0.1", 0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def client_of(app: FastAPI, retries: int = 0) -> Iterator[openai.OpenAI]:
    """The official client, talking to an app that is served."""
    with (
        serving(app) as url,
        openai.OpenAI(
            base_url=url, api_key="-", timeout=PATIENCE_SECONDS, max_retries=retries
        ) as client,
    ):
        yield client
