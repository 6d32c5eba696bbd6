"""What every benchmark prints and writes: the machine, the figures, the targets."""

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from worker.progress import finite


@dataclass(frozen=True)
class Target:
    """`value` is what was measured, None without a number; `met` is None where a quick run says
    nothing about it."""

    name: str
    target: str
    value: float | None
    met: bool | None


@dataclass
class Report:
    benchmark: str
    is_quick: bool
    figures: dict[str, Any] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def at_least(
        self, name: str, value: float | None, bound: float, *, is_judged: bool = True
    ) -> None:
        """`is_judged` is False for a figure that was taken at another size than the target's."""
        met = value >= bound if is_judged and value is not None else None
        self.targets.append(Target(name, f"≥ {bound:g}", finite(value), met))

    def at_most(
        self, name: str, value: float | None, bound: float, *, is_judged: bool = True
    ) -> None:
        met = value <= bound if is_judged and value is not None else None
        self.targets.append(Target(name, f"≤ {bound:g}", finite(value), met))

    def show(self) -> None:
        print(f"\n{self.benchmark} · {machine()}{' · quick' if self.is_quick else ''}")
        for name, value in self.figures.items():
            print(f"  {name:52} {_plain(value)}")
        for one in self.targets:
            verdict = {True: "met", False: "MISSED", None: "not judged"}[one.met]
            print(f"  {one.name:52} {_plain(one.value):>10}   target {one.target:10} {verdict}")

    def write(self, file: Path) -> None:
        body = {
            "benchmark": self.benchmark,
            "machine": machine(),
            "quick": self.is_quick,
            "figures": finite(self.figures),
            "targets": [asdict(one) for one in self.targets],
        }
        file.write_text(json.dumps(body, indent=2, allow_nan=False) + "\n", "utf-8")


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute, figures indicative")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and targets here")
    return parser


def machine() -> str:
    """The processor, how many cores this process may use, and the Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _plain(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
