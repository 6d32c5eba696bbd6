"""Find a Chromium for the browser tests, or install one where the machine allows it.

Run by `make test`: `python -m tests.browser.install_browser`. Without a browser it ends with a
warning, and with `CI=true` with a failure.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable")


def find_browser() -> str | None:
    """The path of a Chromium that runs: on PATH, or else the one that Playwright downloaded."""
    on_path = (shutil.which(name) for name in NAMES)
    for path in [*filter(None, on_path), *_downloaded()]:
        if _runs(path):
            return path
    return None


def _downloaded() -> list[str]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return []
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return [path] if Path(path).exists() else []


def _runs(path: str) -> bool:
    # Ubuntu's package is a launcher for a snap, which not every machine can run.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        argv = [path, "--version"]
        return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0
    return False


def install() -> None:
    """With the package manager as root, or without a password; else through Playwright."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and (not prefix or _try("sudo", "-n", "true")):
        _try(*prefix, "apt-get", "update", "-qq")
        _try(*prefix, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")
    if find_browser() is None:
        _try(sys.executable, "-m", "playwright", "install", "chromium")


def _try(*argv: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            timeout=600,
            check=False,
        )
        return done.returncode == 0
    return False


def main() -> None:
    if find_browser() is None:
        print("No Chromium was found; installing one.", flush=True)
        install()
    if find_browser() is None:
        print(
            "No Chromium could be installed, so the browser tests cannot run. Install Chromium "
            "or Google Chrome and try again.",
            file=sys.stderr,
        )
        sys.exit(1 if os.environ.get("CI") == "true" else 0)


if __name__ == "__main__":
    main()
