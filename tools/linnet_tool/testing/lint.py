"""clang-tidy with the house's .clang-tidy over the kernel's sources, as the build of one architecture compiles them. It takes
minutes, so it is run when it is asked for, and with --long."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from .. import kernel, packages
from ..paths import ROOT
from . import FAILED, PASSED, Result

PROGRAM = "clang-tidy-19"


def jobs(plan):
    if plan.kernel != "linnet":
        return []
    return [(plan.arches[0].name, lambda: run(plan, plan.arches[0]))]


def run(plan, arch):
    packages.require(PROGRAM)
    kernel.build(arch)  # the sources are read with the build's precompiled header
    home = kernel.folder(arch)
    files = sorted({command["file"] for command in json.loads((home / "compile_commands.json").read_text())
                    if command["file"].endswith(".cpp")})
    chosen = [(name, path) for path in files
              if plan.selects(name := os.path.relpath(path, ROOT)) and name.startswith("kernel/")]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for result in pool.map(lambda one: check(arch, home, *one), chosen):
            plan.report.add(result)


def check(arch, home, name, path):
    done = subprocess.run(["nice", PROGRAM, "-p", str(home), "--quiet", path], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", cwd=ROOT)
    verdict = PASSED if done.returncode == 0 and "warning:" not in done.stdout else FAILED
    return Result(f"lint/{arch.name}/{name}", verdict, (done.stdout or done.stderr)[-4000:])
