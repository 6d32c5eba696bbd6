"""What is due in a project's loop, or what it waits for: a pure decision on facts.

Nothing here remembers anything. What is due follows from what is in the tables, so a kill at any
moment loses nothing but the step in progress.
"""

from dataclasses import dataclass, field

from app.loop.facts import Facts, Held, JobFact, read_facts
from app.loop.steps import JOB_OF, NAMES, STEP_OF, Step
from app.tables.jobs import JobState

__all__ = [
    "JOB_OF",
    "NAMES",
    "STEP_OF",
    "Due",
    "Facts",
    "Held",
    "JobFact",
    "Step",
    "Waiting",
    "decide",
    "explain",
    "is_due",
    "read_facts",
    "refusal",
]

FEWEST_COMPARISONS = 2


@dataclass(frozen=True)
class Due:
    """The one thing to start now."""

    step: Step


@dataclass(frozen=True)
class Waiting:
    """Nothing to start. `sentence` is the whole loop's; `stages` holds one for each step."""

    sentence: str
    stages: dict[Step, str] = field(default_factory=dict)


def decide(facts: Facts) -> Due | Waiting:
    """The first step that is due, or why nothing is. Pure: the same facts, the same answer."""
    if facts.is_automatic and not facts.jobs:
        held = {one.kind for one in facts.held}
        for step in Step:
            if is_due(facts, step) and JOB_OF.get(step) not in held:
                return Due(step)
    return Waiting(_sentence(facts), {step: explain(facts, step) for step in Step})


def is_due(facts: Facts, step: Step) -> bool:
    """Whether the tables call for a step, whoever may start it."""
    if refusal(facts, step) is not None:
        return False
    if step is Step.SELECT:
        return not facts.is_ranked
    if step is Step.POLICY:
        return not facts.is_reward_used
    if step is Step.REWARD:
        is_left_over = facts.latest_set is not None and not facts.is_set_trained
        return is_left_over or facts.n_new_comparisons >= facts.comparisons_per_round
    if step is Step.SAMPLE:
        return _is_sampling_due(facts)
    return True


def _is_sampling_due(facts: Facts) -> bool:
    """A fresh policy and few open pairs; or people who answered everything and have nothing left.

    The second needs new answers, so that a policy that writes nothing new is not asked for ever.
    """
    policy = facts.live_policy
    if policy is not None and policy.sampled_at is None:
        return facts.n_pairs_open < facts.pairs_per_round
    return facts.n_pairs_open == 0 and facts.n_comparisons_since_sampling > 0


def refusal(facts: Facts, step: Step) -> str | None:
    """Why a step cannot be started now, even by hand, as a sentence; None when it can."""
    if facts.jobs:
        return f"First {NAMES[STEP_OF[facts.jobs[0].kind]]} has to end."
    return _missing(facts, step)


def _missing(facts: Facts, step: Step) -> str | None:
    """What a step lacks to be possible at all."""
    if step in (Step.REGISTER, Step.SFT):
        return _missing_for_the_first_policy(facts, is_wanted=(step is Step.SFT) == facts.is_tiny)
    if step is Step.REWARD:
        return _missing_for_reward(facts)
    if step is Step.SELECT:
        return _missing_for_ranking(facts)
    return _missing_for_the_policy(facts, needs_reward=step is Step.POLICY)


def _missing_for_ranking(facts: Facts) -> str | None:
    if facts.live_reward is None:
        return "Waits for a first reward model."
    return None if facts.n_pairs_open else "No pair is open, so there is nothing to rank."


def _missing_for_the_policy(facts: Facts, *, needs_reward: bool) -> str | None:
    if facts.live_policy is None:
        return "Waits for a first policy."
    if not facts.has_prompts:
        return "Waits for prompts: import some."
    if needs_reward and facts.live_reward is None:
        return "Waits for a first reward model."
    return None


def _missing_for_the_first_policy(facts: Facts, *, is_wanted: bool) -> str | None:
    if facts.live_policy is not None:
        return f"Done: policy {facts.live_policy.number} is live."
    if not is_wanted:
        return "Not needed for this base model."
    if facts.is_tiny and not facts.has_completions:
        return "Waits for completions to learn from: import prompts with completions."
    return None


def _missing_for_reward(facts: Facts) -> str | None:
    has_untrained_set = facts.latest_set is not None and not facts.is_set_trained
    if has_untrained_set or facts.n_comparisons >= FEWEST_COMPARISONS:
        return None
    return f"Waits for at least {FEWEST_COMPARISONS} comparisons."


def explain(facts: Facts, step: Step) -> str:
    """What one step waits for or does, as a sentence for people."""
    for job in facts.jobs:
        if STEP_OF[job.kind] is step:
            return _job_sentence(facts, job)
    for one in facts.held:
        if STEP_OF[one.kind] is step:
            return _held_sentence(one)
    missing = _missing(facts, step)
    if missing is not None:
        return missing
    if facts.jobs:
        return refusal(facts, step) or ""
    if is_due(facts, step):
        return "Starts next." if facts.is_automatic else "Ready: start it when you like."
    return _patience(facts, step)


def _patience(facts: Facts, step: Step) -> str:
    """What a possible step that is not due waits for."""
    if step is Step.REWARD:
        left = facts.comparisons_per_round - facts.n_new_comparisons
        return f"Waits for {left} more comparison{'' if left == 1 else 's'}."
    if step is Step.POLICY:
        if facts.held_back is not None:
            number = facts.held_back.number
            return f"Policy run {number} raised alarms and was not made live. Look at it first."
        return "Waits for a newer reward model."
    if step is Step.SAMPLE:
        return _patience_for_sampling(facts)
    return "Done for this reward model."


def _patience_for_sampling(facts: Facts) -> str:
    n_open, policy = facts.n_pairs_open, facts.live_policy
    if policy is not None and policy.sampled_at is None:
        return f"Waits until fewer than {facts.pairs_per_round} pairs are open; {n_open} are."
    if n_open:
        pairs = "one open pair" if n_open == 1 else f"{n_open} open pairs"
        return f"Waits until people have answered the {pairs}."
    return "Waits for a newer policy, or for answers."


def _job_sentence(facts: Facts, job: JobFact) -> str:
    if job.state is JobState.QUEUED:
        return "Waits for the worker." if facts.workers else "Waits for a worker; none is running."
    if job.is_cancel_requested:
        return "Stopping."
    return f"Running, {job.done} of {job.total}." if job.total else "Running."


def _held_sentence(held: Held) -> str:
    if held.is_failure:
        return f"Failed: {held.error} It waits for you to try again."
    return "Was stopped. It waits for you to try again."


def _sentence(facts: Facts) -> str:
    """The one sentence at the top of the loop page."""
    if facts.jobs:
        return _busy_sentence(facts)
    if facts.held:
        name = NAMES[STEP_OF[facts.held[0].kind]]
        what = "failed" if facts.held[0].is_failure else "was stopped"
        return f"{name.capitalize()} {what} and waits for you to try again."
    ready = [step for step in Step if is_due(facts, step)]
    if ready and not facts.is_automatic:
        return f"Ready for {NAMES[ready[0]]}. This project's loop is turned by hand."
    if not facts.has_prompts:
        return "Import prompts with completions to begin."
    if facts.n_pairs_open == 0 and facts.live_policy is None:
        return explain(facts, Step.SFT if facts.is_tiny else Step.REGISTER)
    return explain(facts, Step.REWARD)


def _busy_sentence(facts: Facts) -> str:
    name = NAMES[STEP_OF[facts.jobs[0].kind]]
    if any(job.state is JobState.RUNNING for job in facts.jobs):
        return f"Now: {name}."
    return f"Next: {name}." if facts.workers else f"Next: {name}, once a worker runs."
