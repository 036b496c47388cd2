"""A trace goes on through the cache: what the app does in a render belongs to the request that began it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clients import Client, Gate, fetch, page
from harness import Spy, a_cache, assert_stored, eventually, serving
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asgi_diskcache import DiskCacheMiddleware


class Traces:
    """What was traced of an app that traces its work."""

    def __init__(self) -> None:
        self.gate = Gate()
        self._ended = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._ended))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait at the gate, and answer as a piece of work."""
        await self.gate.passed()
        with self._provider.get_tracer("site").start_as_current_span("work"):
            await page()(scope, receive, send)

    def around(self, app: Any) -> Any:
        """An app whose requests are traced."""
        return OpenTelemetryMiddleware(app, tracer_provider=self._provider)

    def request_of_the_work(self) -> str:
        """The name of the request to which the work belongs, once both have ended."""
        work = eventually(lambda: self._named("work"), "the work to end")
        return str(eventually(lambda: self._parent_of(work), "its request to end").name)

    def _named(self, name: str) -> ReadableSpan | None:
        return next((span for span in self._ended.get_finished_spans() if span.name == name), None)

    def _parent_of(self, span: ReadableSpan) -> ReadableSpan | None:
        ended = {other.context.span_id: other for other in self._ended.get_finished_spans() if other.context}
        return ended.get(span.parent.span_id) if span.parent else None


def test_work_in_a_render_belongs_to_the_request_that_began_it(tmp_path: Path) -> None:
    traces, cache = Traces(), a_cache(tmp_path)
    traces.gate.open()
    with serving(traces.around(DiskCacheMiddleware(traces.app, cache)), lifespan="off") as port:
        fetch(port, "/a")
        assert traces.request_of_the_work() == "GET /a"


def test_it_does_so_when_that_client_has_left_meanwhile(tmp_path: Path) -> None:
    traces, cache = Traces(), a_cache(tmp_path)
    spy = Spy(traces.app)
    with serving(traces.around(DiskCacheMiddleware(spy, cache)), lifespan="off") as port:
        with Client(port, "/a"):
            eventually(lambda: spy.active, "the render to begin")
        traces.gate.open()
        assert_stored(cache, "/a")
        assert traces.request_of_the_work() == "GET /a"
