"""tests/abi: each .cpp is a static Linux program; exit status 0 passes, 77 skips. One boot runs them all."""

import os
import subprocess

from .. import boot, debian, linux, packages, sysroot
from ..batch import Batch, GuestLost, scratch_disk
from ..paths import BUILD, ensure
from ..ui import Progress
from . import FAILED, PASSED, SKIPPED, TESTS, Header, Result

FLAGS = ["-std=c++23", "-O1", "-g0", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-pthread"]
FOLDER = TESTS / "abi"
STATUS_SKIPPED = 77
TIMEOUT = 60  # seconds, where a test says nothing else
LONG_FACTOR = 10  # a test that has a long form gets more time for it
PROCESSORS = 4
OUTPUT_SHOWN = 8000
SCRATCH_DISK = "64M"

# Raise it when the rules for compiling change, so that all is compiled again.
NINJA = """ninja_required_version = 1.10
rule program
  command = {compiler} {flags} -I {include} -MD -MF $out.d -o $out $in
  depfile = $out.d
  deps = gcc
  description = {arch} $in
"""


def jobs(plan):
    sources = [path for path in sorted(FOLDER.rglob("*.cpp")) if plan.selects(name_of(path))]
    return [(one.name, lambda one=one: run(plan, one, sources)) for one in plan.arches] if sources else []


def name_of(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def run(plan, arch, sources):
    headers = {path: Header(path) for path in sources}
    chosen = [path for path in sources if headers[path].chosen(arch, plan.long)]
    programs = compile_all(plan, arch, chosen)
    version = linux.get(arch).version if plan.kernel == "linux" else None
    todo = []
    for path in chosen:
        if path not in programs:
            continue
        if version and not headers[path].new_enough(version):
            needed = headers[path].text("needs-linux")
            plan.report.add(Result(_name(arch, path), SKIPPED, f"needs Linux {needed}, this is {version}"))
        else:
            todo.append((path, programs[path], headers[path]))
    while todo:
        with plan.slots:
            todo = run_batch(plan, arch, todo)


def _name(arch, path):
    return f"abi/{arch.name}/{name_of(path)}"


def compile_all(plan, arch, sources):
    """Compiles the programs; one that does not compile is a failure. Returns source -> program."""
    home = ensure(BUILD / "tests" / "abi" / arch.name)
    programs = {path: home / name_of(path) for path in sources}
    compiler = sysroot.compiler(arch)
    with debian.locked(f"abi-{arch.name}", BUILD):
        lines = [NINJA.format(compiler=" ".join(compiler), flags=" ".join(FLAGS), include=TESTS / "include",
                              arch=arch.name)]
        lines += [f"build {program}: program {path}" for path, program in programs.items()]
        text = "\n".join(lines) + "\n"
        ninja = home / "build.ninja"
        if not ninja.exists() or ninja.read_text() != text:
            ninja.write_text(text)
        command = ["ninja", "-C", str(home), "-k", "0", "-j", str(min(2, os.cpu_count() or 1))]
        with Progress(f"compiling {len(sources)} ABI tests for {arch.name}"):
            result = packages.run_quietly(command)
    if result.returncode == 0:
        return programs
    failures = _failures(result.stdout)
    built = {}
    for path, program in programs.items():
        if str(program) in failures:
            plan.report.add(Result(_name(arch, path), FAILED, failures[str(program)]))
        else:
            built[path] = program
    if len(built) == len(programs):
        raise RuntimeError(f"ninja failed: {result.stdout[-2000:]}")
    return built


def _failures(output):
    """ninja's output -> program: what the compiler said."""
    failures = {}
    current = None
    for line in output.splitlines():
        if line.startswith("FAILED: "):
            current = line.removeprefix("FAILED: ").split("] ")[-1].strip().split(" ")[0]
            failures[current] = ""
        elif line.startswith("[") and "] " in line:
            current = None
        elif current and len(failures[current]) < OUTPUT_SHOWN:
            failures[current] += line + "\n"
    return failures


def run_batch(plan, arch, todo):
    """Boots a guest and runs tests in it; returns those left over when the guest was lost on the way."""
    setup = boot.Setup(arch, kernel=plan.kernel, smp=PROCESSORS, debug=plan.debug, sanitize=plan.sanitize,
                       disks=[scratch_disk(arch, SCRATCH_DISK)])
    log = ensure(BUILD / "test") / f"abi-{arch.name}.log"
    done = 0
    try:
        with Batch(setup, log) as guest:
            for path, program, header in todo:
                plan.report.add(run_one(plan, arch, guest, path, program, header))
                done += 1
    except GuestLost as lost:
        if done < len(todo):
            plan.report.add(Result(_name(arch, todo[done][0]), FAILED, str(lost)))
            done += 1
    return todo[done:]


def run_one(plan, arch, guest, path, program, header):
    inside = f"/.linnet/t/{program.name}"
    guest.put(inside, program.read_bytes())
    timeout = header.number("timeout", TIMEOUT) * (LONG_FACTOR if plan.long else 1)
    outcome = guest.run([inside], timeout, cwd="/tmp", env={"LINNET_LONG": "1"} if plan.long else None)
    guest.remove(inside)
    return judge(_name(arch, path), outcome)


def judge(name, outcome):
    text = outcome.both[-OUTPUT_SHOWN:].decode(errors="replace")
    if outcome.timed_out:
        return Result(name, FAILED, f"{text}\ntimed out", outcome.seconds)
    if outcome.status == STATUS_SKIPPED:
        return Result(name, SKIPPED, text, outcome.seconds)
    if outcome.status == 0:
        return Result(name, PASSED, text, outcome.seconds)
    return Result(name, FAILED, f"{text}\nexit status {outcome.status}", outcome.seconds)
