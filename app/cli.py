"""The command `prefloop`: the web half's console.

Nothing here imports torch; the demonstration of the whole loop runs in a process of the worker.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.errors import DomainError
from app.settings import get_settings

app = typer.Typer(
    help="Prefloop: people compare, a reward model learns, a policy improves.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@contextmanager
def connected() -> Iterator[str]:
    """The database for one command: DATABASE_URL, the running server, or one of our own."""
    from app import db
    from app.postgres import database_url

    with database_url(get_settings()) as url:
        os.environ["DATABASE_URL"] = url
        get_settings.cache_clear()
        try:
            db.migrate(url)
            yield url
        finally:
            db.get_engine().dispose()


@app.command()
def run() -> None:
    """Start the database, the web server and one worker; Ctrl-C stops them."""
    from app.supervisor import run_everything

    run_everything(get_settings(), prepare)


def site() -> str:
    """The web server's address as the beginning of a link."""
    from app.supervisor import address

    return address(get_settings()).rstrip("/")


def prepare(url: str) -> list[str]:
    """First start: load the demonstration and make the first owner's sign-in link."""
    from app import db
    from app.accounts.service import make_owner_link
    from app.demonstration import load_demonstration

    os.environ["DATABASE_URL"] = url
    get_settings.cache_clear()
    lines = [f"Loaded the demonstration project {name}." for name in load_demonstration()]
    with db.session_scope() as session:
        link = make_owner_link(session)
    if link:
        lines.append(f"Sign in once with this link: {site()}{link}")
    db.get_engine().dispose()
    return lines


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    with connected():
        typer.echo("The database is at the newest schema.")


@app.command()
def render() -> None:
    """Render anew what an older Prefloop rendered; pages do it for what they show by themselves."""
    from app.collect.rerender import render_guidelines_anew, render_some_anew
    from app.db import session_scope

    n = 0
    with connected():
        with session_scope() as session:
            render_guidelines_anew(session)
        while True:
            with session_scope() as session:
                n_now = render_some_anew(session)
            if not n_now:
                break
            n += n_now
    typer.echo(f"Rendered {n:,} texts anew.")


@app.command("sign-in-link")
def sign_in_link(email: str) -> None:
    """Print a link that signs this person in once, for a lost password."""
    from app.accounts.service import make_sign_in_link
    from app.db import session_scope

    with connected(), session_scope() as session:
        typer.echo(f"{site()}{make_sign_in_link(session, email)}")


@app.command("import")
def import_prompts(
    project: Annotated[str, typer.Argument(help="The project's name in its address.")],
    file: Annotated[Path, typer.Argument(help="JSON lines, or the same as .gz.")],
) -> None:
    """Import prompts and completions into a project: all of the file or none of it."""
    from rich.progress import Progress

    from app.datasets.service import import_file

    with connected(), Progress(transient=True) as bar:
        task = bar.add_task(file.name, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        result = import_file(file, project, show)
    typer.echo(
        f"Imported {result.n_prompts:,} prompts, {result.n_completions:,} completions and "
        f"{result.n_pairs:,} pairs from {result.n_lines:,} lines."
    )


@app.command("export")
def export_preferences(
    project: Annotated[str, typer.Argument(help="The project's name in its address.")],
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    number: Annotated[int | None, typer.Option(help="Which preference set; the newest.")] = None,
    split: Annotated[str | None, typer.Option(help="train or eval; both.")] = None,
) -> None:
    """Write a frozen preference set as JSON lines that datasets and TRL load as they are."""
    from app.datasets.service import export_file

    with connected():
        n = export_file(project, number, out, split)
    typer.echo(f"Wrote {n:,} comparisons to {out}.")


@app.command()
def agreement(
    ratings: Annotated[Path, typer.Option(help="CSV: item, annotator, rating.")],
    level: Annotated[str, typer.Option(help="nominal, ordinal, interval or ratio.")] = "ordinal",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seed: Annotated[int, typer.Option(help="Of the interval's draws.")] = 0,
) -> None:
    """How far people agree, in any file of ratings; it needs no database."""
    import json

    from app.agree.alpha import Level
    from app.agree.ratings import agreement, read_ratings
    from app.errors import Invalid

    if level not in list(Level):
        raise Invalid(f"“{level}” is no level. Use {', '.join(Level)}.")
    found = agreement(read_ratings(ratings), Level(level), seed=seed).as_json()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        shown = "undefined" if value is None else f"{value:.4g}"
        typer.echo(f"{name.replace('_', ' '):22} {shown}")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def demo(context: typer.Context) -> None:
    """Turn the loop with simulated annotators whose taste is known; see `prefloop demo --help`.

    Without PREFLOOP_DATA or DATABASE_URL it keeps its rows in a folder of its own.
    """
    command = [sys.executable, "-m", "worker.main", "demo", *context.args]
    if "--help" in context.args:
        raise typer.Exit(subprocess.run(command, check=False).returncode)
    settings = get_settings()
    if "data" not in settings.model_fields_set and not settings.database_url:
        os.environ["PREFLOOP_DATA"] = str(settings.data_folder / "demo")
        get_settings.cache_clear()
    with connected():
        result = subprocess.run(command, check=False, env=dict(os.environ))
    raise typer.Exit(result.returncode)


def main() -> None:
    """The console script: refusals are one sentence on standard error and exit code 1."""
    try:
        app()
    except DomainError as error:
        where = f"line {error.line}: " if error.line is not None else ""
        typer.secho(f"prefloop: {where}{error.message}", err=True, fg="red")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
