"""A trainer of ten lines: a real child process that speaks the protocol and learns nothing.

`fake_trainer.py OUT MODE`; it counts to ten in a file beside OUT, and goes on from there.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path

from worker.checkpoints import verify, write_artefact
from worker.progress import make_progress

out, mode = Path(sys.argv[1]), sys.argv[2]
count = out.with_name("count")
STEPS = 10


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def leave(*_):
    sys.exit(143)


if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, leave)
if mode == "error":
    say("error", message="The disk is full: free some space and try again.")
    sys.exit(1)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "silent":
    sys.exit(0)
if mode == "crash":
    sys.exit("ZeroDivisionError: division by zero")
if mode == "garbage":
    sys.stdout.buffer.write(b'\xff\xfe{"event"\n[1]\n{"event": "progress"}\n{"event": 7}\nnull\n')
    sys.stdout.buffer.write(b"x" * 5_000_000 + b"\n")
    sys.stdout.flush()
if (out / "manifest.json").exists():
    if verify(out):
        say("error", message=f"{out} exists and is no finished model.")
        sys.exit(1)
    say("result", report={})
    sys.exit(0)
told = make_progress("json")
first = int(count.read_text()) if count.exists() else 0
if first:
    say("note", message=f"Resumed after step {first}.")
for step in range(first + 1, STEPS + 1):
    time.sleep(0.0 if mode in ("quick", "garbage") else 0.15)
    told.metrics(step, {"loss": 1 / step, "odd": math.nan})
    say("progress", done=step, total=STEPS, message="Counting")
    # Replaced, not written over: SIGTERM may come between emptying a file and filling it.
    count.with_suffix(".part").write_text(str(step))
    count.with_suffix(".part").replace(count)
with out.with_name("starts").open("a") as stream:
    stream.write(f"{first} {os.getpid()}\n")
report = {"code_commit": "abc", "seconds": 1.0}
write_artefact(out, lambda path: (path / "weights").write_text("1"), {"kind": "fake"})
if mode == "torn":
    (out / "weights").write_text("2")
say("result", report=report)
