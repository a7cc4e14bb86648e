"""Which functions of a linked kernel run on the way of a probe's hit, and which on the way of a traced function's record.

Who is on such a way depends on what the compiler has put in line, so it is read from the code itself: what can be
reached by direct calls and jumps from the functions of one section (kernel/lib/include/lib/hit_way.hpp), without going
through those of another.
"""
import bisect
import re
import subprocess

# mnemonic and operands; where they lead is told behind them as <symbol> or <symbol+0x10>
BRANCH = re.compile(r"^(?:call|j|b)\S*\s.*<([^>+]+)(?:\+0x[0-9a-f]+)?>$")
# LoongArch's far calls: the distance in units of 256 KiB, and what is added to it
FAR_HALF = re.compile(r"^pcaddu18i\s+(\$\w+), (-?\d+)$")
FAR_CALL = re.compile(r"^jirl\s+\$\w+, (\$\w+), (-?\d+)$")


class Code:
    """Functions by address, and where each of them leads."""

    def __init__(self, nm: str, objdump: str, elf: str):
        self.named = {}
        symbols = subprocess.run([nm, "--defined-only", elf], check=True, capture_output=True, text=True).stdout
        for line in symbols.splitlines():
            address, _, name = line.split(" ", 2)
            self.named.setdefault(name, []).append(int(address, 16))
        text = subprocess.run([objdump, "-d", "--no-show-raw-insn", elf], check=True, capture_output=True, text=True).stdout
        self.bodies = {}
        for block in text.split("\n\n"):
            head, _, body = block.strip("\n").partition("\n")
            match = re.match(r"^([0-9a-f]+) <[^>]+>:$", head)
            if match and body:
                self.bodies[int(match[1], 16)] = body
        self.starts = sorted(self.bodies)

    def functions_between(self, mark: str) -> set:
        """Those of the section whose ends are marked by symbols."""
        begin, end = self.named[f"{mark}_begin"][0], self.named[f"{mark}_end"][0]
        return {address for address in self.starts if begin <= address < end}

    def leads_to(self, function: int) -> set:
        found, far = set(), None
        for line in self.bodies[function].splitlines():
            place, _, instruction = line.partition(":")
            instruction = instruction.strip()
            if match := BRANCH.match(instruction):
                # Static functions of several files may share a name: then all of them count.
                found.update(self.named.get(match[1], ()))
            elif match := FAR_HALF.match(instruction):
                far = (match[1], int(place, 16) + (int(match[2]) << 18))
            elif far and (match := FAR_CALL.match(instruction)) and match[1] == far[0]:
                target = far[1] + int(match[2])
                found.add(self.starts[bisect.bisect_right(self.starts, target) - 1])
        return found

    def reachable(self, roots: set, ends: set) -> set:
        seen, todo = set(roots), list(roots)
        while todo:
            for target in self.leads_to(todo.pop()) & self.bodies.keys() - seen - ends:
                seen.add(target)
                todo.append(target)
        return seen


def ways(nm: str, objdump: str, elf: str) -> tuple:
    """Addresses of the functions on the way of a hit, and of those on the way of a record."""
    code = Code(nm, objdump, elf)
    ends = code.functions_between("hit_way_ends")
    hits = code.functions_between("hit_way_begins")
    records = code.functions_between("record_way_begins")
    if not hits or not records or not ends:
        raise SystemExit("no function is marked as where the way of a hit or of a record begins or ends")
    return code.reachable(hits, ends), code.reachable(records, ends)
