"""How fast the environment is, and where its time goes, beside the physics alone."""

from mimic.benchmark.measure import Measurement, benchmark
from mimic.benchmark.report import (
    environment_facts,
    measurement_table,
    scaling_table,
    stage_table,
    to_dict,
)

__all__ = [
    "Measurement",
    "benchmark",
    "environment_facts",
    "measurement_table",
    "scaling_table",
    "stage_table",
    "to_dict",
]
