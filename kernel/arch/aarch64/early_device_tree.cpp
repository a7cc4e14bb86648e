// The early look at the device tree (Devicetree Specification 0.4, chapter 5), with the MMU off. Only nodes at depth 1
// are read: /memory@…, /psci and the first arm,pl011 (not behind a bus), whose `reg` is in the root's cells.
#include "early_info.hpp"

namespace linnet::arch {

namespace {

constexpr u32 token_begin_node = 1, token_end_node = 2, token_property = 3, token_nop = 4;
constexpr u32 tree_magic = 0xd00dfeed;
constexpr u64 largest_tree = 2 << 20; // booting.rst: at most 2 MiB

/// Bounded big-endian reads; beyond the end they give 0.
struct Blob {
    const u8* bytes;
    u64 size;
    u32 word(u64 offset) const {
        if (offset + 4 > size || offset + 4 < offset) return 0;
        const u8* p = bytes + offset;
        return u32{p[0]} << 24 | u32{p[1]} << 16 | u32{p[2]} << 8 | p[3];
    }
    u64 cells(u64 offset, u32 count) const {
        u64 value = 0;
        for (u32 i = 0; i < count; ++i) value = value << 32 | word(offset + i * 4);
        return value;
    }
    bool text_equals(u64 offset, const char* text) const {
        for (; offset < size; ++offset, ++text) {
            if (bytes[offset] != static_cast<u8>(*text)) return false;
            if (!*text) return true;
        }
        return false;
    }
    /// Whether one of the NUL-separated strings of a property is `text`.
    bool list_has(u64 offset, u64 length, const char* text) const {
        u64 end = offset + length;
        while (offset < end && offset < size) {
            if (text_equals(offset, text)) return true;
            while (offset < end && offset < size && bytes[offset]) ++offset;
            ++offset;
        }
        return false;
    }
};

struct Node {
    bool is_memory;
    bool is_psci;
    bool is_pl011;
    PsciConduit conduit;
    u64 reg;
    u64 reg_length;
};

void finish_node(const Blob& blob, const Node& node, u32 address_cells, u32 size_cells, EarlyInfo& info) {
    u64 pair = u64{address_cells + size_cells} * 4;
    if (node.is_psci && node.conduit != PsciConduit::None) info.psci_conduit = node.conduit;
    if (pair == 0 || address_cells > 2 || size_cells > 2) return;
    if (node.is_pl011 && info.pl011 == 0 && node.reg_length >= pair) info.pl011 = blob.cells(node.reg, address_cells);
    if (!node.is_memory) return;
    for (u64 at = 0; at + pair <= node.reg_length && info.memory_count < EarlyInfo::max_regions; at += pair) {
        u64 begin = blob.cells(node.reg + at, address_cells);
        u64 size = blob.cells(node.reg + at + u64{address_cells} * 4, size_cells);
        if (size == 0 || begin + size < begin) continue;
        info.memory[info.memory_count].begin = begin;
        info.memory[info.memory_count].size = size;
        ++info.memory_count;
    }
}

void take_property(const Blob& blob, u64 name, u64 value, u64 length, Node& node) {
    if (blob.text_equals(name, "device_type") && blob.text_equals(value, "memory")) node.is_memory = true;
    if (blob.text_equals(name, "reg")) node.reg = value, node.reg_length = length;
    if (blob.text_equals(name, "method")) {
        if (blob.text_equals(value, "hvc")) node.conduit = PsciConduit::Hvc;
        if (blob.text_equals(value, "smc")) node.conduit = PsciConduit::Smc;
    }
    if (blob.text_equals(name, "compatible")) {
        if (blob.list_has(value, length, "arm,pl011")) node.is_pl011 = true;
        if (blob.list_has(value, length, "arm,psci-1.0") || blob.list_has(value, length, "arm,psci-0.2"))
            node.is_psci = true;
    }
}

} // namespace

void scan_device_tree(const u8* tree, EarlyInfo& info) {
    Blob blob{tree, 40};
    if (!tree || (reinterpret_cast<u64>(tree) & 7) || blob.word(0) != tree_magic) return;
    u64 total = blob.word(4);
    if (total < 40 || total > largest_tree) return;
    blob.size = total;
    info.device_tree_size = total;
    u64 at = blob.word(8), strings = blob.word(12);
    u32 address_cells = 2, size_cells = 1; // the specification's defaults
    u32 depth = 0;
    Node node{};
    while (at + 4 <= total) {
        u32 token = blob.word(at);
        at += 4;
        if (token == token_begin_node) {
            while (at < total && tree[at]) ++at;
            at = align_up(at + 1, 4);
            if (++depth == 2) node = Node{};
        } else if (token == token_property) {
            u64 length = blob.word(at), name = strings + blob.word(at + 4), value = at + 8;
            if (value + length > total) return;
            if (depth == 1 && blob.text_equals(name, "#address-cells")) address_cells = blob.word(value);
            if (depth == 1 && blob.text_equals(name, "#size-cells")) size_cells = blob.word(value);
            if (depth == 2) take_property(blob, name, value, length, node);
            at = align_up(value + length, 4);
        } else if (token == token_end_node) {
            if (depth == 2) finish_node(blob, node, address_cells, size_cells, info);
            if (depth == 0 || --depth == 0) return;
        } else if (token != token_nop) {
            return;
        }
    }
}

} // namespace linnet::arch
