"""
Log lines: an event and its pairs, for a terminal or as JSON; those of libraries look alike.

    log = get_logger(__name__)
    log.info("job_finished", audio_seconds=1812.4, rtf=0.08, speakers=4)

No speech and no name of a recording ever goes into a line.
"""

import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from meet_transcriber.core.errors import InvalidOptions

PACKAGE = "meet_transcriber"
SERVERS = ("uvicorn", "celery")
"""Libraries that are heard as much as we are: what they do at start and end is ours."""

_CHATTY = ("celery.app.trace", "celery.worker.strategy")
"""They tell of every message; our own lines tell of every task."""
_CARRIERS = ("boto3", "botocore", "urllib3", "watchtower", "opentelemetry")
"""They send lines and traces, so a line of theirs for each of ours would never end."""
_APART = "multiprocessing"
"""The logger of processes and of Celery's pool; it keeps its lines from all others' handlers."""
_CLUTTER = ("color_message", "data", "taskName")


def get_logger(name: str) -> BoundLogger:
    """A logger whose lines go through the standard library's, so that any program may keep them."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def bind(**pairs: str) -> None:
    """Have every line of this task or thread, and of what it starts, tell these pairs."""
    bind_contextvars(**pairs)


def bound(**pairs: str) -> AbstractContextManager[None]:
    """The same as long as the context lasts."""
    return bound_contextvars(**pairs)


def now_bound(name: str) -> str:
    """The value that is bound to a name; empty without one."""
    return str(get_contextvars().get(name, ""))


def set_up(
    level: str,
    *,
    as_json: bool = False,
    cloudwatch_group: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """
    Lines on stderr from `level` on; libraries are heard from warnings on, at DEBUG wholly.

    A second call replaces what the first one did, as a forked process needs.

    Args:
        cloudwatch_group: a log group of AWS CloudWatch that gets every line, too, as JSON.

    Raises:
        InvalidOptions: the extra `cloudwatch` is not installed, or AWS is not set up.
    """
    number = logging.getLevelNamesMapping()[level]
    stream = stream or sys.stderr
    here = logging.StreamHandler(stream)
    here.setFormatter(formatter(as_json, colours=stream.isatty()))
    handlers: list[logging.Handler] = [here]
    if cloudwatch_group:
        handlers.append(_cloudwatch(cloudwatch_group))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(number if number == logging.DEBUG else max(number, logging.WARNING))
    _level({PACKAGE: number, **dict.fromkeys(SERVERS, number)})
    _level(dict.fromkeys((*_CHATTY, *_CARRIERS), max(number, logging.WARNING)))
    _adopt_uvicorn()
    logging.getLogger(_APART).handlers = handlers
    logging.getLogger(_APART).propagate = False
    logging.captureWarnings(True)
    sys.excepthook = _crashed
    threading.excepthook = lambda end: _crashed(end.exc_type, end.exc_value, end.exc_traceback)


def _crashed(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """What nobody caught is told as everything else is."""
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        logging.getLogger(PACKAGE).critical("crashed", exc_info=(kind, error, trace))


def _level(levels: Mapping[str, int]) -> None:
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def _adopt_uvicorn() -> None:
    """Its command gives its loggers handlers and levels; its access log would say all twice."""
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    access.addHandler(logging.NullHandler())


def formatter(as_json: bool, colours: bool = False) -> logging.Formatter:
    """How a line looks: pairs and all, as text or as JSON."""
    before: Sequence[Processor] = (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_clutter,
    )
    # plain tracebacks: a rich one would show the values of variables, secrets among them
    last: Sequence[Processor] = (
        (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str))
        if as_json
        else (
            structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            ),
        )
    )
    return ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[ProcessorFormatter.remove_processors_meta, *last],
    )


def _without_clutter(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in _CLUTTER:
        event.pop(name, None)
    return event


def _cloudwatch(group: str) -> logging.Handler:
    try:
        import boto3  # noqa: PLC0415 - an extra
        import watchtower  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise InvalidOptions(
            "CLOUDWATCH_LOG_GROUP needs a package that is not installed; run: "
            "pip install 'meet-transcriber[cloudwatch]'"
        ) from error
    try:
        handler: Any = watchtower.CloudWatchLogHandler(
            log_group_name=group,
            log_stream_name="{machine_name}/{process_id}",
            boto3_client=boto3.client("logs", region_name=os.environ.get("AWS_REGION") or None),
        )
    except (BotoCoreError, ClientError) as error:
        raise InvalidOptions(
            f"CLOUDWATCH_LOG_GROUP={group} cannot be used: {error}. AWS_REGION names the region; "
            "the role needs logs:CreateLogGroup, logs:CreateLogStream and logs:PutLogEvents."
        ) from error
    handler.setFormatter(formatter(as_json=True))
    found: logging.Handler = handler
    return found
