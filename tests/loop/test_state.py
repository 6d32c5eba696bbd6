"""The decision alone: facts in, one thing due or a sentence out."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.loop.facts import Facts, Held, JobFact, LivePolicy, Numbered
from app.loop.state import JOB_OF, Due, Step, Waiting, decide, explain, is_due, refusal
from app.loop.steps import STEP_OF
from app.tables.jobs import JobKind, JobState
from app.tables.runs import Algorithm

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = Facts(
    is_automatic=True,
    base_model="tiny",
    comparisons_per_round=10,
    pairs_per_round=10,
    has_prompts=False,
    has_completions=False,
    n_pairs_open=0,
    n_comparisons=0,
    n_new_comparisons=0,
    n_comparisons_since_sampling=0,
    latest_set=None,
    live_reward=None,
    live_policy=None,
    is_set_trained=False,
    is_reward_used=False,
    held_back=None,
    is_ranked=False,
)
IMPORTED = replace(EMPTY, has_prompts=True, has_completions=True, n_pairs_open=10)
POLICY = LivePolicy(uuid.uuid4(), 1, Algorithm.SFT, None)
SPEAKING = replace(IMPORTED, live_policy=POLICY)
REWARDED = replace(
    SPEAKING,
    latest_set=Numbered(uuid.uuid4(), 1),
    live_reward=Numbered(uuid.uuid4(), 1),
    is_set_trained=True,
    n_comparisons=10,
)


def job(kind: JobKind, state: JobState = JobState.RUNNING) -> JobFact:
    return JobFact(uuid.uuid4(), kind, state, None, 1, "alice", 3, 10, "", False)


def held(kind: JobKind, *, is_failure: bool = True) -> Held:
    return Held(uuid.uuid4(), kind, None, is_failure, "The disk is full.")


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (IMPORTED, Step.SFT),
        (replace(IMPORTED, base_model="/models/x", has_completions=False), Step.REGISTER),
        (replace(SPEAKING, n_pairs_open=0), Step.SAMPLE),
        (replace(SPEAKING, n_comparisons=10, n_new_comparisons=10), Step.REWARD),
        (replace(REWARDED, is_set_trained=False, live_reward=None), Step.REWARD),
        (REWARDED, Step.SELECT),
        (replace(REWARDED, is_ranked=True), Step.POLICY),
        (replace(REWARDED, n_pairs_open=0), Step.POLICY),
        (replace(REWARDED, is_reward_used=True, n_pairs_open=9, is_ranked=True), Step.SAMPLE),
    ],
)
def test_the_loop_goes_on_with(facts: Facts, step: Step) -> None:
    assert decide(facts) == Due(step)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (EMPTY, "Import prompts"),
        (replace(EMPTY, has_prompts=True), "Waits for completions to learn from"),
        (SPEAKING, "Waits for at least 2 comparisons"),
        (replace(SPEAKING, n_comparisons=3, n_new_comparisons=3), "Waits for 7 more comparisons"),
        (replace(SPEAKING, jobs=(job(JobKind.SFT),)), "Now: supervised fine-tuning"),
        (replace(IMPORTED, jobs=(job(JobKind.SFT, JobState.QUEUED),)), "once a worker runs"),
        (replace(IMPORTED, held=(held(JobKind.SFT),)), "waits for you to try again"),
        (replace(IMPORTED, is_automatic=False), "turned by hand"),
    ],
)
def test_the_loop_says_what_it_waits_for(facts: Facts, words: str) -> None:
    found = decide(facts)
    assert isinstance(found, Waiting)
    assert words in found.sentence


def test_each_stage_says_what_it_waits_for() -> None:
    found = decide(SPEAKING)
    assert isinstance(found, Waiting)
    assert found.stages[Step.SFT] == "Done: policy 1 is live."
    assert found.stages[Step.POLICY] == "Waits for a first reward model."
    assert found.stages[Step.SAMPLE] == "Waits until fewer than 10 pairs are open; 10 are."
    failed = replace(SPEAKING, held=(held(JobKind.SAMPLE),))
    assert explain(failed, Step.SAMPLE).startswith("Failed: The disk is full.")


@pytest.mark.parametrize(
    ("n_open", "words"),
    [
        (10, "Waits until people have answered the 10 open pairs."),
        (1, "Waits until people have answered the one open pair."),
        (0, "Waits for a newer policy, or for answers."),
    ],
)
def test_a_policy_that_was_sampled_is_sampled_again_once_all_is_answered(
    n_open: int, words: str
) -> None:
    sampled = replace(POLICY, sampled_at=NOW)
    facts = replace(SPEAKING, live_policy=sampled, n_pairs_open=n_open)
    assert explain(facts, Step.SAMPLE) == words
    facts = replace(facts, n_pairs_open=0, n_comparisons_since_sampling=1)
    assert is_due(facts, Step.SAMPLE)


def test_a_policy_held_back_for_its_alarms_is_neither_sampled_nor_made_again() -> None:
    facts = replace(
        REWARDED, is_ranked=True, is_reward_used=True, held_back=Numbered(uuid.uuid4(), 4)
    )
    assert isinstance(decide(facts), Waiting)
    assert "Policy run 4 raised alarms" in explain(facts, Step.POLICY)


def test_a_policy_that_writes_nothing_new_is_not_asked_for_ever() -> None:
    sampled = replace(POLICY, sampled_at=NOW)
    facts = replace(REWARDED, live_policy=sampled, is_reward_used=True, n_pairs_open=0)
    assert isinstance(decide(facts), Waiting)
    assert decide(replace(facts, n_comparisons_since_sampling=1)) == Due(Step.SAMPLE)


numbered = st.builds(Numbered, st.uuids(), st.integers(1, 9))
any_facts = st.builds(
    Facts,
    is_automatic=st.booleans(),
    base_model=st.sampled_from(["tiny", "/models/x"]),
    comparisons_per_round=st.integers(2, 20),
    pairs_per_round=st.integers(1, 20),
    has_prompts=st.booleans(),
    has_completions=st.booleans(),
    n_pairs_open=st.integers(0, 30),
    n_comparisons=st.integers(0, 30),
    n_new_comparisons=st.integers(0, 30),
    n_comparisons_since_sampling=st.integers(0, 30),
    latest_set=st.none() | numbered,
    live_reward=st.none() | numbered,
    live_policy=st.none()
    | st.builds(
        LivePolicy,
        st.uuids(),
        st.integers(1, 9),
        st.sampled_from(Algorithm),
        st.none() | st.just(NOW),
    ),
    is_set_trained=st.booleans(),
    is_reward_used=st.booleans(),
    held_back=st.none() | numbered,
    is_ranked=st.booleans(),
    jobs=st.just(())
    | st.sampled_from(list(STEP_OF)).flatmap(
        lambda kind: st.sampled_from([JobState.QUEUED, JobState.RUNNING]).map(
            lambda state: (job(kind, state),)
        )
    ),
    held=st.lists(st.sampled_from(list(STEP_OF)), unique=True).map(
        lambda kinds: tuple(held(kind) for kind in kinds)
    ),
    workers=st.just(()),
)


@given(any_facts)
def test_nothing_starts_beside_something_or_by_itself_or_after_a_failure(facts: Facts) -> None:
    found = decide(facts)
    if facts.jobs or not facts.is_automatic:
        assert isinstance(found, Waiting)
    if isinstance(found, Due):
        assert refusal(facts, found.step) is None
        assert is_due(facts, found.step)
        assert JOB_OF.get(found.step) not in {one.kind for one in facts.held}
        started = JOB_OF.get(found.step)
        if started is not None:
            assert isinstance(decide(replace(facts, jobs=(job(started),))), Waiting)


@given(any_facts)
def test_every_stage_always_has_a_sentence(facts: Facts) -> None:
    found = decide(facts)
    sentences = [explain(facts, step) for step in Step]
    if isinstance(found, Waiting):
        sentences += [found.sentence, *found.stages.values()]
    for sentence in sentences:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "None" not in sentence


@given(any_facts)
def test_a_step_is_due_for_the_hand_exactly_where_it_is_for_the_clock(facts: Facts) -> None:
    """Turning automation off changes who starts a step, and nothing else."""
    for step in Step:
        by_hand = replace(facts, is_automatic=False)
        assert is_due(facts, step) == is_due(by_hand, step)
        assert refusal(facts, step) == refusal(by_hand, step)
