#!/usr/bin/env python3
"""Writes a C++ header with the offset of the vDSO image's signal trampoline (0 when it has none)."""
import argparse
import subprocess


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nm", default="llvm-nm-19")
    parser.add_argument("image")
    parser.add_argument("output")
    args = parser.parse_args()
    listing = subprocess.run([args.nm, "--dynamic", args.image], check=True, capture_output=True, text=True).stdout
    offset = 0
    for line in listing.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[2].split("@")[0].endswith("_rt_sigreturn"):
            offset = int(parts[0], 16)
    with open(args.output, "w") as out:
        out.write("#pragma once\n\nnamespace linnet::vdso {\n")
        out.write(f"inline constexpr unsigned long trampoline_offset = {offset};\n")
        out.write("} // namespace linnet::vdso\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
