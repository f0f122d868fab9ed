"""Traces by OpenTelemetry: one trace from a request to the last task of its job."""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PATH = "/v1/traces"
_PATIENCE_SECONDS = 3.0
"""What the SDK calls a timeout does not end an attempt that is under way."""


class OpenTelemetry:
    """
    A Tracer that sends spans to a collector, in a thread of its own.

    Args:
        endpoint: the collector's address, without the path of traces.
        service: what this process is called, unless OTEL_SERVICE_NAME says it.
    """

    def __init__(self, endpoint: str, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH)
        self._provider.add_span_processor(_WithoutQueries())
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(self._provider)
        self._tracer = self._provider.get_tracer("meet_transcriber")
        self._wire = TraceContextTextMapPropagator()

    def current(self) -> str:
        carrier: dict[str, str] = {}
        self._wire.inject(carrier)
        return carrier.get("traceparent", "")

    def span(
        self, name: str, parent: str, pairs: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        here = trace.get_current_span().get_span_context()
        links = [trace.Link(here)] if here.is_valid else []
        above = self._wire.extract({"traceparent": parent}, context.Context())
        found: AbstractContextManager[object] = self._tracer.start_as_current_span(
            name, context=above, links=links, attributes=dict(pairs)
        )
        return found

    def close(self) -> None:
        """Send what is left, for seconds; a collector that is away holds up nobody's end."""
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_PATIENCE_SECONDS)


class _WithoutQueries(SpanProcessor):  # type: ignore[misc]  # it may not be installed
    """What somebody searches for, or names in an address, is nobody else's business."""

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:  # noqa: ARG002
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "-")


def instrument_celery() -> None:
    """Each message that is sent or taken becomes a span."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415

    CeleryInstrumentor().instrument()
