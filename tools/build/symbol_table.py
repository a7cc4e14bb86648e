#!/usr/bin/env python3
"""Turns a linked kernel's function symbols into the assembly source of the panic backtrace's symbol table.

The table (section .symbol_table) holds: count, then count sorted 32-bit offsets from `kernel_text_start`, then count
32-bit offsets into the names, then the NUL-terminated demangled names. The two highest bits of an offset into the names
say whether the function is on the way of a probe's hit, and of a traced function's record (code_paths.py).
"""
import argparse
import subprocess

import code_paths


NAME_LIMIT = 120
ON_HIT_WAY, ON_RECORD_WAY = 1 << 31, 1 << 30


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
    parser.add_argument("--objdump", default="llvm-objdump-19")
    parser.add_argument("elf")
    parser.add_argument("output")
    args = parser.parse_args()
    lines = subprocess.run([args.nm, "--demangle", "--defined-only", args.elf], check=True, capture_output=True, text=True).stdout
    symbols, marks, start = {}, {}, 0
    for line in lines.splitlines():
        parts = line.split(" ", 2)
        if len(parts) != 3 or not parts[0]:  # undefined weak symbols have no address
            continue
        address, kind, name = int(parts[0], 16), parts[1], parts[2]
        if name == "kernel_text_start":
            start = address
        if kind in "tTwW" and not name.startswith((".L", "$")):
            of_section = name.endswith(("_begin", "_end"))  # what begins there has a better one
            (marks if of_section else symbols).setdefault(address, short_name(name))
    symbols = marks | symbols
    hit_way, record_way = code_paths.ways(args.nm, args.objdump, args.elf)
    table = sorted((a - start, n) for a, n in symbols.items() if 0 <= a - start < 1 << 32)
    with open(args.output, "w") as out:
        out.write(".section .symbol_table,\"a\"\n.balign 8\n.globl kernel_symbol_table\nkernel_symbol_table:\n")
        out.write(f".4byte {len(table)}\n")
        for offset, _ in table:
            out.write(f".4byte {offset}\n")
        position = 0
        names = []
        for offset, name in table:
            flags = (ON_HIT_WAY if offset + start in hit_way else 0) | (ON_RECORD_WAY if offset + start in record_way else 0)
            out.write(f".4byte {position | flags}\n")
            names.append(name.replace("\\", "\\\\").replace('"', '\\"'))
            position += len(name.encode()) + 1
        for name in names:
            out.write(f'.asciz "{name}"\n')
        out.write(".section .note.GNU-stack,\"\",%progbits\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
