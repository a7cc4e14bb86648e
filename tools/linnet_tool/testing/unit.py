"""tests/unit: kernel code that needs no hardware, built for this machine and run under sanitizers by ctest: all of it with
AddressSanitizer and UBSan, and what is concurrent a second time with ThreadSanitizer."""

import os
import subprocess
import xml.etree.ElementTree as ElementTree

from .. import debian, kernel, packages
from ..paths import BUILD, ROOT, ensure
from ..ui import LinnetError
from . import FAILED, PASSED, SKIPPED, TESTS, Result

FOLDER = TESTS / "unit"
NEEDS = (*packages.KERNEL_BUILD, "/usr/src/googletest/CMakeLists.txt", "/usr/sbin/mke2fs")


# Build folder, what CMake is told, what goes before the names of the tests.
BUILDS = (("unit", [], ""), ("unit-thread", ["-DLINNET_TSAN=ON"], "thread/"))


def jobs(plan):
    if not (FOLDER / "CMakeLists.txt").exists() or plan.kernel != "linnet":
        return []
    return [("host", lambda: run(plan))]


def run(plan):
    packages.require(*NEEDS)
    if packages.run_quietly(["sh", "-c", "ls /usr/lib/llvm-19/lib/clang/19/lib/linux/*asan*.a"]).returncode != 0:
        packages.install(["libclang-rt-19-dev"])
    with debian.locked("unit", BUILD):
        for name, options, prefix in BUILDS:
            home = ensure(BUILD / name)
            build(home, options)
            execute(plan, home, prefix)


def build(home, options):
    if not (home / "build.ninja").exists():
        checked(["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(home), "-DLINNET_HOST_TESTS=ON",
                 "-DCMAKE_BUILD_TYPE=Debug", *options],
                "CMake could not configure the unit tests")
    kernel.run_ninja(home, "building the unit tests", "the unit tests do not build")


def checked(command, complaint):
    result = packages.run_quietly(command)
    if result.returncode != 0:
        raise LinnetError(f"{complaint}:\n{result.stdout[-6000:]}")


def execute(plan, home, prefix):
    junit = home / "junit.xml"
    junit.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(home), "--output-on-failure", "--output-junit", str(junit),
               "--timeout", "1800" if plan.long else "300", "-j", str(min(2, os.cpu_count() or 1))]
    # Tests with a long form look at the variable, as those of tests/abi do.
    environment = dict(os.environ, LINNET_LONG="1") if plan.long else None
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace", env=environment)
    if not junit.exists():
        raise LinnetError(f"ctest did not run:\n{result.stdout[-4000:]}")
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        name = prefix + case.get("name", "?")
        if not plan.selects(name):
            continue
        verdict = {"run": PASSED, "fail": FAILED}.get(case.get("status"), SKIPPED)
        output = "".join(case.itertext()).strip()
        plan.report.add(Result(f"unit/{name}", verdict, output[-8000:], float(case.get("time") or 0)))
