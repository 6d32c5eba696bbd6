"""The losses that a run tried before it learnt, each beside plain Bradley-Terry. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tried:
    """A loss by held-out log-loss of heads on the untrained network's features, in nats.

    `gain` is the log-loss of the plain one less this one's over the same pairs; `error` its
    standard error.
    """

    name: str
    log_loss: float
    accuracy: float
    gain: float
    error: float
    is_chosen: bool


def list_tried(report: Mapping[str, Any]) -> list[Tried]:
    """The best first; empty where the loss was asked for by name or there was too little data."""
    chosen = _name_of(report.get("configuration") or {})
    found = [
        Tried(
            name,
            one["log_loss"],
            one["accuracy"],
            one["gain"],
            one["gain_standard_error"],
            name == chosen,
        )
        for name, one in (report.get("losses_tried") or {}).items()
    ]
    return sorted(found, key=lambda one: one.log_loss)


def as_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    head = ["loss", "log_loss", "accuracy", "gain", "standard_error", "is_chosen"]
    return head, [
        [one.name, one.log_loss, one.accuracy, one.gain, one.error, one.is_chosen]
        for one in list_tried(report)
    ]


def _name_of(configuration: Mapping[str, Any]) -> str:
    loss = str(configuration.get("loss"))
    if loss == "soft":
        return f"soft at {configuration.get('soft_temperature'):g}"
    if loss == "ties":
        return f"ties within {configuration.get('tie_threshold'):g}"
    return loss
