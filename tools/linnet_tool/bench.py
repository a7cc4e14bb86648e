"""`./linnet bench`: the same benchmark on Debian's Linux and on Linnet, and the ratios.

Measured in instructions: QEMU's -icount on one processor makes a run repeatable to the digit. What the numbers mean
is told by the comments of bench/*.cpp.
"""

import json
import math
import re
import subprocess
import tempfile
import time

from . import arch as arches
from . import boot, cpio, kernel, linux, packages, plot, rootfs, sysroot
from .batch import Batch, GuestLost
from .guest import Guest
from .paths import BUILD, ROOT, ensure
from .ui import LinnetError, Progress, say

KINDS = ("boot", "core", "memory")
FLAGS = ["-std=c++23", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-pthread"]
CORE_TIMEOUT = 300
BOOT_TIMEOUT = 180

# The seven of which the geometric mean is reported.
MEAN_OF = ("null", "open+close", "stat", "fork+exec+wait", "anon-fault", "switch", "pipe")

RIVALS = ("linux-bench", "linnet")


def run(options):
    kinds = options.kinds or list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            raise LinnetError(f"no benchmark '{kind}' (there are: {', '.join(KINDS)})", 2)
    chosen = arches.get_arches(options.arch or "all")
    for arch in chosen:
        measure(arch, kinds, options.kernel)
    summarise([arch.name for arch in chosen])
    if options.record:
        record()
    return 0


def measure(arch, kinds, only):
    """Measures both kernels, or the one asked for; what was measured before stays in the file."""
    stored = load(arch)
    for rival in RIVALS:
        if only and not rival.startswith(only):
            continue
        name = "linux" if rival == "linux-bench" else "linnet"
        values = stored.setdefault(name, {})
        values["version"] = linux.get(arch, "bench").version if name == "linux" else commit()
        for kind in kinds:
            with Progress(f"measuring {kind} of {name} on {arch.name}"):
                try:
                    values.update(MEASURES[kind](arch, rival))
                except GuestLost as lost:
                    say(f"{kind} of {name} on {arch.name} failed: {lost}")
    path = ensure(BUILD / "bench") / f"{arch.name}.json"
    path.write_text(json.dumps(stored, indent=1))


def load(arch):
    try:
        return json.loads((BUILD / "bench" / f"{arch.name}.json").read_text())
    except (OSError, ValueError):
        return {}


def commit():
    return packages.run_quietly(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).stdout.strip()


def compile_program(arch, name):
    source = ROOT / "bench" / f"{name}.cpp"
    program = ensure(BUILD / "bench" / arch.name) / name
    newest = max(path.stat().st_mtime for path in source.parent.iterdir())
    if not program.exists() or program.stat().st_mtime < newest:
        result = packages.run_quietly([*sysroot.compiler(arch), *FLAGS, "-o", str(program), str(source)])
        if result.returncode != 0:
            raise LinnetError(f"{source.name} does not compile for {arch.name}:\n{result.stdout}")
    return program


def results(text):
    return {name: float(value) for name, value in re.findall(r"^bench (\S+) ([0-9.]+)\r?$", text, re.MULTILINE)}


# -- the kinds ---------------------------------------------------------------------------------------------------------


def measure_core(arch, rival):
    program = compile_program(arch, "core")
    setup = boot.Setup(arch, kernel=rival, smp=1, icount=True)
    with Batch(setup) as guest:
        guest.put("/.linnet/t/bench", program.read_bytes())
        outcome = guest.run(["/.linnet/t/bench"], CORE_TIMEOUT)
    if outcome.status != 0:
        raise GuestLost(f"the benchmark ended with status {outcome.status}: {outcome.both.decode(errors='replace')}")
    return results(outcome.stdout.decode())


def measure_boot(arch, rival):
    """Reset to the first line of PID 1, in instructions, firmware included."""
    program = compile_program(arch, "boot")
    tree = rootfs.base_tree(arch)
    tree.add("init", cpio.file(program.read_bytes(), 0o755))
    archive = ensure(BUILD / "bench" / arch.name) / "boot.cpio"
    with open(archive, "wb") as out:
        tree.write(out)
    values = {}
    for machine in ("q35", "microvm") if arch.name == "x86_64" else arch.machines[:1]:
        setup = boot.Setup(arch, kernel=rival, smp=1, icount=True, machine=machine, direct=True,
                           root=rootfs.Root(archive, False, False), append="rdinit=/init quiet")
        text = boot_and_read(setup)
        found = results(text)
        if "boot" not in found:
            raise GuestLost(f"no word from PID 1 on {machine}:\n{text[-2000:]}")
        values[f"boot-{machine}"] = found["boot"]
    return values


def boot_and_read(setup):
    prepared = boot.prepare(setup)
    guest = Guest(with_agent=False)
    try:
        guest.start(prepared.program, prepared.machine)
        end = time.monotonic() + BOOT_TIMEOUT
        while guest.running and time.monotonic() < end and not guest.panic_complete():
            guest.step(1)
    finally:
        guest.close()
        prepared.clean_up()
    return guest.log.decode(errors="replace")


def measure_memory(arch, rival):
    """What of 1 GiB is gone at the BusyBox prompt, in KiB; and the stripped image's size in bytes."""
    with Batch(boot.Setup(arch, kernel=rival, smp=1, memory="1G")) as guest:
        outcome = guest.run(["cat", "/proc/meminfo"], 30)
    fields = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+)", outcome.stdout.decode(), re.MULTILINE)}
    if "MemFree" not in fields:
        raise GuestLost("no MemFree in /proc/meminfo")
    values = {"memory": (1 << 20) - fields["MemFree"]}
    if rival == "linnet":
        values["image"] = stripped_size(arch)
    return values


def stripped_size(arch):
    with tempfile.NamedTemporaryFile() as out:
        symbols = kernel.symbols(arch)
        subprocess.run(["llvm-objcopy-19", "--strip-all", str(symbols), out.name], check=True)
        return len(open(out.name, "rb").read())


MEASURES = {"boot": measure_boot, "core": measure_core, "memory": measure_memory}

# -- what comes of it ----------------------------------------------------------------------------------------------------


def table(arch, stored):
    """Lines of text: each value beside Linux's."""
    ours, theirs = stored.get("linnet", {}), stored.get("linux", {})
    lines = [f"{arch.name}: Linux {theirs.get('version', '-')}, Linnet {ours.get('version', '-')}",
             f"  {'':<18}{'Linux':>15}{'Linnet':>15}{'ratio':>9}"]
    for name in [name for name in {**theirs, **ours} if name != "version"]:
        a, b = theirs.get(name), ours.get(name)
        ratio = f"{b / a:.3f}" if a and b is not None else ""
        lines.append(f"  {name:<18}{show(a):>15}{show(b):>15}{ratio:>9}")
    ratios = mean_ratios(stored)
    if ratios:
        lines.append(f"  {'geometric mean of ' + str(len(ratios)):<48}{geometric_mean(ratios):>9.3f}")
    return lines


def show(value):
    return "-" if value is None else f"{value:,.0f}"


def mean_ratios(stored):
    ours, theirs = stored.get("linnet", {}), stored.get("linux", {})
    return [ours[name] / theirs[name] for name in MEAN_OF if ours.get(name) and theirs.get(name)]


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values))


def summarise(shown):
    """Prints the tables of some architectures, and keeps all that was measured so far as Markdown and as a plot."""
    everything = {arch.name: load(arch) for arch in arches.ARCHES.values() if load(arch)}
    markdown = []
    for name, stored in everything.items():
        lines = table(arches.get_arch(name), stored)
        if name in shown:
            print("\n".join(lines) + "\n", flush=True)
        markdown += ["```", *lines, "```", ""]
    (BUILD / "bench" / "table.md").write_text("\n".join(markdown))
    (BUILD / "bench" / "bench.svg").write_text(plot.bars(everything))
    say(f"written to {(BUILD / 'bench').relative_to(ROOT) if BUILD.is_relative_to(ROOT) else BUILD / 'bench'}/"
        "{table.md,bench.svg,*.json}")


def record():
    """Keeps the table and the plot for good, with commit and date."""
    home = ensure(ROOT / "docs" / "results")
    name = f"{time.strftime('%Y-%m-%d')}-bench"
    text = (f"# Benchmarks, {time.strftime('%Y-%m-%d')}\n\nInstructions (memory: KiB, image: bytes) under QEMU's -icount on one "
            "processor; `./linnet bench` makes them again. What each row means: `bench/core.cpp`. Versions are in the "
            f"tables.\n\n![Linnet's cost as a part of Linux's]({name}.svg)\n\n")
    (home / f"{name}.md").write_text(text + (BUILD / "bench" / "table.md").read_text())
    (home / f"{name}.svg").write_text((BUILD / "bench" / "bench.svg").read_text())
    say(f"recorded in docs/results/{name}.md")
