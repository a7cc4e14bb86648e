"""A debug kernel poisons what is free and looks at it before it is used again: nothing may have written to it. Four CPUs do
all that makes frames and page tables free while others have translations for them: a minute, with --long ten."""

import time
from types import SimpleNamespace

from linnet_tool import boot
from linnet_tool.batch import Batch
from linnet_tool.testing import Report, abi
from linnet_tool.testing.harness import BootTest

# Of tests/abi/mm; each checks contents too, so that a stale read shows.
PROGRAMS = ("storm", "fork_writers", "same_page", "end_of_file", "shared_stays", "fork_shapes")
LONG_PROGRAMS = ("fork_family",)
MINUTE = 60
PROGRAM_LIMIT = 240  # seconds


class StaleTranslations(BootTest):
    only_kernels = ("linnet",)

    def test_nobody_writes_to_what_is_free(self):
        if not self.long and self.arch.name != "x86_64":
            self.skipTest("builds another kernel; --long runs it")
        report = Report(False)
        sources = [abi.FOLDER / "mm" / f"{name}.cpp" for name in PROGRAMS + (LONG_PROGRAMS if self.long else ())]
        programs = abi.compile_all(SimpleNamespace(report=report), self.arch, sources)
        self.assertEqual(report.results, [])
        end = time.monotonic() + (10 * MINUTE if self.long else MINUTE)
        with Batch(boot.Setup(self.arch, smp=4, debug=True)) as guest:
            for path, program in programs.items():
                guest.put(f"/.linnet/t/{path.stem}", program.read_bytes())
            while time.monotonic() < end:
                for path in programs:
                    if time.monotonic() > end:
                        break
                    outcome = guest.run([f"/.linnet/t/{path.stem}"], PROGRAM_LIMIT, cwd="/tmp")
                    self.assertEqual(outcome.status, 0, f"{path.stem}: {outcome.both.decode(errors='replace')}")
