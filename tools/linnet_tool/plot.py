"""A bar chart of the benchmarks as SVG: Linnet's cost as a part of Linux's, per operation and architecture."""

COLOURS = {"x86_64": "#4c78a8", "aarch64": "#f58518", "riscv64": "#54a24b", "loongarch64": "#b279a2"}
LEFT, TOP, ROW, BAR, WIDTH = 150, 50, 12, 9, 480
LIMIT = 1.5  # ratios beyond it are cut off, with their number beside the bar


def bars(everything):
    """`everything` is architecture -> {"linux": {name: value}, "linnet": {name: value}}."""
    rows = []
    names = []
    for stored in everything.values():
        names += [name for name in stored.get("linnet", {}) if name not in names and name != "version"]
    for name in names:
        ratios = [(arch, stored["linnet"][name] / stored["linux"][name]) for arch, stored in everything.items()
                  if stored.get("linnet", {}).get(name) and stored.get("linux", {}).get(name)]
        if ratios:
            rows.append((name, ratios))
    body, y = [], TOP
    for name, ratios in rows:
        middle = y + len(ratios) * ROW / 2 + 4
        body.append(text(LEFT - 8, middle, name, "end"))
        for arch, ratio in ratios:
            length = min(ratio, LIMIT) / LIMIT * WIDTH
            body.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{COLOURS[arch]}"/>')
            body.append(text(LEFT + length + 4, y + BAR - 1, f"{ratio:.2f}", "start", 9))
            y += ROW
        y += 8
    return frame(body, y, [arch for arch in everything])


def frame(body, height, arches):
    one = LEFT + WIDTH / LIMIT
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height + 20}" '
            'font-family="sans-serif">', '<rect width="100%" height="100%" fill="white"/>',
            text(LEFT, 18, "Linnet's cost as a part of Linux's (less is better)", "start", 13)]
    for index, arch in enumerate(arches):
        x = LEFT + index * 110
        head.append(f'<rect x="{x}" y="27" width="10" height="10" fill="{COLOURS[arch]}"/>')
        head.append(text(x + 14, 36, arch, "start"))
    line = f'<line x1="{one}" y1="{TOP - 6}" x2="{one}" y2="{height}" stroke="#888" stroke-dasharray="3 3"/>'
    return "\n".join(head + body + [line, "</svg>", ""])


def text(x, y, words, anchor, size=11):
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escaped}</text>'
