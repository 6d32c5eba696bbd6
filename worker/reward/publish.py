"""The folder that a reward run leaves: it loads in plain transformers and is found again."""

from pathlib import Path
from typing import Any

from worker.checkpoints import read_manifest, verify, write_artefact
from worker.errors import TrainerError
from worker.provenance import library_versions
from worker.reward import uncertainty
from worker.reward.assess import Assessed
from worker.reward.card import write_card
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Preference
from worker.reward.judge import write_judgements

_KIND = "reward model"


def finished_report(
    out: Path, configuration: RewardConfiguration, data_hash: str
) -> dict[str, Any] | None:
    """The report of the same run in this folder; None where the folder is still empty.

    Raises TrainerError for a folder that holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not out.is_dir() or verify(out):
        raise TrainerError(
            f"{out} exists and is no finished reward model. Choose another output folder."
        )
    manifest = read_manifest(out)
    report = manifest.get("metrics")
    if manifest.get("kind") != _KIND or not isinstance(report, dict):
        raise TrainerError(f"{out} holds something else. Choose another output folder.")
    if (report["data_hash"], report["configuration"]) != (data_hash, configuration.as_dict()):
        raise TrainerError(
            f"{out} holds a reward model of other data or another configuration. Choose another "
            "output folder."
        )
    return report


def publish(
    out: Path,
    model: Any,
    tokenizer: Any,
    report: dict[str, Any],
    *,
    rows: list[Preference],
    found: Assessed,
) -> None:
    """Write weights, tokenizer, heads, judgements, card and manifest, whole or not at all."""

    def write(path: Path) -> None:
        if found.layer is not None:
            uncertainty.save(found.layer, path)
        if found.spread is not None:
            found.spread.save(path)
        if found.heads is not None:
            found.heads.save(path)
        tokenizer.padding_side = "right"
        model.eval().save_pretrained(path)
        tokenizer.save_pretrained(path)
        tokenizer.padding_side = "left"
        write_card(path / "README.md", report)
        write_judgements(path, rows, found.margins)

    manifest = {
        "kind": _KIND,
        "objective": report["configuration"]["objective"],
        "data_hash": report["data_hash"],
        "configuration": report["configuration"],
        "code_commit": report["code_commit"],
        "libraries": library_versions(),
        "metrics": report,
    }
    write_artefact(out, write, manifest)
