"""Policy runs and supervised runs from files to folders, killed and broken on purpose."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.policy.worlds import runtime, silent, world, write_lines
from worker.checkpoints import verify
from worker.demo.language import demonstrations
from worker.errors import TrainerError
from worker.models import render_prompt
from worker.policy.alarms import Watch
from worker.policy.config import SupervisedConfig
from worker.policy.sample import SamplingRule, pad_left
from worker.policy.sft import fine_tune
from worker.policy.stage import PolicyRun, optimise
from worker.reward.score import trained_length


def weights(folder):
    return load_file(folder / "model.safetensors")


def are_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_a_run_moves_every_weight_and_leaves_a_folder_that_loads(tmp_path, algorithm):
    config = world(tmp_path, algorithm=algorithm)
    progress = silent()
    report = optimise(config, runtime(), progress)
    assert verify(config.out) == []
    AutoModelForCausalLM.from_pretrained(config.out)
    before = weights(tmp_path / "tiny")
    assert all(not torch.equal(value, before[name]) for name, value in weights(config.out).items())
    assert [step for step, _ in progress.steps] == [1, 2, 3]
    named = {"score_mean", "reward_mean", "kl", "kl_k3", "entropy", "clip_fraction",
             "value_explained_variance", "finished_rate", "length_mean", "policy_loss",
             "value_loss", "seconds"}  # fmt: skip
    assert named <= set(progress.steps[0][1])
    assert report["is_trustworthy"]
    assert report["before"]["n"] == report["after"]["n"] == 12
    assert report["before"]["kl"] == pytest.approx(0.0, abs=1e-4)
    samples = config.out / "evaluation_samples.jsonl"
    rows = [json.loads(x) for x in samples.read_text().splitlines()]
    assert [row["step"] for row in rows] == [0] * 12 + [2] * 12 + [3] * 12
    again = silent()
    assert optimise(config, runtime(), again) == report
    assert again.steps == []


def test_a_run_in_small_passes_learns_what_a_run_in_large_ones_does(tmp_path):
    found = []
    for rows in (None, 3):
        config = world(tmp_path, rows_at_once=rows, steps=1, missing_eos_penalty=0.0)
        run = PolicyRun(config, runtime(), silent())
        figures = run.advance()
        found.append((run.learner.policy.state_dict(), figures))
    (whole, one), (parts, other) = found
    # Adam's first steps are near ±1 a weight, so a gradient of zero may turn its sign by rounding.
    far = [(whole[name] - parts[name]).abs() > 1e-5 for name in whole]
    assert torch.cat([part.flatten() for part in far]).float().mean() < 0.01
    for name in ("policy_loss", "value_loss", "gradient_norm", "kl", "entropy", "clip_fraction"):
        assert other[name] == pytest.approx(one[name], abs=1e-3), name


def test_a_run_says_how_many_prompts_are_too_long_to_be_read_whole(tmp_path):
    run = PolicyRun(world(tmp_path, max_prompt_tokens=5), runtime(), silent())
    run.start()
    n = len(run.prompts) + len(run.held_out)
    assert run.progress.notes == [
        f"{n} of {n} prompts are longer than 5 tokens; their beginning is not read."
    ]


def test_scoring_against_a_constant_reward_model_with_a_strong_penalty_stays_at_the_reference(
    tmp_path,
):
    config = world(tmp_path, kl_coef=2.0, learning_rate=1e-4, steps=6, missing_eos_penalty=0.0)
    assert optimise(config, runtime(), silent())["kl"] < 0.5


@pytest.mark.slow
def test_a_run_killed_at_any_step_ends_with_the_same_weights_bit_for_bit(tmp_path):
    whole = world(tmp_path, steps=8, out=tmp_path / "whole")
    optimise(whole, runtime(), silent())
    killed = replace(whole, out=tmp_path / "killed")
    script = (
        "import sys, json; from pathlib import Path\n"
        "from tests.policy.worlds import world, runtime, silent\n"
        "from worker.policy.stage import optimise\n"
        "folder = Path(sys.argv[1])\n"
        "optimise(world(folder, steps=8, out=folder / 'killed'), runtime(), silent())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    folder = tmp_path / "killed.checkpoints"
    while child.poll() is None and not (folder / "step-000000003").exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not killed.out.exists()
    progress = silent()
    report = optimise(killed, runtime(), progress)
    assert "Resumed after step" in progress.notes[0]
    assert are_equal(weights(killed.out), weights(whole.out))
    assert len(report["evaluations"]) == 5
    assert (killed.out / "evaluation_samples.jsonl").read_text() == (
        whole.out / "evaluation_samples.jsonl"
    ).read_text()


@torch.no_grad()
def move_mass_to_padding(policy, ids):
    """What an optimiser does once forbidden tokens count: it lowers every other log-prob."""
    hidden = policy.model(ids).last_hidden_state.flatten(0, 1).mean(dim=0)
    policy.lm_head.weight = torch.nn.Parameter(policy.lm_head.weight.clone())
    policy.lm_head.weight[policy.config.pad_token_id] = 6.0 * hidden / hidden.square().sum()


@pytest.mark.parametrize("is_rule_shared", [True, False])
def test_log_probabilities_that_ignore_the_sampling_rule_raise_both_alarms(
    tmp_path, is_rule_shared
):
    run = PolicyRun(world(tmp_path, batch_size=64), runtime(), silent())
    run.start()
    tokenizer = run.learner.tokenizer
    asked = [render_prompt(tokenizer, prompt) for prompt in run.prompts[:32]]
    move_mass_to_padding(run.learner.policy, pad_left(asked, tokenizer.unk_token_id)[0])
    if not is_rule_shared:
        run.learner.rule = SamplingRule(1.0)
    kl = run.advance()["kl"]
    kinds = {alarm["kind"] for alarm in run.watch.alarms}
    if is_rule_shared:
        assert kl == pytest.approx(0.0, abs=1e-3)
        assert kinds == set()
    else:
        assert kl < -0.1
        assert kinds == {"negative_kl", "sampler_gap"}
        assert any("no divergence is negative" in note for note in run.progress.notes)
    assert run.report(1.0)["is_trustworthy"] == is_rule_shared


def test_a_negative_estimate_within_its_noise_raises_nothing_and_a_large_one_names_the_budget():
    watch = Watch(kl_budget=20.0, gap_limit=1e-3)
    assert watch.observe(1, torch.tensor([0.5, -0.6, 0.3, -0.4]), 0.0) == []
    assert watch.observe(2, torch.zeros(4) - 1e-6, 0.0) == []
    (sentence,) = watch.observe_distance(3, 25.0)
    assert "25.0 nats" in sentence
    assert watch.observe_distance(4, 26.0) == []
    assert watch.is_trustworthy


def test_a_loss_that_is_no_number_stops_the_run_with_a_sentence(tmp_path):
    config = world(tmp_path, learning_rate=1e30)
    with pytest.raises(TrainerError, match="not a number any more"):
        optimise(config, runtime(), silent())
    assert not config.out.exists()


def test_a_stopped_run_goes_on_where_its_folder_was_moved_to_but_not_with_another_reference(
    tmp_path,
):
    config = world(tmp_path / "old")
    run = PolicyRun(config, runtime(), silent())
    run.start()
    run.advance()
    run.save()
    (tmp_path / "old").rename(tmp_path / "new")
    moved = replace(world(tmp_path / "new"), steps=config.steps)
    again = PolicyRun(moved, runtime(), silent())
    again.start()
    assert again.step == 1
    other = tmp_path / "reference"
    shutil.copytree(moved.reference, other)
    (other / "manifest.json").write_text("{}")
    with pytest.raises(TrainerError, match="other data"):
        PolicyRun(replace(moved, reference=str(other)), runtime(), silent()).start()


def test_the_prompts_of_an_epoch_are_shuffled_once(tmp_path, monkeypatch):
    run = PolicyRun(world(tmp_path), runtime(), silent())
    monkeypatch.setattr(run, "prompts", [[{"role": "user", "content": str(i)}] for i in range(40)])
    drawn = []
    for run.step in range(5):
        drawn += [prompt[0]["content"] for prompt in run.batch_prompts()]
    assert len(set(drawn[:40])) == len(set(drawn[40:])) == 40
    assert drawn[:40] != drawn[40:]
    assert run._order(1) is run._order(1)


def test_a_reward_model_reads_as_many_tokens_as_it_was_trained_with(tmp_path):
    config = world(tmp_path)
    assert trained_length(config.reward_model) == 1024
    manifest = Path(config.reward_model) / "manifest.json"
    told = {**json.loads(manifest.read_text()), "configuration": {"max_length": 8}}
    manifest.write_text(json.dumps(told))
    scores = PolicyRun(config, runtime(), silent()).raw_scores
    prompt = [{"role": "user", "content": "describe the harbour " * 5}]
    other = [{"role": "user", "content": "say something " * 5}]
    one, two = scores([prompt, other], ["in spring " * 8] * 2)
    assert float(one) == pytest.approx(float(two), abs=1e-6)


def test_settings_that_cannot_work_are_refused_with_a_sentence(tmp_path):
    config = world(tmp_path)
    for wrong, words in [
        ({"algorithm": "ilql"}, "no algorithm"),
        ({"kl_coef": -0.1}, "cannot be negative"),
        ({"kl_coef": math.nan}, "cannot be negative"),
        ({"kl_target": 0.0}, "above 0: .* KL target"),
        ({"value_learning_rate": -1.0}, "above 0: .*value learning rate"),
        ({"evaluate_every": 0}, "at least 1: .*evaluate every"),
        ({"algorithm": "rloo", "group_size": 5}, "divides the batch size"),
    ]:
        with pytest.raises(TrainerError, match=words):
            optimise(replace(config, **wrong), runtime(), silent())


def test_supervised_training_lowers_the_held_out_loss_and_resumes_to_the_same_weights(tmp_path):
    lines = write_lines(tmp_path / "d.jsonl", demonstrations(300, seed=2))
    config = SupervisedConfig("tiny", lines, tmp_path / "sft", epochs=2, checkpoint_every=3)
    report = fine_tune(config, runtime(), silent(), tmp_path)
    assert report["after"]["loss"] < report["before"]["loss"] - 1.0
    assert report["after"]["n"] == 15
    AutoModelForCausalLM.from_pretrained(config.out)

    class Killed(Exception):
        pass

    class Dying(type(silent())):
        def metrics(self, step, values):
            if step == 5:
                raise Killed

    other = replace(config, out=tmp_path / "other")
    with pytest.raises(Killed):
        fine_tune(other, runtime(), Dying(), tmp_path)
    progress = silent()
    fine_tune(other, runtime(), progress, tmp_path)
    assert progress.notes == ["Resumed after step 3."]
    assert are_equal(weights(other.out), weights(config.out))


def test_two_objectives_make_one_score_that_is_whitened_and_kept_in_the_manifest(tmp_path):
    config = world(tmp_path, steps=1)
    config = replace(config, safety_model=config.reward_model, combine="weights", safety_weight=2.0)
    run = PolicyRun(config, runtime(), silent())
    prompts, texts = run.held_out[:4], ["the garden is green", "no", "a tree", "the"]
    both = run.raw_scores(prompts, texts)
    alone = PolicyRun(
        replace(config, safety_model=None, out=tmp_path / "alone"), runtime(), silent()
    )
    # Model and safety are one and the same here, and its temperature is not known: s + 2 s.
    torch.testing.assert_close(both, 3 * alone.raw_scores(prompts, texts))
    report = optimise(config, runtime(), silent())
    assert report["configuration"]["combine"] == "weights"
    manifest = json.loads((config.out / "manifest.json").read_text())
    assert manifest["configuration"]["safety_model"] == config.safety_model
    with pytest.raises(TrainerError, match="threshold lies between 0 and 1"):
        PolicyRun(replace(config, safety_threshold=0.0), runtime(), silent())
