"""The steps of the loop, the jobs that do them, and what people call them."""

from enum import StrEnum

from app.tables.jobs import JobKind


class Step(StrEnum):
    """What the loop can start, in the order in which it is considered."""

    REGISTER = "register"  # the base model becomes the first policy as it is
    SFT = "sft"  # the first policy learns from imported completions
    SELECT = "select"
    POLICY = "policy"
    REWARD = "reward"  # freezes a preference set first
    SAMPLE = "sample"


JOB_OF = {
    Step.SFT: JobKind.SFT,
    Step.SELECT: JobKind.SELECT,
    Step.POLICY: JobKind.POLICY,
    Step.REWARD: JobKind.REWARD,
    Step.SAMPLE: JobKind.SAMPLE,
}
STEP_OF = {kind: step for step, kind in JOB_OF.items()}
ASIDE_NAMES = {
    JobKind.EVALUATE: "evaluating a reward model",
    JobKind.WORTH: "measuring what the data is worth",
    JobKind.REPLY: "a reply",
}
NAMES = {
    Step.REGISTER: "registering the base model",
    Step.SFT: "supervised fine-tuning",
    Step.SELECT: "ranking the open pairs",
    Step.POLICY: "optimising the policy",
    Step.REWARD: "training the reward model",
    Step.SAMPLE: "sampling new completions",
}


def job_name(kind: JobKind) -> str:
    """What people call a job of this kind, whether it is a step of the loop or aside of it."""
    return NAMES[STEP_OF[kind]] if kind in STEP_OF else ASIDE_NAMES[kind]
