"""Flattened device trees (Devicetree Specification 0.4, chapter 5), read into Python and written back, for tests that
damage them."""

import struct

BEGIN_NODE, END_NODE, PROPERTY, NOP, END = 1, 2, 3, 4, 9
MAGIC = 0xD00DFEED


class Node:
    """`properties`: name -> bytes; `children`: list of nodes; both in the blob's order."""

    def __init__(self, name):
        self.name = name
        self.properties = {}
        self.children = []

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name):
        """The first node below whose name, without or with its unit address, is that."""
        for node in self.walk():
            if name in (node.name, node.name.split("@")[0]):
                return node
        raise KeyError(name)

    def compatible(self):
        return self.properties.get("compatible", b"").decode(errors="replace").split("\0")

    def set_cells(self, name, *values):
        self.properties[name] = struct.pack(f">{len(values)}I", *values)


def parse(blob):
    """The root of a good blob."""
    magic, _, structure, strings = struct.unpack_from(">4I", blob)
    if magic != MAGIC:
        raise ValueError("not a device tree")
    at = structure
    open_nodes = [Node(None)]

    def text(offset):
        return blob[offset:blob.index(b"\0", offset)].decode()

    while True:
        token, = struct.unpack_from(">I", blob, at)
        at += 4
        if token == BEGIN_NODE:
            node = Node(text(at))
            at += len(node.name.encode()) + 1 + 3 & ~3
            open_nodes[-1].children.append(node)
            open_nodes.append(node)
        elif token == END_NODE:
            open_nodes.pop()
        elif token == PROPERTY:
            length, name = struct.unpack_from(">2I", blob, at)
            open_nodes[-1].properties[text(strings + name)] = blob[at + 8:at + 8 + length]
            at += 8 + length + 3 & ~3
        elif token == END:
            return open_nodes[0].children[0]


def serialise(root):
    structure, strings, offsets = bytearray(), bytearray(), {}

    def pad():
        structure.extend(bytes(-len(structure) % 4))

    def add(node):
        structure.extend(struct.pack(">I", BEGIN_NODE) + node.name.encode() + b"\0")
        pad()
        for name, value in node.properties.items():
            if name not in offsets:
                offsets[name] = len(strings)
                strings.extend(name.encode() + b"\0")
            structure.extend(struct.pack(">3I", PROPERTY, len(value), offsets[name]) + value)
            pad()
        for child in node.children:
            add(child)
        structure.extend(struct.pack(">I", END_NODE))

    add(root)
    structure.extend(struct.pack(">I", END))
    begin = 40 + 16
    header = struct.pack(">10I", MAGIC, begin + len(structure) + len(strings), begin, begin + len(structure), 40, 17, 16, 0,
                         len(strings), len(structure))
    return header + bytes(16) + structure + strings
