"""The loop turned with no human: the same services, jobs and stages, and a truth to measure by."""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from app import runs
from app.collect.intake import PromptIn, add_prompts
from app.datasets.service import freeze
from app.db import session_scope
from app.errors import Conflict
from app.jobs import find_unfinished
from app.loop.state import Waiting, decide, read_facts
from app.projects.flags import FlagValues, add_flag
from app.projects.service import create_project
from app.tables.collect import Comparison
from app.tables.jobs import Job, JobState
from app.tables.projects import FlagScope, Objective, Project
from app.tables.runs import PolicyRun, RewardRun, RunState
from worker.daemon import run_until_idle
from worker.demo.annotators import Annotator, panel
from worker.demo.language import all_prompts, demonstrate
from worker.demo.measure import Sampled, predicted_mean, sample_held_out, true_mean
from worker.demo.people import answer_everything, enlist
from worker.demo.report import Round
from worker.demo.settings import DemoSettings
from worker.errors import TrainerError
from worker.runtime import Runtime

GUIDELINES = """
A good answer names several different things that belong to the place, in whole sentences, wishes
the person well and stops. It is never rude, never off topic and never says the same thing twice.
"""
FLAGS = ("Off-topic", "Rude", "Repeats itself", "Hard to read")


@dataclass
class Demonstration:
    """One project with its simulated people, turned round by round."""

    settings: DemoSettings
    runtime: Runtime
    say: Callable[[str], None]
    crowd: list[Annotator] = field(default_factory=lambda: panel(4))
    project_id: uuid.UUID = field(default_factory=uuid.uuid4)
    people: list[uuid.UUID] = field(default_factory=list)
    # What the last policy measured wrote: the next round begins where this one ended.
    measured: tuple[uuid.UUID, list[Sampled]] | None = None

    def set_up(self) -> None:
        """Make the project, its prompts and its people, and let the first policy learn to speak."""
        settings = self.settings
        with session_scope() as session:
            project = create_project(
                session,
                name=f"Demonstration, seed {settings.seed}",
                objective=Objective.HELPFULNESS,
                created_by=None,
                guidelines=GUIDELINES,
                **settings.project_values(),
            )
            for label in FLAGS:
                add_flag(session, project, FlagValues(label, FlagScope.COMPLETION), by=None)
            add_prompts(session, project, prompts_with_demonstrations(settings))
            self.people = enlist(session, project, self.crowd)
            self.project_id = project.id
        self.say("A tiny network learns the small language, and writes the first pairs.")
        self._work()

    def turn(self, number: int, *, is_last: bool = False) -> Round:
        """One round: people answer, a reward model learns, the policy is optimised and writes.

        After the last round it writes nothing, for nobody would read it.
        """
        began, before_policy = time.monotonic(), self._live_policy()
        before = self._sample(before_policy)
        self.say(f"Round {number}: {len(self.crowd)} simulated annotators answer.")
        n = answer_everything(self.project_id, self.crowd, self.people, self.settings.seed)
        self.say(f"Round {number}: {n:,} answers; training the reward model and the policy.")
        self._ask_for_training(n)
        self._work(lambda: is_last and self._newest_policy().id != before_policy.id)
        policy, reward = self._newest_policy(), self._live_reward()
        if policy.id == before_policy.id:
            raise TrainerError("The round ended without a new policy; the log above says why.")
        after = self._sample(policy)
        judge = runs.artefact_path(reward)
        return Round(
            number=number,
            true_before=true_mean(before),
            true_after=true_mean(after),
            predicted_before=predicted_mean(judge, before, self.runtime),
            predicted_after=predicted_mean(judge, after, self.runtime),
            kl=policy.kl,
            reward_accuracy=reward.accuracy,
            n_comparisons=self._n_comparisons(),
            seconds=time.monotonic() - began,
            alarms=list(policy.alarms),
        )

    def samples_along_the_way(self) -> Iterator[tuple[int, Path]]:
        """(number, file of evaluation samples) of each optimised policy, in order."""
        with session_scope() as session:
            optimised = session.scalars(
                select(PolicyRun)
                .where(
                    PolicyRun.project_id == self.project_id, PolicyRun.reward_run_id.is_not(None)
                )
                .order_by(PolicyRun.number)
            ).all()
        for run in optimised:
            file = Path(runs.artefact_path(run)) / "evaluation_samples.jsonl"
            if file.exists():
                yield run.number, file

    def _work(self, until: Callable[[], bool] = lambda: False) -> None:
        """Do this project's jobs until none is due, here or by another worker beside us."""
        give_up_at = time.monotonic() + self.settings.seconds_at_most
        while time.monotonic() < give_up_at:
            run_until_idle(max_seconds=give_up_at - time.monotonic(), until=until)
            if until() or self._is_quiet():
                break
            time.sleep(0.5)
        with session_scope() as session:
            error = session.scalar(
                select(Job.error).where(
                    Job.project_id == self.project_id, Job.state == JobState.FAILED
                )
            )
        if error is not None:
            raise TrainerError(f"A job failed: {error}")

    def _is_quiet(self) -> bool:
        with session_scope() as session:
            project = session.get_one(Project, self.project_id)
            if find_unfinished(session, project.id):
                return False
            return isinstance(decide(read_facts(session, project)), Waiting)

    def _ask_for_training(self, n_new: int) -> None:
        """Freeze by hand where people answered fewer than a round's worth of pairs."""
        with session_scope() as session:
            project = session.get_one(Project, self.project_id)
            if n_new < project.comparisons_per_round:
                try:
                    freeze(session, project)
                except Conflict as error:
                    raise TrainerError(f"Nothing new was answered. {error.message}") from error

    def _sample(self, policy: PolicyRun) -> list[Sampled]:
        if self.measured is not None and self.measured[0] == policy.id:
            return self.measured[1]
        settings = self.settings
        sampled = sample_held_out(
            runs.artefact_path(policy),
            settings.n_measured,
            settings.seed,
            settings.max_new_tokens,
            self.runtime,
        )
        self.measured = (policy.id, sampled)
        return sampled

    def _live_policy(self) -> PolicyRun:
        with session_scope() as session:
            return session.scalars(
                select(PolicyRun).where(PolicyRun.project_id == self.project_id, PolicyRun.is_live)
            ).one()

    def _newest_policy(self) -> PolicyRun:
        """The newest finished policy, live or held back by its alarms."""
        with session_scope() as session:
            return session.scalars(
                select(PolicyRun)
                .where(
                    PolicyRun.project_id == self.project_id, PolicyRun.state == RunState.FINISHED
                )
                .order_by(PolicyRun.number.desc())
                .limit(1)
            ).one()

    def _live_reward(self) -> RewardRun:
        with session_scope() as session:
            return session.scalars(
                select(RewardRun).where(RewardRun.project_id == self.project_id, RewardRun.is_live)
            ).one()

    def _n_comparisons(self) -> int:
        with session_scope() as session:
            n = session.scalar(select(func.count()).where(Comparison.project_id == self.project_id))
        return int(n or 0)


def prompts_with_demonstrations(settings: DemoSettings) -> Iterator[PromptIn]:
    """Every training prompt with a few answers to learn the language from, and no pairs:
    people shall compare what the policy writes."""
    chooser = random.Random(f"demonstration {settings.seed}")  # noqa: S311 (must be seeded)
    for prompt in all_prompts():
        texts = {demonstrate(prompt, chooser) for _ in range(settings.demonstrations_a_prompt)}
        yield PromptIn.model_validate(
            {
                "messages": prompt,
                "completions": [
                    {"text": text, "source": "demonstration"} for text in sorted(texts)
                ],
                "pairs": [],
            }
        )


def read_samples(file: Path) -> Iterator[dict[str, object]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
