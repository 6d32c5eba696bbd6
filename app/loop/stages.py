"""The loop as its six stages: what each waits for, what runs, what came out last. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from app.charts.scales import format_number
from app.loop.queries import Activity, LastRuns
from app.loop.state import (
    NAMES,
    STEP_OF,
    Due,
    Facts,
    Held,
    Step,
    Waiting,
    decide,
    explain,
    is_due,
    refusal,
)
from app.policy.figures import score_words
from app.reward.figures import interval_words, n_held_out
from app.reward.progress import Progress
from app.tables.jobs import JobState
from app.tables.runs import Algorithm


class Standing(StrEnum):
    """How a stage stands, in the word that the page shows."""

    WAITING = "waiting"
    PEOPLE = "people"
    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"
    NEXT = "next"
    READY = "ready"
    OPEN = "open"
    DONE = "done"


LABELS = {
    Step.REGISTER: "Register now",
    Step.SFT: "Fine-tune now",
    Step.SELECT: "Rank pairs now",
    Step.POLICY: "Optimise now",
    Step.REWARD: "Train now",
    Step.SAMPLE: "Sample now",
}


@dataclass(frozen=True)
class Action:
    """A step that a person may start now."""

    step: Step
    label: str


@dataclass(frozen=True)
class Result:
    """What came out last: a figure, what it is, and the end of its page's URL."""

    figure: str
    note: str
    url: str = ""


@dataclass(frozen=True)
class Stage:
    """One stage of the loop. `progress` counts (done, wanted) where people do the work."""

    key: str
    title: str
    standing: Standing
    sentence: str
    result: Result | None = None
    progress: tuple[int, int] | None = None
    jobs: tuple[Progress, ...] = ()
    held: tuple[Held, ...] = ()
    actions: tuple[Action, ...] = ()

    @property
    def is_current(self) -> bool:
        return self.standing in CURRENT


CURRENT = frozenset(Standing) - {Standing.WAITING, Standing.READY, Standing.OPEN, Standing.DONE}


def headline(facts: Facts) -> str:
    """The whole loop in one sentence."""
    found = decide(facts)
    if isinstance(found, Waiting):
        return found.sentence
    name = NAMES[found.step]
    next_ = f"Next: {name}." if facts.workers else f"Next: {name}, once a worker runs."
    return " ".join([next_, *(_waits_for_you(one) for one in facts.held)])


def _waits_for_you(held: Held) -> str:
    what = "failed" if held.is_failure else "was stopped"
    return f"{NAMES[STEP_OF[held.kind]].capitalize()} {what} and waits for you."


def build_stages(
    facts: Facts, activity: Activity, last: LastRuns, jobs: Sequence[Progress]
) -> list[Stage]:
    """The six stages in the order in which the loop turns."""
    return [
        _prompts(facts, activity),
        _compare(facts, activity),
        _freeze(facts, last),
        _reward(facts, last, jobs),
        _policy(facts, last, jobs),
        _sample(facts, jobs),
    ]


def _prompts(facts: Facts, activity: Activity) -> Stage:
    if not facts.has_prompts:
        sentence = "Waits for prompts with two or more completions each: import some."
        return Stage("prompts", "Prompts and pairs", Standing.PEOPLE, sentence)
    return Stage(
        "prompts",
        "Prompts and pairs",
        Standing.DONE,
        f"{_n(facts.n_pairs_open, 'pair')} open for comparison."
        if facts.n_pairs_open
        else "No pair is open for comparison.",
        result=Result(
            f"{activity.n_prompts:,}",
            "prompt" if activity.n_prompts == 1 else "prompts",
            "/datasets",
        ),
    )


def _compare(facts: Facts, activity: Activity) -> Stage:
    new, wanted = facts.n_new_comparisons, facts.comparisons_per_round
    is_open = facts.n_pairs_open > 0
    people = activity.n_annotators_today
    if not facts.has_prompts:
        sentence = "Waits for pairs to compare."
    elif people:
        who = "1 person" if people == 1 else f"{people:,} people"
        sentence = f"{_n(activity.n_comparisons_today, 'comparison')} by {who} in 24 hours."
    elif is_open:
        sentence = "Nobody has compared in the last 24 hours."
    else:
        sentence = "Every pair is answered. New ones come from sampling."
    return Stage(
        "compare",
        "Compare",
        _people(facts, is_open=is_open),
        sentence,
        result=Result(f"{new:,} of {wanted:,}", "new comparisons"),
        progress=(min(new, wanted), wanted),
    )


def _people(facts: Facts, *, is_open: bool) -> Standing:
    """People are the ones the loop waits for, unless a machine works or somebody must act."""
    if not is_open:
        return Standing.WAITING
    is_busy = facts.jobs or facts.held or isinstance(decide(facts), Due)
    return Standing.OPEN if is_busy else Standing.PEOPLE


def _freeze(facts: Facts, last: LastRuns) -> Stage:
    left = max(0, facts.comparisons_per_round - facts.n_new_comparisons)
    frozen = last.preference_set
    if left:
        sentence = f"A new set is frozen after {_n(left, 'more comparison')}."
    elif facts.is_automatic:
        sentence = "Enough is answered: a new set is frozen with the next training."
    else:
        sentence = "Enough is answered: “Train now” freezes a new set."
    if frozen is None:
        return Stage("freeze", "Freeze", Standing.WAITING, sentence)
    return Stage(
        "freeze",
        "Freeze",
        Standing.DONE if left else Standing.READY,
        sentence,
        result=Result(
            f"Set {frozen.number}",
            f"{_n(frozen.n_comparisons, 'comparison')}, {frozen.content_hash[:8]}",
            f"/datasets/sets/{frozen.id}",
        ),
    )


def _reward(facts: Facts, last: LastRuns, jobs: Sequence[Progress]) -> Stage:
    run = last.reward
    stage = _worked("reward", "Reward model", (Step.REWARD,), facts, jobs)
    if run is None:
        return stage
    note = f"accuracy ({interval_words(run.accuracy, n_held_out(run))})"
    return _with(stage, Result(format_number(run.accuracy, 2), note, f"/reward/{run.id}"))


def _policy(facts: Facts, last: LastRuns, jobs: Sequence[Progress]) -> Stage:
    run = last.policy
    first = Step.SFT if facts.is_tiny else Step.REGISTER
    steps = (Step.POLICY, first) if facts.live_policy is not None else (first, Step.POLICY)
    stage = _worked("policy", "Policy", steps, facts, jobs)
    if run is None:
        return stage
    note = "the first policy"
    if run.algorithm is Algorithm.PPO:
        ends = f"{score_words(run, 'before')} → {score_words(run, 'after')}"
        note = f"score {ends}, KL\u00a0{format_number(run.kl, 1)}"
    return _with(stage, Result(f"Policy {run.number}", note, f"/policy/{run.id}"))


def _sample(facts: Facts, jobs: Sequence[Progress]) -> Stage:
    policy = facts.live_policy
    stage = _worked("sample", "Sample", (Step.SAMPLE, Step.SELECT), facts, jobs)
    if policy is None or policy.sampled_at is None:
        return stage
    note = f"after sampling policy {policy.number}"
    return _with(stage, Result(_n(facts.n_pairs_open, "open pair"), note, f"/policy/{policy.id}"))


def _with(stage: Stage, result: Result) -> Stage:
    """The stage with what came out last; one that only waited has then done its part."""
    is_idle = stage.standing is Standing.WAITING
    standing = Standing.DONE if is_idle else stage.standing
    return replace(stage, result=result, standing=standing)


def _worked(
    key: str, title: str, steps: tuple[Step, ...], facts: Facts, jobs: Sequence[Progress]
) -> Stage:
    """A stage that the worker does: its jobs, what is held, and what may be started by hand."""
    mine = tuple(job for job in jobs if STEP_OF[job.kind] in steps)
    held = tuple(one for one in facts.held if STEP_OF[one.kind] in steps) if not mine else ()
    held_steps = {STEP_OF[one.kind] for one in held}
    free = [s for s in steps if refusal(facts, s) is None and s not in held_steps]
    return Stage(
        key,
        title,
        _standing(facts, steps, mine, held),
        _sentence(facts, steps, mine),
        jobs=mine,
        held=held,
        actions=tuple(Action(step, LABELS[step]) for step in free),
    )


def _standing(
    facts: Facts,
    steps: tuple[Step, ...],
    jobs: Sequence[Progress],
    held: Sequence[Held],
) -> Standing:
    if any(job.state is JobState.RUNNING for job in jobs):
        return Standing.RUNNING
    if jobs:
        return Standing.QUEUED
    if held:
        return Standing.FAILED if held[0].is_failure else Standing.STOPPED
    found = decide(facts)
    if isinstance(found, Due) and found.step in steps:
        return Standing.NEXT
    return Standing.READY if any(is_due(facts, step) for step in steps) else Standing.WAITING


def _sentence(facts: Facts, steps: tuple[Step, ...], jobs: Sequence[Progress]) -> str:
    """What the stage's jobs do; else what its step that is due, or its first, waits for."""
    if jobs:
        return f"{NAMES[STEP_OF[jobs[0].kind]].capitalize()}."
    due = [step for step in steps if is_due(facts, step)]
    if due and due[0] is not steps[0]:
        said = explain(facts, due[0])
        return f"{NAMES[due[0]].capitalize()}: {said[:1].lower()}{said[1:]}"
    return explain(facts, steps[0])


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
