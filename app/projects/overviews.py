"""The projects that a person runs, each with a line on how its loop stands."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.projects.queries import Member, live_jobs, n_comparisons
from app.projects.remaining import open_pairs
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project

WORK = {
    JobKind.SFT: "fine-tuning the base model",
    JobKind.REWARD: "training a reward model",
    JobKind.POLICY: "optimising the policy",
    JobKind.SAMPLE: "writing fresh completions",
    JobKind.SELECT: "choosing the next pairs",
}


@dataclass(frozen=True)
class Overview:
    """A project that the person runs, with a line of state."""

    project: Project
    n_open: int
    n_comparisons: int
    job: Job | None

    @property
    def loop(self) -> str:
        if self.job is None:
            if self.n_open:
                return "waiting for comparisons"
            return "waiting for prompts" if self.n_comparisons == 0 else "waiting for fresh pairs"
        work = WORK[self.job.kind]
        return work if self.job.state is JobState.RUNNING else f"about to begin {work}"


def overviews(session: Session, members: list[Member]) -> list[Overview]:
    ids = [member.project.id for member in members]
    pairs, comparisons = open_pairs(session, ids), n_comparisons(session, ids)
    jobs = live_jobs(session, ids)
    return [
        Overview(member.project, pairs.get(i, 0), comparisons.get(i, 0), jobs.get(i))
        for i, member in zip(ids, members, strict=True)
    ]
