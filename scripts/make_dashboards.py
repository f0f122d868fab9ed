"""Write deploy/monitoring/grafana/dashboards: `python -m scripts.make_dashboards` (`make docs`).

A dashboard consists of rows of panels, a panel of queries; positions and ids are computed.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring" / "grafana" / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _HEIGHT = 24, 8


class Panel(NamedTuple):
    """A graph: its title, its queries with their legends, and one of Grafana's units."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"


def _by(name: str, labels: str, window: str = "$__rate_interval") -> str:
    return f"sum by ({labels}) (rate({name}[{window}]))"


def _quantile(name: str, q: float, labels: str = "le") -> str:
    return f"histogram_quantile({q}, sum by ({labels}) (rate({name}_bucket[$__rate_interval])))"


def _most(name: str, labels: str) -> str:
    return f"max by ({labels}) ({name})"


WORK = [
    [
        Panel("Tasks", [(_most("transcription_tasks", "queue, state"), "{{queue}} {{state}}")]),
        Panel("Queue length", [(_most("celery_queue_length", "queue"), "{{queue}}")]),
        Panel(
            "Age of the oldest ready task",
            [(_most("transcription_oldest_task_age_seconds", "queue"), "{{queue}}")],
            "s",
        ),
    ],
    [
        Panel("Unfinished jobs", [(_most("transcription_jobs", "state"), "{{state}}")]),
        Panel(
            "Ended jobs",
            [
                (
                    "sum by (state, code) (increase(transcription_jobs_ended_total[$__interval]))",
                    "{{state}} {{code}}",
                )
            ],
        ),
        Panel(
            "Audio not recognized yet",
            [("max(transcription_audio_left_seconds)", "audio")],
            "s",
        ),
    ],
    [
        Panel(
            "Time from submission to completion",
            [
                (_quantile("transcription_duration_seconds", q), f"p{q * 100:.0f}")
                for q in (0.5, 0.95)
            ],
            "s",
        ),
        Panel(
            "Wait for the first claim",
            [
                (_quantile("transcription_queue_wait_seconds", q), f"p{q * 100:.0f}")
                for q in (0.5, 0.95)
            ],
            "s",
        ),
        Panel(
            "Submissions",
            [(_by("transcription_requests_total", "source, outcome"), "{{source}} {{outcome}}")],
            "reqps",
        ),
    ],
    [
        Panel(
            "Degraded transcripts",
            [("meet_transcriber:degraded_jobs:ratio_rate1h", "{{warning}}")],
            "percentunit",
        ),
        Panel(
            "Failed jobs",
            [("meet_transcriber:failed_jobs:ratio_rate30m", "failed")],
            "percentunit",
        ),
        Panel(
            "Transcribed audio",
            [("sum(rate(transcription_audio_seconds_total[$__rate_interval]))", "per second")],
            "s",
        ),
    ],
]

WORKERS = [
    [
        Panel("Workers", [(_most("transcription_workers", "queue, state"), "{{queue}} {{state}}")]),
        Panel(
            "Time since a worker reported",
            [
                (
                    "time() - max by (queue) (transcription_worker_last_seen_timestamp_seconds)",
                    "{{queue}}",
                )
            ],
            "s",
        ),
        Panel(
            "Expired leases",
            [(_by("transcription_lease_expiries_total", "stage"), "{{stage}}")],
            "ops",
        ),
    ],
    [
        Panel(
            "Task duration by stage",
            [(_quantile("transcription_task_seconds", 0.95, "stage, le"), "{{stage}} p95")],
            "s",
        ),
        Panel(
            "Ended tasks",
            [
                (
                    "sum by (stage, outcome) (rate(transcription_task_seconds_count"
                    "[$__rate_interval]))",
                    "{{stage}} {{outcome}}",
                )
            ],
            "ops",
        ),
        Panel(
            "Real-time factor",
            [
                (
                    _quantile("transcription_realtime_factor", 0.5, "engine, model, le"),
                    "{{engine}} {{model}} p50",
                )
            ],
        ),
    ],
    [
        Panel(
            "Recognized audio",
            [
                (
                    _by("transcription_recognized_audio_seconds_total", "engine, model"),
                    "{{engine}} {{model}}",
                )
            ],
            "s",
        ),
        Panel(
            "GPU memory",
            [
                ("transcription_gpu_memory_used_bytes", "{{instance}} {{gpu}} used"),
                ("transcription_gpu_memory_size_bytes", "{{instance}} {{gpu}} size"),
            ],
            "bytes",
        ),
        Panel(
            "Engine start",
            [
                (_most("transcription_engine_fetch_seconds", "part"), "{{part}} fetch"),
                (_most("transcription_engine_load_seconds", "part"), "{{part}} load"),
            ],
            "s",
        ),
    ],
]

API = [
    [
        Panel("Requests", [(_by("http_requests_total", "route, status"), "{{route}} {{status}}")]),
        Panel(
            "Request duration by route",
            [(_quantile("http_request_duration_seconds", 0.95, "route, le"), "{{route}} p95")],
            "s",
        ),
        Panel(
            "Slow and failed requests",
            [
                ("meet_transcriber:slow_requests:ratio_rate5m", "slow"),
                ("meet_transcriber:failed_requests:ratio_rate5m", "failed"),
            ],
            "percentunit",
        ),
    ],
    [
        Panel("Uploads", [("sum(rate(transcription_uploads_total[$__rate_interval]))", "uploads")]),
        Panel(
            "Received bytes",
            [("sum(rate(transcription_upload_bytes_total[$__rate_interval]))", "bytes")],
            "Bps",
        ),
        Panel(
            "Webhooks",
            [(_by("transcription_webhook_attempts_total", "outcome"), "{{outcome}}")],
            "ops",
        ),
    ],
    [
        Panel(
            "Store usage",
            [("meet_transcriber:store_used:ratio", "{{store}} {{kind}}")],
            "percentunit",
        ),
        Panel("Responding stores", [(_most("transcription_store_up", "store"), "{{store}}")]),
        Panel("Memory", [("process_resident_memory_bytes", "{{job}} {{instance}}")], "bytes"),
    ],
    [
        Panel(
            "Versions",
            [("count by (version) (meet_transcriber_build_info)", "{{version}}")],
        )
    ],
]

DASHBOARDS = {
    "meet-transcriber-work": ("Meet Transcriber: work", WORK),
    "meet-transcriber-workers": ("Meet Transcriber: workers", WORKERS),
    "meet-transcriber-api": ("Meet Transcriber: API and stores", API),
}


def text(uid: str) -> str:
    """A dashboard in Grafana's JSON model."""
    title, rows = DASHBOARDS[uid]
    dashboard = {
        "uid": uid,
        "title": title,
        "tags": ["meet-transcriber"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_variable()]},
        "panels": list(_placed(rows)),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _placed(rows: Sequence[Sequence[Panel]]) -> Iterator[dict[str, Any]]:
    ids = count(1)
    for down, row in enumerate(rows):
        width = _COLUMNS // len(row)
        for across, panel in enumerate(row):
            place = {"x": across * width, "y": down * _HEIGHT, "w": width, "h": _HEIGHT}
            yield _panel(panel, next(ids), place)


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expr, "legendFormat": name}
            for at, (expr, name) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    for uid in DASHBOARDS:
        (FOLDER / f"{uid}.json").write_text(text(uid), encoding="utf-8")
