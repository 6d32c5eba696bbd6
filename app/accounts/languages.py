"""Languages that people read and projects are in: ISO 639 codes with their English names."""

from collections.abc import Iterable

from app.errors import Invalid

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "gl": "Galician", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
CODES = {name.lower(): code for code, name in LANGUAGES.items()} | {
    code: code for code in LANGUAGES
}


def read_languages(words: str) -> list[str]:
    """The codes of languages written with commas, by name or by code. Raises Invalid."""
    typed = [one.strip() for one in words.split(",") if one.strip()]
    unknown = [one for one in typed if one.lower() not in CODES]
    if unknown:
        raise Invalid(
            f"“{unknown[0][:40]}” is not a language that is known here. Write English names or "
            "two-letter codes with commas between them: English, German, pt.",
            field="languages",
        )
    return sorted({CODES[one.lower()] for one in typed})


def names_of(codes: Iterable[str]) -> str:
    """The names of these languages, with commas between them."""
    return ", ".join(sorted(LANGUAGES.get(code, code) for code in codes))
