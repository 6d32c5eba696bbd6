import pytest

from app.errors import Invalid
from app.settings import get_settings


def test_a_setting_that_cannot_be_used_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get_settings.cache_clear()
    monkeypatch.setenv("PREFLOOP_PORT", "99999")
    try:
        with pytest.raises(Invalid, match=r"PREFLOOP_PORT=99999 .*less than or equal to 65535"):
            get_settings()
    finally:
        get_settings.cache_clear()
