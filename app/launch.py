"""Start a program that does not outlive us, under an identity that it accepts.

Some steps must happen between fork and exec: ask the kernel for a signal when the parent dies,
enter a user namespace, drop root. Python code run there by `preexec_fn` may deadlock in a process
with threads, so a small interpreter does them and then becomes the program: this file, run as a
script with the standard library alone. `command()` writes its command line.

The signal comes when the *thread* that started the child ends: start children from the main thread.
It is a Linux feature. Elsewhere a killed parent leaves its children running.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

LINUX = sys.platform == "linux"

# From <linux/prctl.h>, <linux/sched.h> and <linux/capability.h>.
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Identity:
    """Whom a child runs as.

    `how` is one of
    - `same`: as we are;
    - `namespace`: our own user under another number, in a user namespace. The files stay ours,
      and so does the right to pass our private folders, but nothing more than that;
    - `user`: drop root for the user `uid`, `gid`;
    - `reader`: the same, keeping the one right to pass folders that are private to root.
    """

    how: str = "same"
    uid: int = 0
    gid: int = 0


def command(
    argv: Sequence[str],
    *,
    identity: Identity | None = None,
    folder: str = "",
    death_signal: int = signal.SIGTERM,
) -> list[str]:
    """The command line that runs `argv`, with `death_signal` sent to it when we die.

    `argv[0]` is an absolute path. `folder` is entered after the identity is taken, so that one
    that the new identity cannot reach makes the launch fail with status 126.
    """
    who = identity or Identity()
    numbers = [str(n) for n in (os.getpid(), int(death_signal), who.uid, who.gid)]
    return [sys.executable, "-I", "-S", __file__, *numbers, who.how, folder, *argv]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),  # the kernel demands it before gid_map
        ("uid_map", f"{uid} {outside_uid} 1"),
        ("gid_map", f"{gid} {outside_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 (slow import)
            file.write(text)


def _drop_to(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _keep_passage(libc: ctypes.CDLL) -> None:
    """Carry CAP_DAC_OVERRIDE over exec; see capabilities(7) on the ambient set."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    wanted = 1 << CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(wanted, wanted, wanted, 0, 0, 0)
    _check(libc.capset(header, sets), "capset")
    _check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl")


def _become(who: Identity, libc: ctypes.CDLL) -> None:
    if who.how == "namespace":
        _enter_namespace(libc, who.uid, who.gid)
    elif who.how == "user":
        _drop_to(who.uid, who.gid)
    elif who.how == "reader":
        _check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
        _drop_to(who.uid, who.gid)
        _keep_passage(libc)


def main() -> None:
    parent, death_signal, uid, gid = (int(number) for number in sys.argv[1:5])
    how, folder, *argv = sys.argv[5:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _become(Identity(how, uid, gid), libc)
        if folder:
            os.chdir(folder)
        if LINUX:
            # Last, because the kernel forgets it whenever the identity changes.
            _check(libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl")
            if os.getppid() != parent:
                sys.exit(125)
        os.execv(argv[0], argv)  # noqa: S606 (no shell is the point)
    except OSError as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        sys.exit(126)


if __name__ == "__main__":
    main()
