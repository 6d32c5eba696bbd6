"""Base models and their tokenizers: a local folder, a Hugging Face id, or the built-in `tiny`.

Weights are read from safetensors only, because a pickle can run code. Weights are float32; lower
precision is autocast's business.
"""

import socket
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from worker import quantised
from worker.errors import ModelNotFound, TrainerError
from worker.runtime import quiet_libraries, unwrap
from worker.tiny import make_tiny

if TYPE_CHECKING:
    from worker.runtime import Runtime

__all__ = [
    "MOST_PROMPT_TOKENS",
    "TINY",
    "cut_prompt",
    "encode_completion",
    "encode_conversation",
    "load_policy",
    "load_reward_model",
    "load_tokenizer",
    "longest_input",
    "make_tiny",
    "prompt_room",
    "render_conversation",
    "render_prompt",
    "resolve_base_model",
]

TINY = "tiny"
# One long prompt pads every row beside it, so even a model that could read more is given no more.
MOST_PROMPT_TOKENS = 1024
Message = dict[str, str]

# What a model without a chat template reads: plain role names for a decoder; for an encoder the
# contents between its own [CLS] and [SEP], as it met sentence pairs in its pretraining.
_PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ message['role'] | capitalize + ': ' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '\n\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant: ' }}{%- endif -%}"
)
_ENCODER_TEMPLATE = (
    "{{ cls_token }}"
    "{%- for message in messages -%}{{ message['content'] + sep_token }}{%- endfor -%}"
)


def resolve_base_model(
    name: str, texts: Iterable[str], models_folder: Path, *, seed: int = 0
) -> str:
    """The name itself, or for `tiny` the folder it is built in (once) from the given texts."""
    return str(make_tiny(texts, models_folder / TINY, seed=seed)) if name == TINY else name


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a base model; it pads on the left and always has a chat template.

    Raises ModelNotFound.
    """
    from transformers import AutoTokenizer

    tokenizer = _from_pretrained(AutoTokenizer, name)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _substitute_for_padding(tokenizer, name)
    if tokenizer.chat_template is None:
        is_encoder = tokenizer.cls_token is not None and tokenizer.sep_token is not None
        tokenizer.chat_template = _ENCODER_TEMPLATE if is_encoder else _PLAIN_TEMPLATE
    return tokenizer


def load_policy(name: str, runtime: "Runtime") -> Any:
    """A causal language model in float32 on the runtime's device. Raises ModelNotFound."""
    from transformers import AutoModelForCausalLM

    _refuse_pickle(name)
    model = _from_pretrained(
        AutoModelForCausalLM, name, use_safetensors=True, dtype=_float32(), device_map=None
    )
    return model.to(runtime.device)


def load_reward_model(
    name: str, runtime: "Runtime", tokenizer: Any, *, is_quantised: bool = False
) -> Any:
    """A network with one scalar head, from a causal LM, an encoder or an earlier reward model.

    A head that the base model does not bring starts near zero, so that the first scores are ties.
    With `is_quantised` the base model's linear layers are kept in four bits and learn by adapters
    alone. Raises ModelNotFound, and TrainerError where the library for four bits is missing.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    _refuse_pickle(name)
    options = (
        quantised.loading_options(_from_pretrained(AutoConfig, name), runtime)
        if is_quantised
        else {}
    )
    model, loading = _from_pretrained(
        AutoModelForSequenceClassification,
        name,
        num_labels=1,
        use_safetensors=True,
        dtype=_float32(),
        output_loading_info=True,
        **options,
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.problem_type = None
    missing = {str(key) for key in loading["missing_keys"]}
    for module_name, module in model.named_modules():
        if f"{module_name}.weight" in missing and getattr(module, "out_features", 0) == 1:
            _start_small(module)
    if is_quantised:
        quantised.prepare(model)
    return model.to(runtime.device)


def render_prompt(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a prompt, up to where the assistant begins to write; [prompt length]."""
    return _encode(tokenizer, _render(tokenizer, messages, is_open=True))


def longest_input(model: Any, max_length: int) -> int:
    """`max_length`, or what the network's positions allow if that is less, in tokens."""
    limit = getattr(unwrap(model).config, "max_position_embeddings", None)
    return min(max_length, limit) if limit else max_length


def prompt_room(models: Iterable[Any], max_new_tokens: int, limit: int = MOST_PROMPT_TOKENS) -> int:
    """How many tokens a prompt may have so that every model can read it with its completion.

    Raises TrainerError where a completion of `max_new_tokens` leaves no room.
    """
    longest = min(longest_input(model, limit + max_new_tokens) for model in models)
    if longest <= max_new_tokens:
        raise TrainerError(
            f"The model reads {longest} tokens at most, so {max_new_tokens} new ones leave none "
            "for the prompt. Ask for fewer new tokens, or choose a model that reads more."
        )
    return longest - max_new_tokens


def cut_prompt(tokenizer: Any, messages: Sequence[Message], room: int) -> tuple[list[int], bool]:
    """Token ids of a prompt, at most `room`, and whether some were cut.

    Cut from the left, because the end is what is answered; a token that begins every text stays.
    """
    ids = render_prompt(tokenizer, messages)
    if len(ids) <= room:
        return ids, False
    if room > 1 and ids[0] == tokenizer.bos_token_id:
        return [ids[0], *ids[len(ids) - room + 1 :]], True
    return ids[len(ids) - room :], True


def encode_completion(tokenizer: Any, text: str, *, is_finished: bool = True) -> list[int]:
    """Token ids of a completion, with the end token when it is finished; [completion length].

    What looks like a control token in the text is encoded as text.
    """
    ids = _encode(tokenizer, text, split_special_tokens=True)
    return [*ids, tokenizer.eos_token_id] if is_finished else ids


def render_conversation(tokenizer: Any, messages: Sequence[Message]) -> str:
    """A prompt with its completion as the text a reward model reads."""
    return _render(tokenizer, messages, is_open=False)


def encode_conversation(
    tokenizer: Any, messages: Sequence[Message], max_length: int
) -> tuple[list[int], bool]:
    """Token ids of a whole conversation, at most `max_length`, and whether some were cut.

    Cut from the left, where the prompt is: the completion is what is judged. A leading [CLS]
    stays, because an encoder's score is read there.
    """
    ids = _encode(tokenizer, render_conversation(tokenizer, messages))
    if len(ids) <= max_length:
        return ids, False
    if ids[0] == tokenizer.cls_token_id:
        return [ids[0], *ids[len(ids) - max_length + 1 :]], True
    return ids[len(ids) - max_length :], True


def _render(tokenizer: Any, messages: Sequence[Message], *, is_open: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(
            _harmless(tokenizer, messages), tokenize=False, add_generation_prompt=is_open
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise TrainerError(
            f"The base model's chat template refuses a conversation of {roles}: {error}. Choose "
            "another base model, or prompts of the form that it takes."
        ) from error
    return str(text)


def _harmless(tokenizer: Any, messages: Sequence[Message]) -> list[Message]:
    """The messages with a blank put into whatever would be read as a control token."""
    return [
        {**message, "content": _no_controls(tokenizer, message["content"])} for message in messages
    ]


def _no_controls(tokenizer: Any, text: str) -> str:
    for token in tokenizer.all_special_tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _encode(tokenizer: Any, text: str, **options: Any) -> list[int]:
    # verbose=False: the library warns about length, which callers handle themselves.
    ids = tokenizer(text, add_special_tokens=False, verbose=False, **options)["input_ids"]
    return [int(one) for one in ids]


def _float32() -> Any:
    import torch

    return torch.float32


def _start_small(head: Any) -> None:
    import torch

    torch.nn.init.normal_(head.weight, std=0.1 / head.in_features**0.5)
    if head.bias is not None:
        torch.nn.init.zeros_(head.bias)


def _substitute_for_padding(tokenizer: Any, name: str) -> str:
    for token in (tokenizer.unk_token, tokenizer.eos_token):
        if token is not None:
            return str(token)
    raise TrainerError(f"The tokenizer of “{name}” has neither a padding nor an end token.")


def _from_pretrained(loader: Any, name: str, **options: Any) -> Any:
    quiet_libraries()
    path = Path(name).expanduser()
    if path.is_dir():
        name = str(path)
    elif _is_in_cache(name):
        options["local_files_only"] = True
    elif name == TINY or name.startswith((".", "/", "~")) or not _is_hub_in_reach():
        raise ModelNotFound(_not_found(name))
    try:
        return loader.from_pretrained(name, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        if path.is_dir():
            raise ModelNotFound(
                f"“{name}” is a folder, but no model that can be used here: {_first_line(error)}"
            ) from error
        raise ModelNotFound(f"{_not_found(name)} ({_first_line(error)})") from error


def _is_in_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def _is_hub_in_reach() -> bool:
    """Whether the hub's name resolves; the library itself would retry for most of a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _not_found(name: str) -> str:
    return (
        f"There is no base model “{name}”. Give the path of a folder that holds a Hugging Face "
        "model, an id from the Hugging Face hub (this machine must reach the hub, or hold the "
        "model in its cache), or “tiny” for the built-in one."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _refuse_pickle(name: str) -> None:
    path = Path(name).expanduser()
    if not path.is_dir() or any(path.glob("*.safetensors")):
        return
    if any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth")):
        raise ModelNotFound(
            f"“{name}” holds its weights as a pickle, which can run code when it is read. Convert "
            "them to safetensors (save_pretrained writes that) and try again."
        )
