"""Options that several commands of the worker share."""

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str | None, typer.Option(help="cpu or cuda; by default what is there.")]
Precision = Annotated[
    str | None, typer.Option(help="float32 or bfloat16; by default what the device does well.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Voice = Annotated[str, typer.Option(help="bar, json or none.")]
Report = Annotated[Path | None, typer.Option("--json", help="Write the report here.")]
ModelsFolder = Annotated[
    Path | None, typer.Option(help="Where tiny is built; by default beside --out.")
]
SafetyModel = Annotated[
    str | None, typer.Option(help="Folder of a reward model of safety, the second objective.")
]
SafetyHead = Annotated[
    bool, typer.Option(help="Safety by the head on the reward model's own trunk.")
]
Combine = Annotated[str, typer.Option(help="llama2 or weights.")]
SafetyThreshold = Annotated[float, typer.Option(help="P(safe) below which it decides.")]
SafetyWeight = Annotated[float, typer.Option(help="Of safety's log-odds, for weights.")]
