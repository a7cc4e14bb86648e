#!/usr/bin/env python3
"""Writes the compatibility table, docs/compatibility.md, from the kernel's own system call lists and Linux's names.

With --check nothing is written: the exit status says whether the file is up to date.
"""
import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ROOT / "kernel/syscalls/include/syscalls"
NUMBERS = ROOT / "kernel/abi"
OUTPUT = ROOT / "docs/compatibility.md"
ENTRY = re.compile(r'entry<\s*(?:&?[\w:]+)\s*>\(\s*"(\w+)"\s*,\s*nr::\w+\s*(?:,\s*Support::(\w+)\s*(?:,\s*((?:"[^"]*"\s*)+))?)?\)')
NUMBER = re.compile(r"\b(\w+)\s*=\s*(-?\d+)\s*[,;]")


def implemented():
    """name → (support, note) for every line of the families' lists."""
    found = {}
    for header in sorted(FAMILIES.glob("*.hpp")):
        for name, support, note in ENTRY.findall(header.read_text()):
            text = " ".join(re.findall(r'"([^"]*)"', note or ""))
            found[name] = (support or "Full", text)
    return found


def all_names():
    """Every Linux name that some architecture's number list knows."""
    names = set()
    for header in NUMBERS.rglob("*syscall_numbers.hpp"):
        names |= {name for name, value in NUMBER.findall(header.read_text()) if int(value) >= 0}
    return names


def table():
    done = implemented()
    names = sorted(all_names() | set(done))
    full = sum(1 for support, _ in done.values() if support == "Full")
    lines = ["# Compatibility", "",
             "Generated from the lists in `kernel/syscalls` by `tools/build/compatibility.py`; don't edit.", "",
             f"{full} calls as in Linux, {len(done) - full} partial, {len(names) - len(done)} absent "
             "(an absent call answers `ENOSYS`; an unknown flag `EINVAL`).", "",
             "| call | support | what is missing |", "|---|---|---|"]
    for name in names:
        support, note = done.get(name, ("absent", ""))
        lines.append(f"| `{name}` | {support.lower()} | {note} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = table()
    if args.check:
        if OUTPUT.exists() and OUTPUT.read_text() == text:
            return 0
        print("docs/compatibility.md is out of date: run tools/build/compatibility.py", file=sys.stderr)
        return 1
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
