"""Helpers for gdb on a Linnet kernel; `./linnet debug` loads them. `help linnet` lists the commands.

They read the kernel's own structures through its debugging information: the tree of pids, the threads that bear them,
and the mappings of their address spaces. Nothing is called in the guest, so they work in any state of it.
"""

import gdb


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


class Node:
    """A node of Boost.Intrusive's red-black trees seen as its first three words: parent, left, right."""

    def __init__(self, address):
        self.address = address

    @property
    def parent(self):
        return word(self.address)

    @property
    def left(self):
        return word(self.address + 8)

    @property
    def right(self):
        return word(self.address + 16)


def tree_nodes(tree):
    """Addresses of the nodes of an IntrusiveTree, in order."""
    # The tree's header is a node too, whose parent is the topmost element.
    header = find_field(tree, "root")
    if header is None:
        raise gdb.GdbError("this tree has no header that I know")
    yield from subtree(Node(int(header.address)).parent)


def subtree(address):
    if address:
        node = Node(address)
        yield from subtree(node.left)
        yield address
        yield from subtree(node.right)


def find_field(value, name):
    """The first field of that name anywhere inside a structure."""
    kind = value.type.strip_typedefs()
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return None
    for field in kind.fields():
        if not hasattr(field, "bitpos") or getattr(field, "bitsize", 0):
            continue
        inner = value[field]
        if field.name == name:
            return inner
        found = find_field(inner, name)
        if found is not None:
            return found
    return None


def owner(address, kind, member):
    """The object of type `kind` whose `member` lies at `address`."""
    offset = next(field.bitpos // 8 for field in kind.fields() if field.name == member)
    return gdb.Value(address - offset).cast(kind.pointer()).dereference()


def referenced(pointer):
    """What a RefPtr or NullableRefPtr points to; None when it is null."""
    target = find_field(pointer, "object_")
    return target.dereference() if target is not None and int(target) else None


def atomic(value):
    inner = find_field(value, "__a_value")
    return inner if inner is not None else value


def text(array):
    return array.string(errors="replace", length=-1) if array.type.code != gdb.TYPE_CODE_ARRAY else \
        bytes(int(array[i]) & 255 for i in range(array.type.range()[1] + 1)).split(b"\0")[0].decode(errors="replace")


def enumerator(value):
    """ThreadState::Running -> Running."""
    return str(atomic(value)).rsplit("::", 1)[-1]


def variable(room, name):
    """A variable of a room's source files, where it is nobody else's."""
    return gdb.parse_and_eval(f"'linnet::{room}::(anonymous namespace)::{name}'")


def user_threads():
    """All user threads, in order of their tids."""
    table = variable("process", "pid_table")
    if not int(table):
        return
    kind = gdb.lookup_type("linnet::process::PidRecord")
    for address in tree_nodes(table.dereference()["records"]):
        record = owner(address, kind, "tree_node")
        if int(record["thread_"]):
            yield int(record["number_"]), record["thread_"].dereference()


class LinnetCommand(gdb.Command):
    """Commands that know Linnet's kernel: linnet threads, linnet maps PID, linnet cpus, linnet log."""

    def __init__(self):
        super().__init__("linnet", gdb.COMMAND_STATUS, prefix=True)


class Threads(gdb.Command):
    """Lists user threads: tid, pid, state, the processor it ran on last, name."""

    def __init__(self):
        super().__init__("linnet threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        print(f"{'tid':>7} {'pid':>7} {'state':<17} {'cpu':>3}  name")
        for tid, thread in user_threads():
            process = referenced(thread["process_"])
            record = referenced(process["record"]) if process is not None else None
            pid = int(record["number_"]) if record is not None else 0
            print(f"{tid:>7} {pid:>7} {enumerator(thread['state']):<17} {int(thread['last_cpu']):>3}  "
                  f"{text(thread['name_'])}")


class Maps(gdb.Command):
    """linnet maps PID: the mappings of a process, as /proc/PID/maps begins its lines."""

    def __init__(self):
        super().__init__("linnet maps", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        if not argument.strip().isdigit():
            raise gdb.GdbError("linnet maps PID")
        wanted = int(argument)
        for tid, thread in user_threads():
            if tid == wanted:
                return self.show(thread)
        raise gdb.GdbError(f"no thread {wanted}")

    @staticmethod
    def show(thread):
        space = referenced(thread["address_space_"])
        if space is None:
            raise gdb.GdbError("it has no address space")
        kind = gdb.lookup_type("linnet::mm::Vma")
        for address in tree_nodes(space["vmas_"]["tree_"]):
            vma = owner(address, kind, "node")
            prot, flags = int(vma["prot"]), int(vma["flags"])
            rights = "".join(letter if prot & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
            print(f"{int(vma['begin']['value']):016x}-{int(vma['end']['value']):016x} "
                  f"{rights}{'s' if flags & 1 else 'p'} object {int(find_field(vma['object'], 'object_')):#x} "
                  f"page {int(vma['first_index'])}")


class Cpus(gdb.Command):
    """Lists the processors and the thread that each one runs."""

    def __init__(self):
        super().__init__("linnet cpus", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        cpus = variable("core", "cpus")
        count = int(variable("core", "known_cpus"))
        # A processor knows its thread by one of the thread's base classes.
        base = cpus[0]["current"].type.strip_typedefs()
        running = {int(thread.address.cast(base)): (tid, text(thread["name_"])) for tid, thread in user_threads()}
        for number in range(count):
            cpu = cpus[number]
            current = int(cpu["current"])
            tid, name = running.get(current, ("-", "kernel"))
            state = "online" if int(atomic(cpu["online"])) else "offline"
            interrupts = {kind: int(cpu["interrupts"][kind]) for kind in ("timer", "calls", "reschedules")}
            print(f"cpu {number}: {state}, thread {current:#x} {tid} {name}, {int(cpu['context_switches'])} switches; "
                  f"interrupted by its timer {interrupts['timer']} times, by other processors "
                  f"{interrupts['calls'] + interrupts['reschedules']}")


class Log(gdb.Command):
    """Prints the kernel's log, as far as its ring still holds it."""

    def __init__(self):
        super().__init__("linnet log", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        records = variable("core", "records")
        texts = variable("core", "texts")
        size = texts.type.range()[1] + 1
        ring = bytes(gdb.selected_inferior().read_memory(int(texts.address), size))
        stored = int(variable("core", "next_text"))
        total = int(variable("core", "next_sequence"))
        capacity = records.type.range()[1] + 1
        for sequence in range(max(0, total - capacity), total):
            record = records[sequence % capacity]
            begin, length = int(record["text_offset"]), int(record["length"])
            if stored - begin > size:
                continue
            line = bytes(ring[(begin + i) % size] for i in range(length)).decode(errors="replace")
            print(f"[{int(record['time_ns']) / 1e9:12.6f}] {line.rstrip()}")


for command in (LinnetCommand, Threads, Maps, Cpus, Log):
    command()
