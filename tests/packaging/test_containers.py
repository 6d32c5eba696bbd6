"""docker-compose.yml and Dockerfile say what they must; no container engine is needed to ask."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
OURS = ["migrate", "web", "worker", "worker-gpu"]


def stages() -> list[str]:
    return re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.M)


def test_there_is_one_service_a_part() -> None:
    assert set(SERVICES) == {"db", *OURS}


@pytest.mark.parametrize("name", ["db", "web", "worker", "worker-gpu"])
def test_every_lasting_service_has_a_health_check_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_migration_runs_once_and_before_the_others() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    for name in ("web", "worker", "worker-gpu"):
        waits_for = SERVICES[name]["depends_on"]["migrate"]["condition"]
        assert waits_for == "service_completed_successfully"


def test_only_the_gpu_worker_stands_behind_the_profile() -> None:
    assert [name for name in SERVICES if SERVICES[name].get("profiles")] == ["worker-gpu"]
    device = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["capabilities"] == ["gpu"]


def test_web_and_worker_share_the_data_and_the_database_keeps_its_own() -> None:
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["prefloop:/data"]
        assert SERVICES[name]["environment"]["PREFLOOP_DATA"] == "/data"
    assert SERVICES["db"]["volumes"] == ["database:/var/lib/postgresql"]
    assert set(COMPOSE["volumes"]) == {"database", "prefloop"}


def test_the_web_server_believes_the_proxies_that_the_setting_names() -> None:
    assert '--forwarded-allow-ips \\"$PREFLOOP_FORWARDED_ALLOW_IPS\\"' in DOCKERFILE
    assert "exec uvicorn" in DOCKERFILE
    told = SERVICES["web"]["environment"]["PREFLOOP_FORWARDED_ALLOW_IPS"]
    assert told == "${PREFLOOP_FORWARDED_ALLOW_IPS:-127.0.0.1,172.16.0.0/12}"


def test_no_password_is_written_down() -> None:
    password = SERVICES["db"]["environment"]["POSTGRES_PASSWORD"]
    assert password.startswith("${POSTGRES_PASSWORD:?")
    for name in OURS:
        assert password in SERVICES[name]["environment"]["DATABASE_URL"]


def test_only_this_machine_reaches_the_published_port() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 1
    assert published[0].startswith("127.0.0.1:")


def test_every_image_is_a_stage_of_the_dockerfile_that_runs_as_a_plain_user() -> None:
    for name in OURS:
        target = SERVICES[name]["build"]["target"]
        stage = DOCKERFILE.split(f" AS {target}\n")[1].split("\nFROM ")[0]
        assert "USER prefloop" in stage
        assert target in stages()


def test_stages_and_copied_files_exist() -> None:
    copied_from = re.findall(r"--from=(\S+)", DOCKERFILE)
    assert set(copied_from) <= set(stages())
    for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.M):
        for source in line.split()[:-1]:
            assert source == "wheel[s]" or (REPOSITORY / source).exists(), source


def test_what_the_dockerfile_copies_is_not_ignored() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text(), re.M))
    for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.M):
        for source in line.split()[:-1]:
            assert source.replace("[s]", "s") in allowed


def test_nothing_names_a_registry() -> None:
    for name in ("Makefile", "Dockerfile", "docker-compose.yml", "constraints.txt", ".ci/run"):
        text = Path(REPOSITORY / name).read_text()
        assert not re.search(r"https?://|index-url|\bpypi\b", text, re.I), name
