"""A reward model's live last layer that stays in memory and learns from whoever tells it answers.

Like worker.policy.talk it reads a JSON object a line and writes one a line, and knows files alone.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.progress import SilentProgress, finite
from worker.reward.feature_store import FeatureStore
from worker.reward.live import Live
from worker.reward.reader import Reader
from worker.reward.uncertainty import load
from worker.runtime import Runtime
from worker.select.pool import Pool

Answer = dict[str, Any]


class Desk:
    """One reward run's live layer. An answer is {id, pair, a, b, now, trained}; `now` is what it
    says, `trained` what the training learnt of it, each {rating, is_tie, weight} or None."""

    def __init__(self, model: str, features: str, runtime: Runtime) -> None:
        layer = load(Path(model))
        if layer is None:
            raise TrainerError("This reward model came without a posterior of its last layer.")
        self.model, self.layer, self.runtime = model, layer, runtime
        self.store = FeatureStore(Path(features))
        self.live: Live[str] = Live(layer.posterior)
        self.pool: Pool | None = None
        self._reader: Reader | None = None
        self._held: dict[str, Answer] = {}
        self._unlearnt: dict[str, Answer] = {}
        self._known: set[str] = set()
        self._judged = [0.0, 0.0, 0.0]  # how many, how many right, sum of -log p

    def set_pool(self, pairs: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Pairs as [id, a, b, priority, chance or None]. Those that were read are ranked."""
        self.store.refresh()
        missing = set(self.store.missing(end for pair in pairs for end in pair[1:3]))
        known = [pair for pair in pairs if not missing & set(pair[1:3])]
        ids, a, b, priorities, chances = zip(*known, strict=True) if known else ((),) * 5
        x = self.store.rows(b) - self.store.rows(a)
        # A chance that nobody has said yet differs from any.
        said = [-1.0 if chance is None else chance for chance in chances]
        self.pool = Pool(ids, x, priorities, said)
        order = [end for pair in pairs for end in pair[1:3]]
        return {"missing": [one for one in dict.fromkeys(order) if one in missing],
                **self._rank(is_whole=True)}  # fmt: skip

    def read(self, texts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Read completions, {id, messages}, and keep what the head reads of them; their scores."""
        if self._reader is None:
            self._reader = Reader(self.model, self.runtime, SilentProgress())
        found = self._reader.read([one["messages"] for one in texts])
        ids = [one["id"] for one in texts]
        self.store.add(ids, self.layer.reduce(found.features))
        errors = [None] * len(ids) if found.errors is None else found.errors.tolist()
        return {"scores": list(zip(ids, found.scores.tolist(), errors, strict=True))}

    def rest(self) -> dict[str, Any]:
        """Let go of the network; the last layer stays."""
        self._reader = None
        return {}

    def learn(self, answers: Sequence[Answer], *, is_all: bool = False) -> dict[str, Any]:
        """Take answers in or back; {missing} where a completion has not been read yet.

        With `is_all` they are all that differs from the training: what is not among them is taken
        back. An answer that is in already, as it is, changes nothing.
        """
        missing = self.store.missing(end for one in answers for end in (one["a"], one["b"]))
        if missing:
            return {"missing": missing}
        began, n = time.perf_counter(), 0
        if is_all:
            n += self._restore({one["id"] for one in answers})
        for one in answers:
            n += self._take_in(one)
        took = time.perf_counter() - began
        return {
            "missing": [],
            "n": n,
            "ms": 1_000 * took / max(n, 1),
            **self._rank(),
            **self.state(),
        }

    def settle(self) -> dict[str, Any]:
        """Move to the maximum of all answers together, and rank every open pair by it."""
        self.live.settle()
        if self.pool is not None:
            self.pool.forget_spreads()
        return self._rank(is_whole=True)

    def state(self) -> dict[str, Any]:
        judged, right, loss = self._judged
        return {
            "n_answers": len(self.live.sites),
            "n_unlearnt": len(self._unlearnt),
            "n_judged": int(judged),
            "n_right": right,
            "log_loss_sum": loss,
            "n_ranked": 0 if self.pool is None else len(self.pool),
        }

    def _take_in(self, one: Answer) -> int:
        key, now, trained = one["id"], one["now"], one["trained"]
        if key in self._held and _is_same(self._held[key]["now"], now):
            return 0
        if now is None and key not in self._held and (trained is None or key in self._unlearnt):
            return 0
        if key in self.live.sites:
            self._follow(self.live.take_back(key))
        self._held.pop(key, None)
        if trained is not None and key not in self._unlearnt:
            if _is_same(now, trained):
                return 0
            self._follow(self.live.unlearn(self._x(one, trained), *self._says(trained)))
            self._unlearnt[key] = one
        if now is not None:
            x, (target, weight) = self._x(one, now), self._says(now)
            self._judge(key, x, target)
            self._follow(self.live.add(key, x, target, weight))
            self._held[key] = one
        if self.pool is not None:
            self.pool.close(one["pair"])
        return 1

    def _restore(self, named: set[str]) -> int:
        """Bring back to the training's state what is not named as different from it any more."""
        n = 0
        for key in [one for one in self._held if one not in named]:
            if key not in self._unlearnt:
                self._follow(self.live.take_back(key))
                del self._held[key]
                n += 1
        for key, one in self._unlearnt.items():
            if key not in named:
                n += self._take_in({**one, "now": one["trained"]})
        return n

    def _says(self, said: dict[str, Any]) -> tuple[float, float]:
        strength = max(1.0, abs(said["rating"] - 4.5) + 0.5)
        counting = self.layer.counting
        target = counting.target(strength, is_tie=said["is_tie"])
        return target, counting.weigh(strength, said["weight"])

    def _x(self, one: Answer, said: dict[str, Any]) -> Tensor:
        """Chosen less rejected, [d]."""
        rows = self.store.rows([one["a"], one["b"]]).double()  # [2, d]
        return rows[0] - rows[1] if said["rating"] <= 4 else rows[1] - rows[0]

    def _judge(self, key: str, x: Tensor, target: float) -> None:
        if target == 0.5 or key in self._known:
            return
        self._known.add(key)
        logit = float(x @ self.live.mean)
        right = 1.0 if logit > 0 else 0.5 if logit == 0 else 0.0
        loss = float(torch.nn.functional.softplus(torch.tensor(-logit, dtype=torch.float64)))
        for place, value in enumerate((1.0, right, loss)):
            self._judged[place] += value

    def _follow(self, change: Any) -> None:
        if self.pool is not None:
            self.pool.follow(change)

    def _rank(self, *, is_whole: bool = False) -> dict[str, Any]:
        if self.pool is None:
            return {"ranked": []}
        rows = self.pool.rank(self.live, is_whole=is_whole)
        return {"ranked": [[one.id, one.priority, one.chance, one.error] for one in rows]}


def _is_same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether two sayings are the same, whatever they weigh."""
    if one is None or other is None:
        return one is other
    return (one["rating"], one["is_tie"]) == (other["rating"], other["is_tie"])


class Desks:
    """The live layers that were asked for, one a reward run; the last few are kept."""

    MOST = 4

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._desks: dict[str, Desk] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what `do` says at the desk of `run`. Raises TrainerError for one that is not open."""
        run = request["run"]
        if request["do"] == "open":
            self._desks.pop(run, None)
            while len(self._desks) >= self.MOST:
                del self._desks[next(iter(self._desks))]
            self._desks[run] = Desk(request["model"], request["features"], self.runtime)
            return {"n_features": len(self._desks[run].store)}
        desk = self._desks.get(run)
        if desk is None:
            raise TrainerError("This live layer is not open any more.")
        doings: dict[str, Callable[[], dict[str, Any]]] = {
            "pool": lambda: desk.set_pool(request["pairs"]),
            "read": lambda: desk.read(request["texts"]),
            "learn": lambda: desk.learn(request["answers"], is_all=request["is_all"]),
            "settle": desk.settle,
            "rest": desk.rest,
        }
        return doings[request["do"]]()


def serve(desks: Desks, lines: Iterable[str], out: TextIO, log: TextIO) -> None:
    """Answer each line until there are no more; a failure is said, and not the end."""
    for line in lines:
        if not line.strip():
            continue
        try:
            event = {"event": "result", "report": finite(desks.answer(json.loads(line)))}
        except TrainerError as error:
            event = {"event": "error", "message": error.message}
        except Exception as error:  # whatever it is, the next request may go well
            log.write(traceback.format_exc())
            log.flush()
            event = {"event": "error", "message": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        out.flush()
