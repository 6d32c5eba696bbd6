"""Answers as the real child does, in no time, or misbehaves: `python fake_speaker.py MODE`.

echo: says who it is and the last message. hang: never answers. die: ends at the first message.
refuse: says why not.
"""

import json
import os
import sys
import time

mode = sys.argv[1]
for line in sys.stdin:
    asked = json.loads(line)
    if mode == "hang":
        time.sleep(600)
    if mode == "die":
        sys.exit("Out of luck.")
    if mode == "refuse":
        event = {"event": "error", "message": "The model is shy."}
    else:
        said = asked["messages"][-1]["content"]
        texts = [f"{os.getpid()} at {one}: {said}" for one in asked["temperatures"]]
        report = {"completions": [{"text": text} for text in texts], "is_cut": False}
        event = {"event": "result", "report": report}
    print(json.dumps(event), flush=True)
