"""Runs modules of CPython's own test package and prints a verdict for each of their tests, sorted by name: what differs from one
run to the next (time, order, addresses) is not shown. `verdicts.py [--without PATTERN] … MODULE …`, the patterns of the shell
against what is shown, a part of which may match."""

import argparse
import fnmatch
import importlib
import os
import sys
import tempfile
import unittest


class Verdicts(unittest.TestResult):
    """The verdict of each test; whatever a failed one has to say goes to standard error."""

    def __init__(self):
        super().__init__()
        self.of = {}

    def note(self, test, verdict, why=""):
        # A failed subtest or clean-up outweighs what is said of the test as a whole.
        if self.of.get(test.id()) not in ("FAILED", "ERROR"):
            self.of[test.id()] = verdict
        if why:
            print(f"{verdict} {test.id()}\n{why}", file=sys.stderr, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test, "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, f"skipped: {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "FAILED", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "ERROR", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "FAILED", self._exc_info_to_string(err, test))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "unexpected success")


def leave_out(suite, patterns):
    """Takes tests out of a suite; the suites in it stay, with what they set up for their classes and modules."""
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            leave_out(one, patterns)
    suite._tests = [one for one in suite if isinstance(one, unittest.TestSuite)
                    or not any(fnmatch.fnmatch(one.id(), f"*{pattern}*") for pattern in patterns)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("modules", nargs="+")
    options = parser.parse_args()
    # Nothing is asked of a network, a screen or the user; of time and memory as much as is there.
    from test import support
    support.use_resources = ["cpu", "subprocess", "largefile", "walltime"]
    support.verbose = 0
    os.chdir(tempfile.mkdtemp(prefix="verdicts"))
    for name in options.modules:
        try:
            suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"test.{name}"))
        except unittest.SkipTest as skipped:
            print(f"{name} skipped: {skipped}")
            continue
        result = Verdicts()
        leave_out(suite, options.without)
        suite.run(result)
        for test, verdict in sorted(result.of.items()):
            print(test, verdict)
        print(f"{name}: {result.testsRun} tests", flush=True)


if __name__ == "__main__":  # multiprocessing imports this file again in its children
    main()
