#!/usr/bin/env python3
"""Draws a flame graph of what `perf script -F comm,ip,sym` prints: callers below, callees on top, as wide as they were sampled."""
import argparse
import html
import re
import sys
import zlib

WIDTH, ROW, TEXT_WIDTH, MARGIN = 1200, 16, 6.6, 40
FRAME = re.compile(r"\s+([0-9a-f]+) (.*?)(?:\+0x[0-9a-f]+)?(?: \(.*\))?$")


class Node:
    def __init__(self):
        self.count = 0
        self.callees = {}

    def add(self, path):
        node = self
        node.count += 1
        for name in path:
            node = node.callees.setdefault(name, Node())
            node.count += 1

    def depth(self):
        return 1 + max((node.depth() for node in self.callees.values()), default=0)


def stacks(lines, only_kernel):
    """Each sample's names, outermost first: the program's, then those of its code, perhaps, and of the kernel's."""
    comm, frames = None, []
    for line in [*lines, ""]:
        frame = FRAME.match(line)
        if frame:
            name = frame[2].strip()
            in_kernel = int(frame[1], 16) >> 63
            if only_kernel and not in_kernel:
                continue
            if in_kernel or name != "[unknown]":
                frames.append(name if in_kernel else f"{name} ")
            elif not frames or frames[-1] != "(the program)":
                frames.append("(the program)")
        elif not line.strip():
            if comm is not None and (frames or not only_kernel):
                yield [comm, *reversed(frames)]
            comm, frames = None, []
        else:
            comm = line.split()[0]


def draw(node, name, x, level, scale, height, out):
    width = node.count * scale
    if width < 0.5:
        return
    y = height - MARGIN - (level + 1) * ROW
    shade = zlib.crc32(name.encode()) % 80
    colour = f"rgb({150 + shade // 2},{150 + shade},{190 + shade // 2})" if name.endswith((" ", ")")) or level < 2 else \
        f"rgb({225 - shade // 4},{110 + shade},{50 + shade // 2})"
    shown = name.replace("linnet::", "").strip()
    room = int(width / TEXT_WIDTH)
    label = shown if len(shown) <= room else shown[:max(room - 1, 0)] + "…" if room > 3 else ""
    out.append(f'<g><title>{html.escape(shown)}: {node.count} samples</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
               f'height="{ROW - 1}" fill="{colour}"/><text x="{x + 2:.1f}" y="{y + 12}">{html.escape(label)}</text></g>')
    for callee in sorted(node.callees):
        draw(node.callees[callee], callee, x, level + 1, scale, height, out)
        x += node.callees[callee].count * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--title", default="")
    parser.add_argument("--only-kernel", action="store_true", help="leave out what ran outside the kernel")
    arguments = parser.parse_args()
    root = Node()
    for stack in stacks(sys.stdin.read().splitlines(), arguments.only_kernel):
        root.add(stack)
    if not root.count:
        sys.exit("no samples")
    height = root.depth() * ROW + 2 * MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/><text x="10" y="24" font-size="14">{html.escape(arguments.title)}</text>']
    draw(root, "all", 10, 0, (WIDTH - 20) / root.count, height, out)
    print("\n".join([*out, "</svg>"]))


if __name__ == "__main__":
    main()
