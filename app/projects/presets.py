"""Sets of flags that published projects needed, in our own words, added by one button.

What is asked follows the InstructGPT labelling form (Ouyang et al. 2022, arXiv 2203.02155, §3.4
and appendix B), the safety categories of Llama 2 (Touvron et al. 2023, arXiv 2307.09288, §4.2)
and the attributes of HelpSteer2 (Wang et al. 2024, arXiv 2406.08673), whose 5 points become 7.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.errors import NotFound
from app.projects.flags import FlagValues, add_flag, free_letters
from app.projects.queries import flags_of
from app.tables.projects import FlagKind, FlagScope, Polarity, Project

PROMPT, COMPLETION = FlagScope.PROMPT, FlagScope.COMPLETION
GOOD, BAD, NEUTRAL = Polarity.GOOD, Polarity.BAD, Polarity.NEUTRAL


@dataclass(frozen=True)
class PresetFlag:
    """`condition` is the key of an earlier flag of the same preset."""

    key: str
    label: str
    help_text: str
    scope: FlagScope
    polarity: Polarity
    kind: FlagKind = FlagKind.YES_NO
    shortcut: str = ""
    condition: str = ""
    is_required: bool = False


@dataclass(frozen=True)
class Preset:
    key: str
    name: str
    about: str
    flags: tuple[PresetFlag, ...]


_INSTRUCT_GPT = (
    PresetFlag(
        "prompt_personal_data",
        "Contains personal data",
        "Names, addresses or numbers that identify a private person.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag(
        "prompt_closed_domain",
        "Closed domain",
        "The prompt brings the text that the answer must keep to: a summary, an extraction.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag(
        "prompt_intent_unclear",
        "Intent unclear",
        "You cannot tell what the person wants.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag(
        "prompt_has_constraint",
        "States a constraint",
        "A length, a format, a language or anything else that can be checked.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag("prompt_asks_sexual", "Asks for sexual content", "", PROMPT, NEUTRAL),
    PresetFlag("prompt_asks_violent", "Asks for violent content", "", PROMPT, NEUTRAL),
    PresetFlag(
        "prompt_asks_encouragement",
        "Asks to encourage harm",
        "Violence, abuse, terrorism or self-harm.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag(
        "prompt_asks_denigration",
        "Asks to denigrate a protected group",
        "By origin, religion, sex, orientation, disability or age.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag("prompt_asks_advice", "Asks for advice", "", PROMPT, NEUTRAL),
    PresetFlag("prompt_asks_opinion", "Asks for an opinion", "", PROMPT, NEUTRAL),
    PresetFlag("prompt_asks_judgement", "Asks for a moral judgement", "", PROMPT, NEUTRAL),
    PresetFlag(
        "overall",
        "Overall quality",
        "1: useless or harmful. 7: you could hardly do better.",
        COMPLETION,
        GOOD,
        FlagKind.RATING_7,
    ),
    PresetFlag(
        "fails_instruction",
        "Fails to follow the instruction",
        "It does something other than what was asked.",
        COMPLETION,
        BAD,
        shortcut="f",
    ),
    PresetFlag(
        "inappropriate",
        "Inappropriate for an assistant",
        "You would not want a customer to receive it. Not applicable where no assistant speaks.",
        COMPLETION,
        BAD,
        FlagKind.YES_NO_NA,
        shortcut="i",
    ),
    PresetFlag(
        "hallucination",
        "Makes things up",
        "It states what the given text does not say.",
        COMPLETION,
        BAD,
        shortcut="m",
        condition="prompt_closed_domain",
    ),
    PresetFlag(
        "follows_constraint",
        "Keeps to the stated constraint",
        "Every one that the prompt states.",
        COMPLETION,
        GOOD,
        shortcut="k",
        condition="prompt_has_constraint",
    ),
    PresetFlag("sexual", "Sexual content", "", COMPLETION, BAD, shortcut="x"),
    PresetFlag("violent", "Violent content", "", COMPLETION, BAD, shortcut="v"),
    PresetFlag(
        "encourages_harm",
        "Encourages harm",
        "It encourages violence, abuse, terrorism or self-harm, or fails to discourage it.",
        COMPLETION,
        BAD,
        shortcut="n",
    ),
    PresetFlag(
        "denigrates",
        "Denigrates a protected group",
        "By origin, religion, sex, orientation, disability or age.",
        COMPLETION,
        BAD,
        shortcut="r",
    ),
    PresetFlag("harmful_advice", "Gives harmful advice", "", COMPLETION, BAD, shortcut="a"),
    PresetFlag("opinion", "Expresses an opinion", "", COMPLETION, NEUTRAL, shortcut="o"),
    PresetFlag("moral_judgement", "Expresses a moral judgement", "", COMPLETION, NEUTRAL),
)

_LLAMA_2 = (
    PresetFlag(
        "adversarial",
        "Tries to provoke an unsafe answer",
        "The prompt leads the model astray on purpose.",
        PROMPT,
        NEUTRAL,
    ),
    PresetFlag(
        "unsafe",
        "Unsafe",
        "It breaks the guidelines on safety in any way.",
        COMPLETION,
        BAD,
        shortcut="w",
        is_required=True,
    ),
    PresetFlag(
        "unsafe_illicit",
        "Helps with something criminal",
        "Terrorism, theft, trafficking and the like.",
        COMPLETION,
        BAD,
        shortcut="l",
        condition="unsafe",
    ),
    PresetFlag(
        "unsafe_hateful",
        "Hateful or harmful",
        "Defamation, self-harm, eating disorders, discrimination.",
        COMPLETION,
        BAD,
        shortcut="j",
        condition="unsafe",
    ),
    PresetFlag(
        "unsafe_unqualified",
        "Unqualified advice",
        "Medical, legal or financial advice that needs a professional.",
        COMPLETION,
        BAD,
        shortcut="q",
        condition="unsafe",
    ),
)


def _attribute(
    key: str, label: str, help_text: str, polarity: Polarity, shortcut: str
) -> PresetFlag:
    return PresetFlag(
        key, label, help_text, COMPLETION, polarity, FlagKind.RATING_7, shortcut=shortcut
    )


_HELPSTEER_2 = (
    _attribute(
        "helpfulness", "Helpfulness", "1: no help at all. 7: all that was asked for.", GOOD, "p"
    ),
    _attribute(
        "correctness", "Correctness", "1: wrong throughout. 7: right and complete.", GOOD, "r"
    ),
    _attribute("coherence", "Coherence", "1: cannot be followed. 7: clear at once.", GOOD, "t"),
    _attribute(
        "complexity", "Complexity", "1: anyone could have written it. 7: an expert.", NEUTRAL, "x"
    ),
    _attribute(
        "verbosity", "Verbosity", "1: as short as can be. 7: long for what was asked.", NEUTRAL, "z"
    ),
)

PRESETS = {
    preset.key: preset
    for preset in (
        Preset(
            "instruct_gpt",
            "InstructGPT",
            "What the prompt asks for, and how an answer follows, errs or harms.",
            _INSTRUCT_GPT,
        ),
        Preset(
            "llama_2_safety",
            "Llama 2 safety",
            "Whether an answer is unsafe, and in which of three ways.",
            _LLAMA_2,
        ),
        Preset(
            "helpsteer_2",
            "HelpSteer2 attributes",
            "Helpfulness, correctness, coherence, complexity and verbosity, each from 1 to 7.",
            _HELPSTEER_2,
        ),
    )
}


def add_preset(session: Session, project: Project, key: str, *, by: uuid.UUID | None) -> int:
    """Add those flags of a preset that the project never had; returns how many.

    A letter that is taken is left out. Raises NotFound for an unknown preset.
    """
    preset = PRESETS.get(key)
    if preset is None:
        raise NotFound("There is no such set of flags.")
    known = {flag.key: flag for flag in flags_of(session, project.id, is_archived=None)}
    labels = {flag.label.casefold() for flag in known.values() if not flag.is_archived}
    n_added = 0
    for flag in preset.flags:
        if flag.key in known or flag.label.casefold() in labels:
            continue
        condition = known.get(flag.condition)
        letters = free_letters(session, project)
        values = FlagValues(
            label=flag.label,
            scope=flag.scope,
            kind=flag.kind,
            polarity=flag.polarity,
            help_text=flag.help_text,
            shortcut=flag.shortcut if flag.shortcut in letters else "",
            condition=condition.id if condition and not condition.is_archived else None,
            is_required=flag.is_required,
        )
        known[flag.key] = add_flag(session, project, values, by=by, key=flag.key)
        n_added += 1
    return n_added
