"""Traces with OpenTelemetry: one trace from a request to the last task of its job."""

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
_CLOSE_SECONDS = 3.0
"""The timeout of the SDK does not interrupt an export that has started."""


class OpenTelemetry:
    """
    A Tracer that sends spans from a background thread to the collector at `endpoint`.

    `service` names this process, unless OTEL_SERVICE_NAME is set.
    """

    def __init__(self, endpoint: str, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH)
        self._provider.add_span_processor(_QueryRemover())
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(self._provider)
        self._tracer = self._provider.get_tracer("meet_transcriber")
        self._propagator = TraceContextTextMapPropagator()

    def current(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def span(
        self, name: str, parent: str, pairs: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        current = trace.get_current_span().get_span_context()
        links = [trace.Link(current)] if current.is_valid else []
        parent_context = self._propagator.extract({"traceparent": parent}, context.Context())
        found: AbstractContextManager[object] = self._tracer.start_as_current_span(
            name, context=parent_context, links=links, attributes=dict(pairs)
        )
        return found

    def close(self) -> None:
        """Export pending spans for at most a few seconds, as the collector may be down."""
        export = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        export.start()
        export.join(_CLOSE_SECONDS)


class _QueryRemover(SpanProcessor):  # type: ignore[misc]  # it may not be installed
    """Removes query strings, which contain search terms and addresses."""

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:  # noqa: ARG002
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "-")


def instrument_celery() -> None:
    """Record a span for each message that is sent or received."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415

    CeleryInstrumentor().instrument()
