"""What a reward model's head reads of completions, kept on disk so that each is read once.

Lies beside the artefact, in files that are written whole and never changed: a killed process
leaves none that is half there, and two that write at once lose nothing. All of it can be made anew.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

_SUFFIX = ".safetensors"


class FeatureStore:
    """Features [d] in float32 of completions by their ids, in the coordinates of the last layer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place: dict[str, tuple[int, int]] = {}
        self._blocks: list[Tensor] = []
        self._files: set[str] = set()
        self.refresh()

    def __len__(self) -> int:
        return len(self._place)

    def refresh(self) -> None:
        """Take in what others have written since. A file that cannot be read is removed."""
        from safetensors import SafetensorError, safe_open

        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if path.name in self._files:
                continue
            try:
                with safe_open(path, framework="pt") as opened:
                    ids = json.loads(opened.metadata()["ids"])
                    block = opened.get_tensor("features")
            except (SafetensorError, OSError, KeyError, TypeError, ValueError):
                path.unlink(missing_ok=True)
                continue
            self._take(path.name, ids, block)

    def add(self, ids: Sequence[str], features: Tensor) -> None:
        """Keep features [n, d] of n completions, on disk before they are used."""
        from safetensors.torch import save_file

        if not ids:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{uuid.uuid4().hex}{_SUFFIX}"
        partial = self.folder / f".{name}.part"
        block = features.float().contiguous()
        save_file({"features": block}, partial, metadata={"ids": json.dumps(list(ids))})
        partial.replace(self.folder / name)
        self._take(name, ids, block)

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Those of the completions that have not been read yet, each once, in the order given."""
        return [one for one in dict.fromkeys(ids) if one not in self._place]

    def rows(self, ids: Sequence[str]) -> Tensor:
        """Features of completions that were read, [n, d]. Raises KeyError for others."""
        found = [self._blocks[block][row] for block, row in (self._place[one] for one in ids)]
        return torch.stack(found) if found else torch.empty(0, 0)

    def _take(self, name: str, ids: Sequence[str], block: Tensor) -> None:
        self._files.add(name)
        self._blocks.append(block)
        for row, one in enumerate(ids):
            self._place[one] = (len(self._blocks) - 1, row)
