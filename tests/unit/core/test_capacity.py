"""Workers, memory and disk of a load."""

from pathlib import Path

import pytest
import yaml

from meet_transcriber.core.capacity import (
    API_GB,
    PROXY_GB,
    REDIS_GB,
    RESULT_MB_AN_HOUR,
    WORKER_GB,
    Load,
)

COMPOSE = yaml.safe_load((Path(__file__).parents[3] / "compose.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("recordings", "rtf", "workers"),
    [
        (1, 0.01, 1),  # never none
        (16.8, 1.0, 1),  # 24 h x 0.7 exactly
        (16.9, 1.0, 2),
        (100, 0.5, 3),
        (1000, 0.5, 30),
    ],
)
def test_workers_are_busy_for_seven_tenths_of_the_day(
    recordings: float, rtf: float, workers: int
) -> None:
    assert Load(recordings, minutes=60, rtf=rtf).workers == workers


def test_fewer_hours_need_more_workers() -> None:
    assert Load(100, minutes=60, rtf=0.5, hours=8).workers == 9


def test_memory_grows_by_the_worker() -> None:
    one, three = Load(1, 60, 0.5), Load(100, 60, 0.5)
    assert three.memory_gb - one.memory_gb == 2 * WORKER_GB
    assert one.memory_gb == API_GB + REDIS_GB + PROXY_GB + WORKER_GB


def test_disk_is_what_comes_in_and_what_is_made_of_it() -> None:
    # an hour: 128 kbit/s for 3600 s, 16-bit samples at 16 kHz, and the result
    an_hour = 57.6 + 115.2 + RESULT_MB_AN_HOUR
    assert Load(10, 60, 0.5, kept_days=2).disk_gb == pytest.approx(20 * an_hour / 1000)
    assert Load(10, 60, 0.5, kept_days=0).disk_gb == 0


@pytest.mark.parametrize(
    ("service", "gigabytes"),
    [("api", API_GB), ("worker", WORKER_GB), ("redis", REDIS_GB), ("nginx", PROXY_GB)],
)
def test_memory_is_what_compose_limits_it_to(service: str, gigabytes: float) -> None:
    limit = str(COMPOSE["services"][service]["mem_limit"]).rpartition(":-")[2].rstrip("}")
    unit = {"m": 1 / 1024, "g": 1.0}[limit[-1]]
    assert float(limit[:-1]) * unit == gigabytes
