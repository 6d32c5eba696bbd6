"""Sampling: one rule on both sides, whatever the padding."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import worker.runtime
from tests.policy.worlds import runtime, silent, world, write_lines
from worker.errors import Stopped, TrainerError
from worker.models import load_policy, load_tokenizer, render_prompt
from worker.policy.command import sample
from worker.policy.files import read_prompts
from worker.policy.sample import (
    SamplingRule,
    completion_logprobs,
    count_cut,
    read_completions,
    rollouts,
    training_rule,
)
from worker.policy.writing import WritingConfig, sample_distinct, write_completions

SHORT = [{"role": "user", "content": "Now, describe the museum."}]
LONG = [{"role": "user", "content": "In spring, say something about the harbour."}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    base = world(tmp_path_factory.mktemp("world")).policy
    return load_policy(base, runtime()).eval(), load_tokenizer(base)


def test_forbidden_tokens_have_no_probability_and_the_rest_sums_to_one():
    rule = SamplingRule(temperature=0.5, forbidden_tokens=(0, 2))
    probabilities = rule.log_probabilities(torch.tensor([5.0, 0.0, 9.0, 0.5])).exp()
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0])
    expected[[1, 3]] = torch.tensor([0.0, 1.0]).softmax(0)
    torch.testing.assert_close(probabilities, expected)


def test_top_k_and_top_p_keep_the_smallest_sets_they_promise():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    kept = SamplingRule(top_k=2).log_probabilities(logits).exp()
    torch.testing.assert_close(kept, torch.tensor([0.625, 0.375, 0.0, 0.0]))
    nucleus = SamplingRule(top_p=0.7).log_probabilities(logits).exp()
    torch.testing.assert_close(nucleus, torch.tensor([0.625, 0.375, 0.0, 0.0]))
    assert SamplingRule(top_p=0.4).log_probabilities(logits).exp().tolist() == [1, 0, 0, 0]


def test_the_sampler_and_the_trainer_agree_on_every_log_probability(tiny):
    policy, tokenizer = tiny
    rule = training_rule(policy, tokenizer, temperature=0.7)
    torch.manual_seed(0)
    batch = rollouts(policy, tokenizer, [SHORT, LONG] * 8, rule, 12)
    logprobs = completion_logprobs(policy, batch, rule)
    torch.testing.assert_close(logprobs, batch.logprobs, atol=1e-5, rtol=1e-4)
    assert not torch.isin(batch.completion_ids[batch.mask.bool()], tokenizer.pad_token_id).any()


def test_completions_are_read_alike_however_many_at_once(tiny):
    policy, tokenizer = tiny
    rule = training_rule(policy, tokenizer, 1.0)
    batch = rollouts(policy, tokenizer, [SHORT, LONG] * 4, rule, 6)
    together, one_by_one = (read_completions(policy, batch, rule, n) for n in (8, 3))
    torch.testing.assert_close(one_by_one, together)
    torch.testing.assert_close(completion_logprobs(policy, batch, rule), together[0])


def test_a_prompt_longer_than_the_model_reads_loses_its_beginning(tmp_path):
    policy, tokenizer = small_gpt2(tmp_path)
    rule = training_rule(policy, tokenizer, 1.0)
    endless = [{"role": "user", "content": "describe " * 100 + "the museum"}]
    batch = rollouts(policy, tokenizer, [endless, SHORT], rule, 14)
    assert batch.prompt_ids[0].tolist() == render_prompt(tokenizer, endless)[-50:]
    assert count_cut(tokenizer, [endless, SHORT], 50) == 1
    with pytest.raises(TrainerError, match="reads 64 tokens at most"):
        rollouts(policy, tokenizer, [SHORT], rule, 64)


def small_gpt2(folder):
    """A random GPT-2 of 64 positions, which it cannot go beyond, with the tiny tokenizer."""
    tokenizer = load_tokenizer(world(folder).policy)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).eval(), tokenizer


def test_left_padding_changes_no_log_probability(tiny):
    policy, tokenizer = tiny
    rule = training_rule(policy, tokenizer, 1.0)
    torch.manual_seed(0)
    batch = rollouts(policy, tokenizer, [SHORT, LONG], rule, 6)
    together = completion_logprobs(policy, batch, rule)
    alone = batch.select(torch.tensor([0]))
    assert alone.prompt_ids.shape[1] < batch.prompt_ids.shape[1]
    by_itself = completion_logprobs(policy, alone, rule)
    torch.testing.assert_close(by_itself[0], together[0, : by_itself.shape[1]])


def test_a_completion_ends_with_its_end_token_or_is_called_truncated(tiny):
    policy, tokenizer = tiny
    torch.manual_seed(0)
    batch = rollouts(policy, tokenizer, [SHORT] * 64, training_rule(policy, tokenizer, 1.0), 30)
    for ids, mask, is_finished in zip(
        batch.completion_ids, batch.mask.bool(), batch.is_finished, strict=True
    ):
        real = ids[mask].tolist()
        assert (real[-1] == tokenizer.eos_token_id) == bool(is_finished)
        assert tokenizer.eos_token_id not in real[:-1]
    assert 0 < batch.is_finished.sum() < 64


def test_completions_of_one_prompt_are_different_and_never_empty(tiny):
    policy, tokenizer = tiny
    rule = training_rule(policy, tokenizer, 1.0)
    found = sample_distinct(policy, tokenizer, [SHORT, LONG], 4, rule=rule, max_new_tokens=9)
    for completions in found:
        texts = [one.text for one in completions]
        assert all(texts)
        assert len(set(texts)) == len(texts) == 4


def test_the_sample_command_writes_lines_and_says_what_it_dropped(tiny, tmp_path):
    policy, _ = tiny
    prompts = write_lines(tmp_path / "p.jsonl", [{"id": "x", "prompt": SHORT}, {"prompt": "Now,"}])
    sample(
        model=policy.config.name_or_path,
        prompts=prompts,
        out=tmp_path / "o.jsonl",
        report=tmp_path / "r.json",
        n=3,
        top_k=1,
        max_new_tokens=5,
        progress="none",
    )
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["x", "2"]
    assert set(lines[0]["completions"][0]) == {"text", "n_tokens", "is_truncated", "log_prob"}
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["n_dropped"] == 6 - report["n_completions"] >= 4


def test_completions_of_a_stopped_run_are_those_of_one_that_was_not(tiny, tmp_path, monkeypatch):
    lines = write_lines(tmp_path / "p.jsonl", ({"prompt": f"Now,\u2028 {i}."} for i in range(7)))
    config = WritingConfig(
        tiny[0].config.name_or_path, lines, tmp_path / "whole", max_new_tokens=6, batch_size=4
    )
    write_completions(config, runtime(), silent())
    cut = replace(config, out=tmp_path / "cut")
    monkeypatch.setitem(worker.runtime._stop, "requested", True)
    with pytest.raises(Stopped, match="after prompt 2 of 7"):
        write_completions(cut, runtime(), silent())
    monkeypatch.setitem(worker.runtime._stop, "requested", False)
    assert not cut.out.exists()
    with cut.partial.open("a") as stream:
        stream.write('{"id": "3", "comple')
    progress = silent()
    report = write_completions(cut, runtime(), progress)
    assert progress.notes == ["Resumed after prompt 2 of 7."]
    assert cut.out.read_text() == config.out.read_text()
    assert report["n_prompts"] == 7
    assert not list(tmp_path.glob("*.part"))


def test_other_settings_do_not_go_on_with_the_lines_of_a_stopped_run(tiny, tmp_path):
    lines = write_lines(tmp_path / "p.jsonl", [{"prompt": "Now,"}])
    config = WritingConfig(tiny[0].config.name_or_path, lines, tmp_path / "out")
    assert config.partial != replace(config, temperature=0.5).partial
    assert config.partial.name == replace(config, out=tmp_path / "moved" / "out").partial.name


def test_completions_are_not_written_twice_by_several_processes(tiny, tmp_path):
    config = WritingConfig(tiny[0].config.name_or_path, tmp_path / "p", tmp_path / "out")
    with pytest.raises(TrainerError, match="without torchrun"):
        write_completions(config, replace(runtime(), world_size=2), silent())


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": ""}', '{"prompt": [{"role": "user"}]}'])
def test_a_prompt_that_cannot_be_read_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "p.jsonl").write_text('{"prompt": "fine"}\n' + line + "\n")
    with pytest.raises(TrainerError, match="line 2"):
        read_prompts(tmp_path / "p.jsonl")
