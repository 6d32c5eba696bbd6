"""`prefloop-worker`: the trainer's command line. `run` is the daemon; the rest run one stage."""

import importlib
import sys
from importlib.util import find_spec

import typer

from app.errors import DomainError
from worker.errors import Stopped
from worker.runtime import install_stop_handler, set_thread_environment

# The module of a command is imported when the command is asked for: --help stays quick.
COMMANDS = {
    "run": ("worker.daemon", "run_daemon"),
    "sft": ("worker.policy.command", "sft"),
    "reward": ("worker.reward.command", "reward"),
    "score": ("worker.reward.asking", "score"),
    "evaluate": ("worker.reward.evaluating", "evaluate"),
    "worth": ("worker.reward.leaving", "worth"),
    "policy": ("worker.policy.command", "policy"),
    "sample": ("worker.policy.command", "sample"),
    "select": ("worker.select.command", "select"),
    "live": ("worker.select.command", "live"),
    "talk": ("worker.policy.command", "talk"),
    "demo": ("worker.demo.command", "demo"),
}
KILLED_BY_SIGTERM = 143


def build_app(asked: str | None) -> typer.Typer:
    """The command line with the command that was asked for, or with all of them."""
    app = typer.Typer(
        help="Train reward models and policies from files, or serve a Prefloop installation.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_one_stage_or_the_daemon)
    for name, (module, function) in COMMANDS.items():
        if asked in COMMANDS and name != asked:
            continue
        if find_spec(module) is not None:
            app.command(name)(getattr(importlib.import_module(module), function))
    return app


def main() -> None:
    """Run one command; a refusal is a sentence and code 1, SIGTERM is code 143."""
    set_thread_environment()
    asked = sys.argv[1] if len(sys.argv) > 1 else None
    if asked != "run":
        install_stop_handler()
    try:
        build_app(asked)()
    except DomainError as error:
        _tell(error.message)
        sys.exit(1)
    except Stopped as stopped:
        sys.stderr.write(f"{stopped}\n")
        sys.exit(KILLED_BY_SIGTERM)


def _one_stage_or_the_daemon() -> None:
    """Train reward models and policies from files, or serve a Prefloop installation."""


def _tell(message: str) -> None:
    from worker.progress import JsonProgress

    words = " ".join(sys.argv[1:])
    if "--progress json" in words or "--progress=json" in words:
        JsonProgress(sys.stdout).error(message)
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    main()
