"""The only reader of the environment."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import Invalid

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Configuration of one Prefloop installation, from environment variables.

    `DATABASE_URL` names a Postgres server; when it is empty, an embedded server keeps its data
    below `PREFLOOP_DATA`. Folders for artefacts and logs lie below `PREFLOOP_DATA` too.
    """

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    data: Path = Field(default=Path(".prefloop"), alias="PREFLOOP_DATA")
    port: int = Field(default=8000, alias="PREFLOOP_PORT", ge=1, le=65535)
    host: str = Field(default="127.0.0.1", alias="PREFLOOP_HOST")
    database_url: str = Field(default="", alias="DATABASE_URL")
    is_https: bool = Field(default=False, alias="PREFLOOP_HTTPS")
    trusted_hosts: str = Field(default="", alias="PREFLOOP_TRUSTED_HOSTS")
    # Addresses and networks of proxies, with commas between; only they may say whom they serve.
    forwarded_allow_ips: str = Field(default="127.0.0.1", alias="PREFLOOP_FORWARDED_ALLOW_IPS")
    postgres_bin: str = Field(default="", alias="PREFLOOP_POSTGRES_BIN")
    pool_size: int = Field(default=16, alias="PREFLOOP_POOL_SIZE", ge=1)
    max_upload_bytes: int = Field(default=256 * 2**20, alias="PREFLOOP_MAX_UPLOAD_BYTES", ge=1)

    @property
    def data_folder(self) -> Path:
        return self.data.expanduser().resolve()

    @property
    def runs_folder(self) -> Path:
        """Where reward runs and policy runs keep their files, one folder a run."""
        return self.data_folder / "runs"

    @property
    def models_folder(self) -> Path:
        """Where built-in base models are made, one folder a project."""
        return self.data_folder / "models"


@lru_cache
def get_settings() -> Settings:
    """The settings of this process. Raises Invalid, which names each variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{one['loc'][0]}={one['input']} ({one['msg']})" for one in error.errors()
        )
        raise Invalid(
            f"The environment holds a setting that cannot be used: {wrong}. Correct or unset it."
        ) from error
