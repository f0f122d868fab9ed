"""
Structured log lines, as text for a terminal or as JSON; those of libraries look the same.

    log = get_logger(__name__)
    log.info("job_finished", audio_seconds=1812.4, rtf=0.08, speakers=4)

Log lines contain no speech and no names of recordings.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from json import JSONEncoder
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars
from structlog.typing import EventDict

from meet_transcriber.core.errors import InvalidOptions

PACKAGE = "meet_transcriber"
SERVERS = ("uvicorn", "celery")
"""Libraries logged at our level, as they start and stop our processes."""

_VERBOSE = ("celery.app.trace", "celery.worker.strategy")
"""They log every message; our own lines log every task."""
_EXPORTERS = ("boto3", "botocore", "urllib3", "watchtower", "opentelemetry")
"""They send log lines and traces, so logging their requests would never end."""
_MULTIPROCESSING = "multiprocessing"
"""The logger of Celery's pool, which does not propagate to the root logger."""
_UNUSED_KEYS = ("color_message", "data", "taskName")


Trace = bool | BaseException | None
"""Whether to log the traceback of the exception that is being handled, or that of another one."""


class Logger:
    """Writes events with pairs through the standard library, so that a program may redirect it."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name).log

    def debug(self, event: str, **pairs: object) -> None:
        self._log(logging.DEBUG, event, extra=pairs)

    def info(self, event: str, **pairs: object) -> None:
        self._log(logging.INFO, event, extra=pairs)

    def warning(self, event: str, exc_info: Trace = False, **pairs: object) -> None:
        self._log(logging.WARNING, event, exc_info=exc_info, extra=pairs)

    def error(self, event: str, exc_info: Trace = False, **pairs: object) -> None:
        self._log(logging.ERROR, event, exc_info=exc_info, extra=pairs)

    def critical(self, event: str, exc_info: Trace = False, **pairs: object) -> None:
        self._log(logging.CRITICAL, event, exc_info=exc_info, extra=pairs)

    def exception(self, event: str, **pairs: object) -> None:
        self.error(event, exc_info=True, **pairs)


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return Logger(name)


bind, bound, bound_pairs = bind_contextvars, bound_contextvars, get_contextvars
"""
Functions of structlog for pairs on every line of this task or thread and of those that it starts:
add some, add some while a context lasts, and return all.
"""


def configure(
    level: str,
    *,
    as_json: bool = False,
    cloudwatch_group: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """
    Write lines from `level` on to stderr; libraries log warnings only, at DEBUG everything.

    A second call replaces the first one's configuration, as a forked process needs.

    Args:
        cloudwatch_group: an AWS CloudWatch log group that receives every line as JSON, too.

    Raises:
        InvalidOptions: the extra `cloudwatch` is not installed, or AWS is not configured.
    """
    number = logging.getLevelNamesMapping()[level]
    stream = stream or sys.stderr
    console = logging.StreamHandler(stream)
    console.setFormatter(formatter(as_json, colours=stream.isatty()))
    handlers: list[logging.Handler] = [console]
    if cloudwatch_group:
        handlers.append(_cloudwatch(cloudwatch_group))
    _collect_less()
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(number if number == logging.DEBUG else max(number, logging.WARNING))
    for name in (PACKAGE, *SERVERS):
        logging.getLogger(name).setLevel(number)
    for name in (*_VERBOSE, *_EXPORTERS):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    _redirect_uvicorn()
    logging.getLogger(_MULTIPROCESSING).handlers = handlers
    logging.getLogger(_MULTIPROCESSING).propagate = False
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    threading.excepthook = lambda end: _log_crash(end.exc_type, end.exc_value, end.exc_traceback)


def _collect_less() -> None:
    """Collect nothing for a record that no line shows: the caller, thread and process."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # as Python's documentation of logging advises


def _log_crash(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log an uncaught exception."""
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        logging.getLogger(PACKAGE).critical("crashed", exc_info=(kind, error, trace))


def _redirect_uvicorn() -> None:
    """Undo uvicorn's own configuration; its access log would repeat our request log."""
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    access.addHandler(logging.NullHandler())


class _Formatter(logging.Formatter):
    """
    Renders an event, the pairs of its task or thread, and its own.

    Structlog's ProcessorFormatter does the same by copying each record and passing it through a
    chain of processors, which takes three times as long; a small request is mostly its log line.
    """

    def __init__(self, render: Callable[[EventDict], str]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        event: EventDict = {"event": record.getMessage(), **get_contextvars()}
        event["level"], event["logger"] = record.levelname.lower(), record.name
        for name, value in vars(record).items():
            if name not in _STANDARD:
                event[name] = value
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        event["timestamp"] = moment.replace("+00:00", "Z")
        if record.exc_info:
            event["exc_info"] = record.exc_info
        if record.stack_info:
            event["stack"] = record.stack_info
        return self._render(event)


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", *_UNUSED_KEYS}
"""What every record has; all else was given with it."""


def formatter(as_json: bool, colours: bool = False) -> logging.Formatter:
    """Formats an event and its pairs as text or as JSON."""
    if as_json:
        to_json, with_trace = JSONEncoder(default=str).encode, structlog.processors.format_exc_info
        return _Formatter(lambda event: to_json(with_trace(None, "", event)))
    # plain tracebacks, as rich ones show the values of variables, which may be secrets
    show = structlog.dev.plain_traceback
    to_text = structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=show, pad_event_to=0
    )
    has_trace = {"exc_info", "exception", "stack"}.intersection
    return _Formatter(
        lambda event: (
            to_text(None, "", event) if colours or has_trace(event) else _plain_text(event)
        )
    )


_AMBIGUOUS = re.compile("[ \\t=\\r\\n\"']").search


def _plain_text(event: EventDict) -> str:
    """Render what ConsoleRenderer renders without colours, in a tenth of the time."""
    start = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')}"
    logger = event.pop("logger")
    pairs = [
        f"{name}={value if isinstance(value, str) and not _AMBIGUOUS(value) else repr(value)}"
        for name, value in sorted(event.items())
    ]
    return " ".join([start, f"[{logger}]", *pairs])


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
