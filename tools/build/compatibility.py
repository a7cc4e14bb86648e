#!/usr/bin/env python3
"""Writes the compatibility table, docs/compatibility.md, and its summary in README.md from the kernel's own system call
lists and Linux's names.

With --check nothing is written: the exit status says whether both are up to date.
"""
import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ROOT / "kernel/syscalls/include/syscalls"
NUMBERS = ROOT / "kernel/abi"
OUTPUT = ROOT / "docs/compatibility.md"
README = ROOT / "README.md"
SUMMARY_BEGIN, SUMMARY_END = "<!-- calls -->", "<!-- /calls -->"
# The note is text, or the name of a constant with the text.
ENTRY = re.compile(r'entry<\s*(?:&?[\w:]+)\s*>\(\s*"(\w+)"\s*,\s*nr::\w+\s*'
                   r'(?:,\s*Support::(\w+)\s*(?:,\s*((?:"[^"]*"\s*)+|\w+))?)?\)')
CONSTANT = re.compile(r'constexpr const char\* (\w+) =\s*((?:"[^"]*"\s*)+);')
NUMBER = re.compile(r"\b(\w+)\s*=\s*(-?\d+)\s*[,;]")


def families():
    """family → {name: (support, note)} for every line of its list."""
    found = {}
    for header in sorted(FAMILIES.glob("*.hpp")):
        if header.stem == "table":
            continue
        source = header.read_text()
        constants = {name: joined(text) for name, text in CONSTANT.findall(source)}
        calls = {name: (support or "Full", joined(note) if '"' in note else constants[note] if note else "")
                 for name, support, note in ENTRY.findall(source)}
        if len(calls) != source.count("entry<"):
            sys.exit(f"{header.relative_to(ROOT)}: {source.count('entry<')} entries, but only {len(calls)} can be read")
        found[header.stem] = calls
    return found


def joined(literals):
    """The text of adjacent string literals."""
    return "".join(re.findall(r'"([^"]*)"', literals))


def implemented():
    """name → (support, note) of all families."""
    return {name: what for calls in families().values() for name, what in calls.items()}


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


def summary():
    """The README with the number of calls of each family between its marks."""
    text = README.read_text()
    before, begin, rest = text.partition(SUMMARY_BEGIN)
    _, end, after = rest.partition(SUMMARY_END)
    if not begin or not end:
        sys.exit(f"README.md has no place for the summary: {SUMMARY_BEGIN} and {SUMMARY_END}")
    lines = ["", "", "| system calls | as in Linux | partial |", "|---|---|---|"]
    for family, calls in families().items():
        full = sum(1 for support, _ in calls.values() if support == "Full")
        lines.append(f"| {family.replace('_', ' ')} | {full} | {len(calls) - full or ''} |")
    return before + begin + "\n".join(lines) + "\n\n" + end + after


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    wanted = {OUTPUT: table(), README: summary()}
    if not args.check:
        for path, text in wanted.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is out of date: run tools/build/compatibility.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
