"""A policy that stays in memory and answers whoever asks, one request at a time.

It reads a JSON object a line and writes one a line, so that the seconds in which torch and a
network are loaded are spent once and not at each message. Knows files alone, like every stage.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from worker.errors import BROKEN_OFF, TrainerError
from worker.models import MOST_PROMPT_TOKENS, cut_prompt, load_policy, load_tokenizer, prompt_room
from worker.policy.sample import Prompt, training_rule
from worker.policy.writing import Completion, sample_distinct
from worker.progress import finite
from worker.runtime import Runtime, autocast, seed_everything

_ATTEMPTS = 4


class Wordless(TrainerError):
    """The policy had nothing new to say. Its sentence is for the annotator."""


@dataclass(frozen=True)
class Request:
    """What is asked: one completion of `messages` at each temperature, all of them different."""

    model: str
    messages: Prompt
    temperatures: tuple[float, ...]
    max_new_tokens: int
    seed: str

    @classmethod
    def read(cls, line: str) -> "Request":
        fields = json.loads(line)
        return cls(**{**fields, "temperatures": tuple(fields["temperatures"])})


class Speaker:
    """Holds the policy that was asked for last."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._name = ""
        self._loaded: tuple[Any, Any] | None = None

    def answer(self, request: Request) -> dict[str, Any]:
        """The completions in the order of the temperatures, and whether the beginning was cut.

        Raises Wordless where the policy says nothing, or the same each time, and TrainerError.
        """
        policy, tokenizer = self._load(request.model)
        room = prompt_room([policy], request.max_new_tokens, MOST_PROMPT_TOKENS)
        seed_everything(0, "talk", request.seed)
        found: list[Completion] = []
        for temperature in request.temperatures:
            found.append(self._another(request, temperature, room, {one.text for one in found}))
        return {
            "completions": [finite(asdict(one)) for one in found],
            "is_cut": cut_prompt(tokenizer, request.messages, room)[1],
        }

    def _another(
        self, request: Request, temperature: float, room: int, known: set[str]
    ) -> Completion:
        policy, tokenizer = self._load(request.model)
        rule = training_rule(policy, tokenizer, temperature)
        for _ in range(_ATTEMPTS):
            with autocast(self.runtime):
                (written,) = sample_distinct(
                    policy, tokenizer, [request.messages], 1,
                    rule=rule, max_new_tokens=request.max_new_tokens, room=room,
                )  # fmt: skip
            if written and written[0].text not in known:
                return written[0]
        if known:
            raise Wordless("The model wrote the same answer twice. Write it in other words.")
        raise Wordless("The model answered with nothing. Write it in other words.")

    def _load(self, name: str) -> tuple[Any, Any]:
        if self._loaded is None or self._name != name:
            # The old one goes first: two may not fit.
            self._loaded = None
            self._loaded = (load_policy(name, self.runtime).eval(), load_tokenizer(name))
            self._name = name
        return self._loaded


def converse(speaker: Speaker, lines: Iterable[str], out: TextIO, log: TextIO) -> None:
    """Answer each line until there are no more; a refusal is a sentence, and not the end.

    Why the trainer refuses is for the log alone.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            event = {"event": "result", "report": speaker.answer(Request.read(line))}
        except Wordless as error:
            event = {"event": "error", "message": error.message}
        except TrainerError as error:
            log.write(f"{error.message}\n")
            log.flush()
            event = {"event": "error", "message": BROKEN_OFF}
        out.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        out.flush()
