"""What the demonstration says at its end: a table for each round, and JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from worker.demo.measure import Mean


@dataclass(frozen=True)
class Round:
    """One turn of the loop. `kl` is in nats a completion; predicted rewards are by this round's
    reward model, in its own units; `reward_accuracy` is on held-out comparisons."""

    number: int
    true_before: Mean
    true_after: Mean
    predicted_before: float
    predicted_after: float
    kl: float | None
    reward_accuracy: float | None
    n_comparisons: int
    seconds: float
    alarms: list[str]

    @property
    def has_risen(self) -> bool:
        """True where the true reward rose by more than twice the noise of the difference."""
        return self.true_after.is_above(self.true_before)

    def as_json(self) -> dict[str, Any]:
        return {
            "round": self.number,
            "true_reward": {"before": asdict(self.true_before), "after": asdict(self.true_after)},
            "predicted_reward": {"before": self.predicted_before, "after": self.predicted_after},
            "kl": self.kl,
            "reward_accuracy": self.reward_accuracy,
            "n_comparisons": self.n_comparisons,
            "seconds": round(self.seconds, 2),
            "alarms": self.alarms,
            "has_risen": self.has_risen,
        }


def as_table(one: Round) -> str:
    """A round as people read it, each mean with its standard error."""
    verdict = _verdict(one)
    rows = [
        ("true reward", _mean(one.true_before), _mean(one.true_after)),
        ("predicted reward", f"{one.predicted_before:+.2f}", f"{one.predicted_after:+.2f}"),
    ]
    lines = [f"Round {one.number}: {verdict}", f"  {'':18}{'before':>16}{'after':>16}"]
    lines += [f"  {name:18}{before:>16}{after:>16}" for name, before, after in rows]
    kl = "undefined" if one.kl is None else f"{one.kl:.1f} nats"
    accuracy = "undefined" if one.reward_accuracy is None else f"{one.reward_accuracy:.1%}"
    lines.append(
        f"  {one.n_comparisons:,} comparisons · reward model right on {accuracy} of held-out ones"
        f" · KL {kl} · {one.seconds:.0f} s"
    )
    return "\n".join([*lines, *(f"  alarm: {alarm}" for alarm in one.alarms)])


def _mean(value: Mean) -> str:
    return f"{value.mean:+.2f} ± {value.standard_error:.2f}"


def _verdict(one: Round) -> str:
    is_pleased = one.predicted_after > one.predicted_before
    if one.has_risen:
        return "the true reward rose by more than its noise."
    if is_pleased and one.true_before.is_above(one.true_after):
        return "over-optimised: the reward model is pleased, the true reward fell."
    return "the true reward did not move by more than its noise."
