"""Which functions of a linked kernel run on the way of a probe's hit, and which on the way of a traced function's record.

Who is on such a way depends on what the compiler has put in line, so it is read from the code itself: what can be
reached by direct calls and jumps from the functions of one section (kernel/lib/include/lib/hit_way.hpp), without going
through those of another.
"""
import bisect
import re
import subprocess

# mnemonic and operands; the last one is where they lead: an address, or on LoongArch a distance
BRANCH = re.compile(r"^(?:call|j|b)\S*\s(?:.*[\s,])?(0x[0-9a-f]+|-?\d+) <")
# Far calls are two instructions: half of the distance, and a jump with the rest.
FAR_HALF = re.compile(r"^(pcaddu18i|auipc)\s+(\$?\w+), (-?\w+)$")
FAR_CALL = re.compile(r"^(?:jirl\s+\$\w+, (\$\w+), (-?\d+)|(?:jalr|jr)\s+(-?0x[0-9a-f]+|-?\d+)?\((\w+)\))(?: <|$)")
LOCAL_LABEL = (".L", "$")


def far_base(match: re.Match, place: int) -> int:
    """What `match`, of FAR_HALF, leaves in its register."""
    if match[1] == "pcaddu18i":
        return place + (int(match[3]) << 18)
    pages = int(match[3], 0)
    return place + ((pages - (1 << 20) if pages >= 1 << 19 else pages) << 12)


class Code:
    """Functions by address, and where each of them leads."""

    def __init__(self, nm: str, objdump: str, elf: str):
        self.named = {}
        symbols = subprocess.run([nm, "--defined-only", elf], check=True, capture_output=True, text=True).stdout
        for line in symbols.splitlines():
            address, _, name = line.split(" ", 2)
            if not name.startswith(LOCAL_LABEL):
                self.named.setdefault(name, []).append(int(address, 16))
        functions = {address for addresses in self.named.values() for address in addresses}
        text = subprocess.run([objdump, "-d", "--no-show-raw-insn", elf], check=True, capture_output=True, text=True).stdout
        self.bodies, current = {}, None
        for block in text.split("\n\n"):
            head, _, body = block.strip("\n").partition("\n")
            match = re.match(r"^([0-9a-f]+) <", head)
            if not match or not body:
                continue
            if int(match[1], 16) in functions or current is None:
                current = int(match[1], 16)
            self.bodies[current] = self.bodies.get(current, "") + body + "\n"
        self.starts = sorted(self.bodies)

    def functions_between(self, mark: str) -> set:
        """Those of the section whose ends are marked by symbols."""
        begin, end = self.named[f"{mark}_begin"][0], self.named[f"{mark}_end"][0]
        return {address for address in self.starts if begin <= address < end}

    def function_at(self, address: int) -> int:
        return self.starts[max(bisect.bisect_right(self.starts, address) - 1, 0)]

    def leads_to(self, function: int) -> set:
        found, bases = set(), {}
        for line in self.bodies[function].splitlines():
            place, _, instruction = line.partition(":")
            place, instruction = int(place, 16) if place else 0, instruction.strip()
            if match := BRANCH.match(instruction):
                target = int(match[1], 0)
                found.add(self.function_at(target if match[1].startswith("0x") else place + target))
            elif match := FAR_HALF.match(instruction):
                bases[match[2]] = far_base(match, place)
            elif (match := FAR_CALL.match(instruction)) and (match[1] or match[4]) in bases:
                found.add(self.function_at(bases[match[1] or match[4]] + int(match[2] or match[3] or "0", 0)))
        return found

    def reachable(self, roots: set, ends: set) -> set:
        seen, todo = set(roots), list(roots)
        while todo:
            for target in self.leads_to(todo.pop()) - seen - ends:
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
    found = code.reachable(hits, ends), code.reachable(records, ends)
    if max(map(len, found)) > len(code.starts) // 10:
        raise SystemExit("the way of a hit or of a record leads all over the kernel: where it ends has to be marked")
    return found
