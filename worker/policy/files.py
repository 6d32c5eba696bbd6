"""What the policy stages read and write: prompts, demonstrations, finished policies, reports."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worker.checkpoints import MANIFEST, read_manifest, verify, write_artefact
from worker.errors import TrainerError
from worker.policy.sample import Prompt
from worker.progress import finite
from worker.provenance import file_hash, library_versions


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON lines file. Raises TrainerError that names the line."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _object(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path} cannot be read: {error}") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise TrainerError(f"{path}, line {number}: not JSON ({error}).", line=number) from error
    if not isinstance(found, dict):
        raise TrainerError(f"{path}, line {number}: not a JSON object.", line=number)
    return found


def read_prompts(path: Path) -> list[tuple[str, Prompt]]:
    """(id, messages) of each line; the line number where no id is given.

    A prompt is a string (one user message) or a list of messages. Raises TrainerError.
    """
    prompts = [
        (str(line.get("id") or number), _messages(path, number, line.get("prompt")))
        for number, line in read_lines(path)
    ]
    if not prompts:
        raise TrainerError(f"{path} holds no prompts. Give at least one line with “prompt”.")
    return prompts


def read_demonstrations(path: Path) -> list[tuple[Prompt, str]]:
    """(messages, completion) of each line. Raises TrainerError."""
    demonstrations = []
    for number, line in read_lines(path):
        completion = line.get("completion")
        if not isinstance(completion, str) or not completion.strip():
            raise TrainerError(
                f"{path}, line {number}: “completion” must be a text that is not empty.",
                field="completion",
                line=number,
            )
        demonstrations.append((_messages(path, number, line.get("prompt")), completion))
    if not demonstrations:
        raise TrainerError(f"{path} holds no demonstrations.")
    return demonstrations


def _messages(path: Path, number: int, prompt: Any) -> Prompt:
    if isinstance(prompt, str) and prompt.strip():
        return [{"role": "user", "content": prompt}]
    if isinstance(prompt, list) and prompt and all(_is_message(one) for one in prompt):
        return [{"role": one["role"], "content": one["content"]} for one in prompt]
    raise TrainerError(
        f"{path}, line {number}: “prompt” must be a text or a list of messages, each with a role "
        "and a content.",
        field="prompt",
        line=number,
    )


def _is_message(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("role"), str)
        and isinstance(one.get("content"), str)
    )


def hold_out(prompts: list[Prompt], n: int, seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """(training, held-out) prompts: different texts, at most a fifth of them held out."""
    distinct = list({json.dumps(prompt): prompt for prompt in prompts}.values())
    random.Random(seed).shuffle(distinct)  # noqa: S311 (must be seeded)
    n_held_out = min(n, max(1, len(distinct) // 5))
    if len(distinct) < 2:
        raise TrainerError("At least two different prompts are needed: one is held out.")
    return distinct[n_held_out:], distinct[:n_held_out]


def model_identity(name: str) -> str:
    """What a model is, wherever it lies: the hash of its manifest or weights, or its hub id."""
    folder = Path(name).expanduser()
    if (folder / MANIFEST).is_file():
        return file_hash(folder / MANIFEST)
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return "+".join(file_hash(path) for path in weights) or name


def run_folder(out: Path) -> Path:
    """Where an unfinished run keeps its checkpoints and samples, beside its future artefact."""
    return out.with_name(f"{out.name}.checkpoints")


def finished_report(out: Path, kind: str, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The report of a run that has ended already; None where `out` is free.

    Raises TrainerError when `out` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not out.is_dir() or verify(out):
        raise TrainerError(f"{out} exists and is no finished {kind}. Choose another output folder.")
    manifest = read_manifest(out)
    if manifest.get("kind") != kind or manifest.get("identity") != identity:
        raise TrainerError(
            f"{out} holds a {manifest.get('kind', 'model')} of other data or another "
            "configuration. Choose another output folder."
        )
    return dict(manifest["metrics"])


def publish(
    out: Path,
    policy: Any,
    tokenizer: Any,
    *,
    kind: str,
    identity: dict[str, Any],
    report: dict[str, Any],
    files: Sequence[Path] = (),
) -> None:
    """Write a Hugging Face folder with a model card, a manifest and copies of the given files."""

    def write(folder: Path) -> None:
        policy.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(_card(kind, report), encoding="utf-8")
        for path in files:
            (folder / path.name).write_bytes(path.read_bytes())

    manifest = {
        "kind": kind,
        "identity": identity,
        "configuration": report["configuration"],
        "code_commit": report["code_commit"],
        "libraries": library_versions(),
        "metrics": report,
    }
    write_artefact(out, write, manifest)


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write a report as JSON where it was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(finite(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _card(kind: str, report: dict[str, Any]) -> str:
    configuration = json.dumps(report["configuration"], indent=2, ensure_ascii=False)
    figures = {k: v for k, v in report.items() if k != "configuration"}
    return (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [rlhf, prefloop]\n"
        f"---\n\n# {kind.capitalize()}\n\nWritten by Prefloop. Load it with "
        "`AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` on this "
        f"folder.\n\n## Figures\n\n```json\n{json.dumps(figures, indent=2, ensure_ascii=False)}\n"
        f"```\n\n## Configuration\n\n```json\n{configuration}\n```\n"
    )
