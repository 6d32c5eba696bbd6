"""Each answer came from the pair or from a habit: the mixture that reliability and verdicts share.

Person j reads with probability θ_j; then the answer depends on what the pair is (a hidden state) by
a kernel that all share. Otherwise it comes from the person's habit, a distribution over what is
*shown*, whatever the pair is. With as many states as choices and a kernel that copies, this is MACE
(D. Hovy et al., "Learning Whom to Trust with MACE", NAACL 2013, eq. 1).
"""

from dataclasses import dataclass

import numpy as np

from app.agree.answers import Answers
from app.agree.exact import Floats

# A habit is learned from few answers, so it starts as the whole project's, worth this many answers
# for each choice.
HABIT_PRIOR = 2.0
TINY = 1e-300


@dataclass(frozen=True)
class Expected:
    """What the answers say, given who reads and how.

    `states` [N, G]: each pair's posterior over hidden states; `others` [M, G]: the same without one
    answer. `read` [M]: the chance of the answer if its person read, judged from everyone else's
    answers. `habit` [M]: the chance if not.
    """

    states: Floats
    others: Floats
    read: Floats
    habit: Floats

    def was_read(self, answers: Answers, reliability: Floats) -> Floats:
        """The posterior chance [M] that an answer came from the pair."""
        yes = reliability[answers.people] * self.read
        no = (1 - reliability[answers.people]) * self.habit
        return np.asarray(yes / np.maximum(yes + no, TINY))


def expect(
    answers: Answers, log_prior: Floats, kernel: Floats, reliability: Floats, habit: Floats
) -> Expected:
    """The E-step, exact. `log_prior` [N, G], `kernel` [G, K], `reliability` [J], `habit` [M].

    A pair's posterior divided by what one answer added to it is the posterior without that answer,
    so `read` never lets an answer confirm itself.
    """
    theta = reliability[answers.people]  # [M]
    copied = kernel.T[answers.choices]  # [M, G]
    either = theta[:, None] * copied + ((1 - theta) * habit)[:, None] + TINY  # [M, G]
    log_either = np.log(either)
    log_states = log_prior.copy()
    for state in range(kernel.shape[0]):
        log_states[:, state] += np.bincount(answers.pairs, log_either[:, state], answers.n_pairs)
    states = normalise(log_states)
    others = states[answers.pairs] / either  # [M, G]
    others /= np.maximum(others.sum(axis=1, keepdims=True), TINY)
    return Expected(states, others, (others * copied).sum(axis=1), habit)


def normalise(log_states: Floats) -> Floats:
    """Rows [N, G] of unnormalised logs as probabilities."""
    states = np.exp(log_states - log_states.max(axis=1, keepdims=True))
    return np.asarray(states / states.sum(axis=1, keepdims=True))


def learn_habit(answers: Answers, was_read: Floats) -> Floats:
    """The chance [M] of each answer under its person's habit, learned from their *other* answers.

    A habit is how often the person showed each choice where they did not read, smoothed by the
    project's. Left in, an answer would make the habit that explains it.
    """
    n = answers.n_choices
    cell = answers.people * n + answers.shown
    unread = 1 - was_read
    given = np.bincount(cell, unread, minlength=answers.n_people * n)[cell] - unread
    total = np.bincount(answers.people, unread, answers.n_people)[answers.people] - unread
    everyone = np.bincount(answers.shown, minlength=n) + 1.0  # [K]
    usual = (everyone / everyone.sum())[answers.shown]  # [M]
    prior = HABIT_PRIOR * n
    return np.asarray((given + prior * usual) / (total + prior))


def learn_reliability(answers: Answers, was_read: Floats, prior: tuple[float, float]) -> Floats:
    """The share [J] of answers that were read, with a Beta prior counted as answers."""
    read = np.bincount(answers.people, was_read, answers.n_people)
    return np.asarray((read + prior[0]) / (answers.n_by_person + prior[0] + prior[1]))
