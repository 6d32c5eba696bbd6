"""The files of a reward run: what it learns from, what it is judged by, where it writes."""

from dataclasses import dataclass
from pathlib import Path

from worker.errors import TrainerError
from worker.provenance import file_hash
from worker.reward.data import Preference, hold_out, read_preferences

HELD_OUT = 0.1


@dataclass(frozen=True)
class RewardFiles:
    """What a reward run reads and writes. Without `evaluation`, a tenth is held out by prompt."""

    preferences: Path
    evaluation: Path | None
    out: Path
    models_folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.out.with_name(f"{self.out.name}.checkpoints")

    def data_hash(self) -> str:
        """SHA-256 of the preference file, joined by that of the evaluation file if there is one."""
        paths = (self.preferences, self.evaluation)
        missing = [path for path in paths if path is not None and not path.is_file()]
        if missing:
            raise TrainerError(f"There is no file {missing[0]}.")
        return "+".join(file_hash(path) for path in paths if path is not None)

    def split(self, seed: int) -> tuple[list[Preference], list[Preference]]:
        """What to learn from, and what to judge by."""
        rows = read_preferences(self.preferences)
        if self.evaluation is not None:
            return rows, read_preferences(self.evaluation)
        return hold_out(rows, HELD_OUT, seed)
