"""Where the loop stands, as JSON, for scripts with a bearer token."""

from typing import Any

from fastapi import APIRouter

from app.loop import queries
from app.loop.stages import Stage, build_stages, headline
from app.loop.state import read_facts
from app.policy.api import as_json as policy_as_json
from app.reward.api import as_json as reward_as_json
from app.reward.progress import Progress
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep

router = APIRouter(prefix="/api/v1")


@router.get("/projects/{slug}/loop")
def show_loop(access: StaffAccess, session: SessionDep) -> dict[str, Any]:
    project = access.project
    facts = read_facts(session, project)
    jobs = queries.read_jobs(session, [job.id for job in facts.jobs])
    activity = queries.read_activity(session, project.id)
    last = queries.read_last_runs(session, project.id)
    return {
        "sentence": headline(facts),
        "is_automatic": facts.is_automatic,
        "n_comparisons": facts.n_comparisons,
        "n_new_comparisons": facts.n_new_comparisons,
        "comparisons_per_round": facts.comparisons_per_round,
        "n_pairs_open": facts.n_pairs_open,
        "stages": [_stage(one) for one in build_stages(facts, activity, last, jobs)],
        "workers": [
            {"name": one.name, "device": one.device, "last_seen_at": one.last_seen_at}
            for one in facts.workers
        ],
        "rounds": [_round(one) for one in queries.list_rounds(session, project.id)],
    }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.key,
        "standing": stage.standing.value,
        "sentence": stage.sentence,
        "jobs": [_job(one) for one in stage.jobs],
        "held": [
            {"job_id": str(one.job_id), "is_failure": one.is_failure, "error": one.error}
            for one in stage.held
        ],
    }


def _job(job: Progress) -> dict[str, Any]:
    return {
        "id": str(job.job_id),
        "kind": job.kind.value,
        "state": job.state.value,
        "done": job.done,
        "total": job.total,
        "message": job.message,
        "attempt": job.attempt,
        "worker": job.worker,
        "seconds": job.elapsed,
        "seconds_left": job.left,
    }


def _round(one: queries.Round) -> dict[str, Any]:
    return {
        "reward_run": reward_as_json(one.reward),
        "policy_run": policy_as_json(one.policy) if one.policy else None,
        "preference_set": {
            "id": str(one.preference_set.id),
            "number": one.preference_set.number,
            "n_comparisons": one.preference_set.n_comparisons,
            "content_hash": one.preference_set.content_hash,
        },
        "seconds": one.seconds,
    }
