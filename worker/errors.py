"""What the trainer refuses, in sentences that tell a person what to do."""

from app.errors import DomainError

# What annotators may read: the reason might name the policy, and stands in the worker's log.
BROKEN_OFF = (
    "The model broke off. Let it write again; if that happens again, tell an admin, who finds the "
    "reason in the worker's log."
)


class TrainerError(DomainError):
    """Training cannot start or go on; what was saved before stays as it is."""

    status = 422
    title = "The trainer stopped"


class ModelNotFound(TrainerError):
    """A base model that does not exist, or whose weights are in a form that is refused."""

    status = 404
    title = "No such base model"


class Stopped(Exception):
    """A run ended at a step boundary because it was asked to (SIGTERM); its checkpoint is saved."""
