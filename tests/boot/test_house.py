"""The rules of the house that a compiler doesn't check: what kernel code may include and say. No guest is started."""

import os
import re
import subprocess
import sys

from linnet_tool import packages
from linnet_tool.paths import ROOT
from linnet_tool.testing.harness import BootTest

KERNEL = ROOT / "kernel"
# Rooms where code of one architecture belongs.
BEHIND_THE_CONTRACT = ("arch", "abi", "boot", "vdso", "drivers")
# Headers whose containers allocate without a way to fail.
BANNED_HEADERS = {"vector", "string", "functional", "map", "unordered_map", "set", "deque", "list", "iostream",
                  "sstream", "format", "regex", "thread", "mutex", "shared_mutex", "future"}
CONDITION = re.compile(r"#\s*(?:if|ifdef|ifndef|elif).*(?:__x86_64|__aarch64|__riscv|__loongarch|LINNET_ARCH)")
INCLUDE = re.compile(r"^\s*#\s*include\s*[<\"]([^>\"]+)[>\"]", re.M)


def sources():
    return [path for path in KERNEL.rglob("*") if path.suffix in (".cpp", ".hpp") and "freestanding" not in path.parts]


class House(BootTest):
    once = True

    def test_no_banned_headers(self):
        bad = [f"{path.relative_to(ROOT)}: <{name}>" for path in sources()
               for name in INCLUDE.findall(path.read_text()) if name in BANNED_HEADERS]
        self.assertEqual(bad, [])

    def test_portable_code_has_no_architecture_conditions(self):
        bad = []
        for path in sources():
            room = path.relative_to(KERNEL).parts[0]
            if room in BEHIND_THE_CONTRACT:
                continue
            bad += [f"{path.relative_to(ROOT)}: {line.strip()}" for line in path.read_text().splitlines()
                    if CONDITION.search(line)]
        self.assertEqual(bad, [])

    def test_rooms_include_only_rooms_they_name(self):
        """CMake's include paths enforce it at compile time; this finds relative includes that step around them."""
        def room(path):
            return path.resolve().relative_to(KERNEL).parts[0]
        bad = [f"{path.relative_to(ROOT)}: {name}" for path in sources()
               for name in INCLUDE.findall(path.read_text())
               if name.startswith("../") and room(path.parent / name) != room(path)]
        self.assertEqual(bad, [])

    def test_every_file_says_what_it_is_for(self):
        bad = [str(path.relative_to(ROOT)) for path in sources()
               if not re.match(r"(?:#pragma once\s+)?//", path.read_text())]
        self.assertEqual(bad, [])

    def test_sources_are_formatted(self):
        """As the repository's .clang-format says, with the clang-format of the compiler that builds the kernel."""
        files = [path for folder in ("kernel", "user", "tests", "bench") for path in sorted((ROOT / folder).rglob("*"))
                 if path.suffix in (".cpp", ".hpp")]
        packages.require("clang-format-19")
        result = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *map(str, files)], capture_output=True, text=True)
        bad = sorted({os.path.relpath(line.split(":")[0], ROOT) for line in result.stderr.splitlines() if ": error: " in line})
        self.assertEqual(bad, [], "clang-format-19 -i would change these")
        self.assertEqual(result.returncode, 0, result.stderr[-2000:])

    def test_compatibility_table_is_up_to_date(self):
        result = subprocess.run([sys.executable, str(ROOT / "tools/build/compatibility.py"), "--check"],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_house_can_fail(self):
        self.assertTrue(CONDITION.search("#if defined(__riscv)"))
        self.assertEqual(INCLUDE.findall("#include <vector>\n"), ["vector"])
