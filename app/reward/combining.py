"""Two objectives as one score: asked for, and read back as rows and charts.

Judged on the held-out comparisons of the first model's preference set.
"""

import math
import uuid
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import Session

from app.charts import Axis, Bar, bar_chart
from app.charts.scales import format_number
from app.errors import Invalid
from app.reward import queries, studies
from app.reward.account import Table
from app.tables.projects import Objective
from app.tables.runs import RewardRun, RunState
from app.tables.studies import Study

RULES = {
    "llama2": "Safety decides below its threshold, helpfulness above (Llama 2)",
    "weights": "Helpfulness plus safety times a weight",
}


@dataclass(frozen=True)
class Wish:
    """A rule, the chance of being safe below which safety decides, and its weight in a sum."""

    rule: str = "llama2"
    threshold: float = 0.15
    weight: float = 1.0


def request_combination(
    session: Session,
    run: RewardRun,
    safety: RewardRun | None,
    wish: Wish,
    *,
    by: uuid.UUID | None,
) -> Study:
    """Queue the judging of `run` with `safety`, or with its own safety head, as one score.

    Raises Invalid for what cannot be, Conflict where an evaluation waits already.
    """
    _check(wish)
    if safety is None and "safety" not in (run.report.get("side_heads") or {}):
        words = f"Reward model {run.number} has no safety head. Choose a reward model of safety."
        raise Invalid(words, field="safety_run_id")
    if safety is not None and (
        safety.objective is not Objective.SAFETY or safety.state is not RunState.FINISHED
    ):
        raise Invalid("Choose a finished reward model of safety.", field="safety_run_id")
    if run.objective is Objective.SAFETY:
        raise Invalid("Choose a reward model of helpfulness.", field="reward_run_id")
    if not queries.find_set(session, run).n_eval:
        raise Invalid("Its preference set holds nothing out to judge by.", field="reward_run_id")
    combination = {
        "rule": wish.rule,
        "threshold": wish.threshold,
        "weight": wish.weight,
        "safety_run": str(safety.id) if safety else None,
        "safety_number": safety.number if safety else None,
        "flag": (safety.configuration.get("flag") if safety else None)
        or run.configuration.get("safety_flag"),
    }
    return studies.request_combination(session, run, combination, by=by)


def _check(wish: Wish) -> None:
    if wish.rule not in RULES:
        raise Invalid("Choose a rule.", field="rule")
    if not 0 < wish.threshold < 1:
        raise Invalid("The threshold is a chance between 0 and 1.", field="threshold")
    if not (math.isfinite(wish.weight) and wish.weight >= 0):
        raise Invalid("The weight is a number from 0.", field="weight")


def describe(study: Study) -> str:
    """ "with reward model 3 for safety, which decides below a chance of 0.15"."""
    how = study.combination
    number = how.get("safety_number")
    second = f"reward model {number} for safety" if number else "its own safety head"
    if how["rule"] == "llama2":
        return f"with {second}, which decides below a chance of {how['threshold']:g}"
    return f"plus {how['weight']:g} times {second}"


def contest_chart(study: Study, names: dict[str, str], csv_url: str) -> Markup:
    """Each objective alone and both together, by what people preferred and by what a flag says."""
    report = study.report
    bars = [Bar(*row) for row in _rows(report, names)]
    return bar_chart(
        "together",
        _sentence(report),
        bars,
        "judged by",
        Axis("right", low=0, high=1),
        description="Share of held-out pairs of which the right completion scores higher: the one "
        "that people preferred, or the one that they flagged as safer. Intervals resample pairs, "
        "95%.",
        csv_url=csv_url,
        empty="Nothing was scored yet.",
    )


def _rows(report: dict[str, Any], names: dict[str, str]) -> list[tuple[str, float, float, float]]:
    alone = report.get("alone")
    if not alone:
        return []
    people = {
        "helpfulness": alone["helpfulness"], "safety": alone["safety"], "both": report["overall"],
    }  # fmt: skip
    found = [(f"people: {name}", one) for name, one in people.items()]
    flag = report.get("by_flag")
    if flag:
        key = str(flag["flag"]).removeprefix("+")
        told = {"helpfulness": "helpfulness", "safety": "safety", "together": "both"}
        found += [(f"{names.get(key, key)}: {word}", flag[name]) for name, word in told.items()]
    return [(name, one["score"], one["low"], one["high"]) for name, one in found]


def _sentence(report: dict[str, Any]) -> str:
    alone, flag = report.get("alone"), report.get("by_flag")
    if not alone:
        return "Each objective alone, and both together"
    kept = format_number(report["overall"]["score"], 2)
    before = format_number(alone["helpfulness"]["score"], 2)
    words = f"Together they agree with people in {kept} of pairs, helpfulness alone in {before}"
    if flag:
        safer, was = (format_number(flag[one]["score"], 2) for one in ("together", "helpfulness"))
        words += f"; they find the safer one in {safer}, not {was}"
    return words


def as_table(study: Study, names: dict[str, str]) -> Table:
    return ["judged by", "right", "low", "high"], [list(row) for row in _rows(study.report, names)]
