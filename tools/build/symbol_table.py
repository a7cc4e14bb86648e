#!/usr/bin/env python3
"""Turns a linked kernel's function symbols into the assembly source of the panic backtrace's symbol table.

The table (section .symbol_table) holds: count, then count sorted 32-bit offsets from `kernel_text_start`, then count
32-bit offsets into the names, then the NUL-terminated demangled names.
"""
import argparse
import subprocess


NAME_LIMIT = 120


def short_name(demangled: str) -> str:
    """The function's name alone: without parameters, return type, anonymous and inline namespaces."""
    name = demangled.replace("(anonymous namespace)::", "").replace("std::__1::", "std::")
    depth, start = 0, 0
    for i, c in enumerate(name):
        if c == "<" and not name[:i].endswith("operator"):
            depth += 1
        elif c == ">" and depth and name[i - 1] != "-":
            depth -= 1
        elif depth == 0 and c == " " and not name[:i].endswith("operator"):
            start = i + 1  # what stood before was a return type
        elif depth == 0 and c == "(" and i > start and not name[:i].endswith("operator"):
            return name[start:i][:NAME_LIMIT]
    return name[start:][:NAME_LIMIT]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="llvm-nm-19")
    parser.add_argument("elf")
    parser.add_argument("output")
    args = parser.parse_args()
    lines = subprocess.run([args.nm, "--demangle", "--defined-only", args.elf], check=True, capture_output=True, text=True).stdout
    symbols, start = {}, 0
    for line in lines.splitlines():
        parts = line.split(" ", 2)
        if len(parts) != 3 or not parts[0]:  # undefined weak symbols have no address
            continue
        address, kind, name = int(parts[0], 16), parts[1], parts[2]
        if name == "kernel_text_start":
            start = address
        if kind in "tTwW" and not name.startswith((".L", "$")):
            symbols.setdefault(address, short_name(name))
    table = sorted((a - start, n) for a, n in symbols.items() if 0 <= a - start < 1 << 32)
    with open(args.output, "w") as out:
        out.write(".section .symbol_table,\"a\"\n.balign 8\n.globl kernel_symbol_table\nkernel_symbol_table:\n")
        out.write(f".4byte {len(table)}\n")
        for offset, _ in table:
            out.write(f".4byte {offset}\n")
        position = 0
        names = []
        for _, name in table:
            out.write(f".4byte {position}\n")
            names.append(name.replace("\\", "\\\\").replace('"', '\\"'))
            position += len(name.encode()) + 1
        for name in names:
            out.write(f'.asciz "{name}"\n')
        out.write(".section .note.GNU-stack,\"\",%progbits\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
