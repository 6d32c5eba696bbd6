"""`prefloop-worker score`: what a reward model says of completions, and how sure it is."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.options import Device, Threads, Voice
from worker.progress import finite, make_progress

_AT_ONCE = 1_024


def score(
    *,
    completions: Annotated[
        Path, typer.Option("--completions", help="JSON lines: prompt and completion, or messages.")
    ],
    reward_model: Annotated[str, typer.Option(help="Folder of the reward model.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The same lines with score, standard_error and, with an ensemble, "
            "ensemble_standard_error."
        ),
    ],
    max_length: Annotated[
        int | None, typer.Option(min=8, help="Tokens; by default what the model was trained with.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Score completions. A standard error is that of the score beside the mean completion's."""
    from worker.reward.reader import Reader
    from worker.runtime import end_runtime, refuse_several_processes, start_runtime

    voice, runtime = make_progress(progress), start_runtime(0, device=device, threads=threads)
    refuse_several_processes(runtime, "Scoring")
    reader = Reader(
        reward_model, runtime, voice, max_length=max_length, batch_size=batch_size,
        doing="Scoring completions",
    )  # fmt: skip
    rows = list(_read(completions))
    partial = out.with_name(f"{out.name}.part")
    with partial.open("w", encoding="utf-8") as stream:
        for start in range(0, len(rows), _AT_ONCE):
            stream.writelines(_lines(reader, rows[start : start + _AT_ONCE]))
    partial.replace(out)
    has_errors = reader.layer is not None
    voice.result({"n": len(rows), "temperature": reader.temperature, "has_errors": has_errors})
    end_runtime(runtime)


def _lines(reader: Any, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = reader.read([row["conversation"] for row in rows])
    columns = {
        "score": found.scores,
        "standard_error": found.errors,
        "ensemble_standard_error": found.spread,
    }
    for index, row in enumerate(rows):
        said = {name: float(all_[index]) for name, all_ in columns.items() if all_ is not None}
        yield json.dumps(finite({**row["line"], **said}), ensure_ascii=False) + "\n"


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """{line, conversation} of each line. Raises Invalid, which names the line, and TrainerError."""
    from worker.errors import TrainerError

    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line, number)


def _parse(line: str, number: int) -> dict[str, Any]:
    from worker.reward.data import read_messages, read_object

    row = read_object(line, number)
    if "messages" in row:
        return {"line": row, "conversation": read_messages(row, "messages", "user", number)}
    prompt = read_messages(row, "prompt", "user", number)
    completion = read_messages(row, "completion", "assistant", number)
    return {"line": row, "conversation": [*prompt, *completion]}
