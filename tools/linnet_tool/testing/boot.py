"""tests/boot: Python tests of the launcher and of boot itself, each file a unittest module.

A file is run once for every architecture; `harness.BootTest` gives each test its architecture and kernel.
"""

import importlib.util
import sys
import time
import unittest

from .. import packages
from . import FAILED, PASSED, SKIPPED, TESTS, Result
from . import harness

FOLDER = TESTS / "boot"
NEEDS = ("cpio",)


def jobs(plan):
    files = sorted(FOLDER.glob("test_*.py"))
    if files:
        packages.require(*NEEDS)
    return [(one.name, lambda one=one: run(plan, one, files)) for one in plan.arches] if files else []


def run(plan, arch, files):
    for path in files:
        module = load(path, arch)
        for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(module)):
            name = f"{path.stem.removeprefix('test_')}.{test.id().rsplit('.', 1)[-1].removeprefix('test_')}"
            if plan.selects(name):
                test.arch, test.kernel, test.long = arch, plan.kernel, plan.long
                plan.report.add(run_one(plan, f"boot/{arch.name}/{name}", test))


def load(path, arch):
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{arch.name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def run_one(plan, name, test):
    if isinstance(test, harness.BootTest) and not test.applies():
        return Result(name, SKIPPED, "does not apply here")
    outcome = unittest.TestResult()
    start = time.monotonic()
    with plan.slots:
        test.run(outcome)
    seconds = time.monotonic() - start
    if outcome.skipped:
        return Result(name, SKIPPED, outcome.skipped[0][1], seconds)
    problems = outcome.errors + outcome.failures
    if problems:
        return Result(name, FAILED, problems[0][1], seconds)
    return Result(name, PASSED, "", seconds)
