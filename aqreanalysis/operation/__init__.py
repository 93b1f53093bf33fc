"""Hourly operation: a store that is brought up to date, its health, and files for others."""

from aqreanalysis.operation.health import Health, health
from aqreanalysis.operation.result import UpdateResult
from aqreanalysis.operation.updating import update

__all__ = ["Health", "UpdateResult", "health", "update"]
