"""tests/apps: scripts over Debian's programs, whose expected output was recorded under Linux and never by hand."""

import difflib
import os

from .. import arch as arches
from .. import boot
from ..batch import Batch, GuestLost, scratch_disk
from ..paths import BUILD, ensure
from ..ui import LinnetError, say
from . import FAILED, PASSED, TESTS, Header, Result

FOLDER = TESTS / "apps"
TIMEOUT = 60
PROCESSORS = "4"
MEMORY = "1G"
DIFF_SHOWN = 60
PASSED_ON = ("LINNET_SECONDS",)  # of our environment, for scripts that let the user say how long they run

NO_NEWLINE = b"\\ no newline at the end\n"


def jobs(plan):
    scripts = [path for path in sorted(FOLDER.rglob("*.sh")) if plan.selects(name_of(path))]
    headers = {path: Header(path) for path in scripts}
    groups = {}
    for arch in plan.arches if not plan.record else recorded_arches(plan):
        for path in scripts:
            header = headers[path]
            if header.chosen(arch, plan.long):
                key = (header.text("rootfs", "busybox"), header.text("mem", MEMORY), header.text("smp", PROCESSORS),
                       header.text("disk"))
                groups.setdefault((arch.name, *key), []).append(path)
    return [(key[0], lambda key=key, paths=paths: run(plan, key, paths, headers)) for key, paths in groups.items()]


def name_of(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def recorded_arches(plan):
    """The host's architecture first: the others only keep what differs from it."""
    if plan.kernel != "linux":
        raise LinnetError("expected output is recorded from Linux: say --kernel linux")
    first = arches.ARCHES["x86_64"]
    return [first] + [one for one in plan.arches if one.name != first.name]


def run(plan, key, paths, headers):
    arch = arches.get_arch(key[0])
    setup = boot.Setup(arch, kernel=plan.kernel, root=key[1], memory=key[2], smp=int(key[3]), debug=plan.debug,
                       sanitize=plan.sanitize, disks=[scratch_disk(arch, key[4])] if key[4] else [])
    log = ensure(BUILD / "test") / f"apps-{arch.name}-{key[1]}.log"
    todo = list(paths)
    while todo:
        with plan.slots:
            todo = run_batch(plan, arch, setup, log, todo, headers)


def run_batch(plan, arch, setup, log, todo, headers):
    done = 0
    try:
        with Batch(setup, log) as guest:
            for path in todo:
                run_one(plan, arch, guest, path, headers[path])
                done += 1
    except GuestLost as lost:
        if done < len(todo):
            plan.report.add(Result(_name(arch, todo[done]), FAILED, str(lost)))
            done += 1
    return todo[done:]


def _name(arch, path):
    return f"apps/{arch.name}/{name_of(path)}"


def run_one(plan, arch, guest, path, header):
    inside = f"/.linnet/t/{path.name}"
    guest.put(inside, path.read_bytes())
    companions = [path.parent / name for name in header.text("with").split()]
    for companion in companions:
        guest.put(f"/.linnet/t/{companion.name}", companion.read_bytes())
    settings = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    outcome = guest.run([inside], header.number("timeout", TIMEOUT), cwd="/tmp", env=settings or None)
    for placed in (path, *companions):
        guest.remove(f"/.linnet/t/{placed.name}")
    actual = transcript(outcome)
    if plan.record:
        return record(plan, arch, path, outcome, actual)
    expected = expectation(path, arch)
    if expected is None:
        output = f"no {path.stem}.expected; record it with --record --kernel linux"
    elif actual == expected:
        return plan.report.add(Result(_name(arch, path), PASSED, "", outcome.seconds))
    else:
        output = difference(expected, actual, outcome)
    plan.report.add(Result(_name(arch, path), FAILED, output, outcome.seconds))


def transcript(outcome):
    """Standard output and the exit status, as the .expected files hold them."""
    text = outcome.stdout
    if text and not text.endswith(b"\n"):
        text += b"\n" + NO_NEWLINE
    return text + f"exit status {outcome.status}\n".encode()


def expectation(path, arch):
    for candidate in (path.with_suffix(f".{arch.name}.expected"), path.with_suffix(".expected")):
        if candidate.exists():
            return candidate.read_bytes()
    return None


def record(plan, arch, path, outcome, actual):
    if outcome.timed_out:
        return plan.report.add(Result(_name(arch, path), FAILED, "timed out; nothing recorded", outcome.seconds))
    common = path.with_suffix(".expected")
    own = path.with_suffix(f".{arch.name}.expected")
    if arch.name == "x86_64" or not common.exists():
        target = common
    else:
        target = None if common.read_bytes() == actual else own
        own.unlink(missing_ok=True)
    if target:
        if target == own:
            say(f"{name_of(path)} prints something else on {arch.name}")
        target.write_bytes(actual)
    return plan.report.add(Result(_name(arch, path), PASSED, "recorded", outcome.seconds))


def difference(expected, actual, outcome):
    def lines(data):
        return data.decode(errors="backslashreplace").splitlines()

    diff = list(difflib.unified_diff(lines(expected), lines(actual), "on Linux", "here", lineterm="", n=2))
    if len(diff) > DIFF_SHOWN:
        diff[DIFF_SHOWN:] = [f"({len(diff) - DIFF_SHOWN} more lines)"]
    text = "\n".join(diff)
    if outcome.stderr:
        text += "\nstandard error:\n" + outcome.stderr[-4000:].decode(errors="replace")
    return text + ("\ntimed out" if outcome.timed_out else "")
