"""`./linnet test`: runs the kinds of tests that were asked for and sums up."""

import fnmatch
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from .. import agent, debug, kernel, rootfs
from .. import arch as arches
from ..paths import BUILD, ROOT, ensure
from ..ui import LinnetError, say

KINDS = ("unit", "boot", "abi", "apps")
# Only when asked for, or with --long.
LONG_KINDS = ("lint",)
TESTS = ROOT / "tests"

# No more guests than this at once, however many processors there are.
GUESTS = 2

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Result:
    name: str
    verdict: str
    output: str = ""
    seconds: float = 0.0


class Report:
    """Collects results, from several threads, and shows what failed as it happens."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.results = []
        self.lock = threading.Lock()

    def add(self, result):
        with self.lock:
            self.results.append(result)
            if result.verdict == FAILED:
                print(f"FAILED  {result.name}  ({result.seconds:.1f} s)")
                for line in result.output.rstrip().splitlines():
                    print(f"    {line}")
            elif self.verbose:
                note = f": {result.output.strip().splitlines()[-1]}" if result.output.strip() and \
                    result.verdict == SKIPPED else ""
                print(f"{result.verdict}  {result.name}  ({result.seconds:.1f} s){note}")
            sys.stdout.flush()

    def count(self, verdict, prefix=""):
        return sum(1 for one in self.results if one.verdict == verdict and one.name.startswith(prefix))

    def summary(self, prefix=""):
        text = f"{self.count(PASSED, prefix)} passed, {self.count(FAILED, prefix)} failed"
        skipped = self.count(SKIPPED, prefix)
        return text + (f", {skipped} skipped" if skipped else "")


@dataclass
class Plan:
    """What a run of the tests covers."""

    arches: list
    kernel: str
    pattern: str
    long: bool
    record: bool
    debug: bool
    sanitize: bool
    report: Report
    slots: threading.Semaphore

    def selects(self, name):
        """--filter is a shell pattern, or a part of the name."""
        return not self.pattern or fnmatch.fnmatch(name, self.pattern) or self.pattern in name

    def header(self, path):
        return Header(path)


class Header:
    """What a test says about itself in its first comment lines: `// needs-linux: 6.12`, `# rootfs: debian`, …"""

    KEYS = ("needs-linux", "timeout", "arch", "long", "rootfs", "mem", "smp", "disk", "with", "runs-on")

    def __init__(self, path):
        self.values = {}
        for line in path.read_text(errors="replace").splitlines()[:40]:
            if not re.match(r"\s*(//|#|/?\*)", line):
                if line.strip():
                    break
                continue
            found = re.match(r"\s*(?://|#|/?\*)+\s*([a-z-]+)(?::\s*(.*?))?\s*$", line)
            if found and found[1] in self.KEYS:
                self.values[found[1]] = found[2] or ""

    def text(self, key, default=""):
        return self.values.get(key, default)

    def number(self, key, default):
        return float(self.values.get(key) or default)

    def chosen(self, arch, long):
        """Whether it is for that architecture, in the fast tier or with the long one."""
        return self._names("arch", arch) and (long or "long" not in self.values or not self._names("long", arch))

    def _names(self, key, arch):
        """Whether a list of architectures has this one; one that is empty has them all."""
        names = self.text(key).replace(",", " ").split()
        return not names or arch.name in names

    def new_enough(self, version):
        """Whether a Linux of that version is what the test needs."""
        needed = self.text("needs-linux")
        return not needed or _version(version) >= _version(needed)


def _version(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def run(options):
    from . import abi, apps, boot, lint, unit
    kinds = options.kinds or list(KINDS + LONG_KINDS if options.long else KINDS)
    for kind in kinds:
        if kind not in KINDS + LONG_KINDS:
            raise LinnetError(f"no tests of the kind '{kind}' (there are: {', '.join(KINDS + LONG_KINDS)})", 2)
    report = Report(options.verbose)
    plan = Plan(arches.get_arches(options.arch or "all", options.kernel), options.kernel, options.filter or "", options.long,
                options.record, options.debug, options.sanitize, report, threading.Semaphore(GUESTS))
    start = time.monotonic()
    modules = {"unit": unit, "boot": boot, "abi": abi, "apps": apps, "lint": lint}
    _prepare(plan, kinds)
    for kind in KINDS + LONG_KINDS:
        if kind in kinds:
            _run_kind(kind, modules[kind], plan)
    _save(report, plan, kinds, time.monotonic() - start)
    print(report.summary(), flush=True)
    if not report.results:
        say("nothing was tested")
    return 1 if report.count(FAILED) or not report.results else 0


def _prepare(plan, kinds):
    """Kernels, agents and roots come first: the time limits of tests are for the tests."""
    if set(kinds) <= {"unit", "lint"}:
        return
    for one in plan.arches:
        if plan.kernel == "linnet":
            kernel.build(one, plan.debug, plan.sanitize)
            gdb_test = f"boot/{one.name}/debug.commands_show_the_kernel_at_a_breakpoint"
            if "boot" in kinds and plan.selects(gdb_test) and debug.is_known(one):
                kernel.build(one, debug=True)  # for gdb
        agent.get(one)
        rootfs.get("busybox", one)
        if "apps" in kinds:
            rootfs.get("debian", one)


def _run_kind(kind, module, plan):
    start = time.monotonic()
    jobs = module.jobs(plan)
    if not jobs:
        return
    # Recording is done one architecture after the other, because the first one's output is the common one.
    with ThreadPoolExecutor(1 if plan.record else GUESTS) as pool:
        futures = {pool.submit(_guarded, kind, name, job, plan): name for name, job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
        except KeyboardInterrupt:
            # The guests of the other threads die with us.
            say("interrupted")
            sys.stdout.flush()
            os._exit(130)
    say(f"{kind}: {plan.report.summary(kind + '/')} in {time.monotonic() - start:.0f} s")


def _guarded(kind, name, job, plan):
    """What goes wrong around the tests of a job is a failure of the job."""
    try:
        job()
    except LinnetError as error:
        plan.report.add(Result(f"{kind}/{name}", FAILED, str(error)))
    except Exception as error:
        plan.report.add(Result(f"{kind}/{name}", FAILED, f"{type(error).__name__}: {error}"))
        if os.environ.get("LINNET_TRACEBACK"):
            raise


def _save(report, plan, kinds, seconds):
    """Everything under build/; long runs are recorded for good."""
    rows = [{"name": one.name, "verdict": one.verdict, "seconds": round(one.seconds, 3)} for one in report.results]
    (ensure(BUILD / "test") / "results.json").write_text(json.dumps(rows, indent=1))
    if plan.long and report.results:
        record_long(report, plan, kinds, seconds)


def record_long(report, plan, kinds, seconds):
    """One line for each run, in one file for each commit, kernel and day."""
    import subprocess
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip() or "unknown"
    date = time.strftime("%Y-%m-%d")
    target = ensure(ROOT / "docs" / "results") / f"{date}-{commit}-{plan.kernel}.md"
    if not target.exists():
        target.write_text(f"# Long tests of {plan.kernel} at {commit}, {date}\n\n"
                          "| tests | architectures | seconds | result | failed |\n|---|---|---|---|---|\n")
    tests = ", ".join(kinds) + (f" ({plan.pattern})" if plan.pattern else "")
    failed = ", ".join(one.name for one in report.results if one.verdict == FAILED)
    columns = (tests, ", ".join(one.name for one in plan.arches), f"{seconds:.0f}", report.summary(), failed)
    with target.open("a") as file:
        file.write(f"| {' | '.join(columns)} |\n")
    say(f"recorded in {target.relative_to(ROOT)}")
