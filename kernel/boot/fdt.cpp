// The structure block: validation once, then walking and properties. Cells, ranges and interrupts are in
// fdt_decode.cpp.
#include <arch/page.hpp>
#include <boot/fdt.hpp>

#include "fdt_bytes.hpp"

namespace linnet::boot {

namespace {

constexpr u32 magic = 0xd00dfeed;
constexpr u32 header_size = 40;
constexpr u32 oldest_version = 16; // first version with named offsets as read here; ours is 17
constexpr u32 largest_tree = 4 << 20;

constexpr u32 token_begin_node = 1, token_end_node = 2, token_property = 3, token_nop = 4, token_end = 9;

} // namespace

/// One token of the structure block. Its payload has been checked to lie inside.
struct Fdt::Token {
    u32 kind = 0;
    u32 next = 0;          // offset of the token behind it
    u32 name_offset = 0;   // of a property, in the strings block
    std::string_view name; // of a node
    std::span<const u8> value;
};

std::optional<Fdt::Token> Fdt::token_at(u32 offset) const {
    auto kind = read_cell(structure_, offset);
    if (!kind || offset % 4 != 0) return {};
    Token token;
    token.kind = *kind;
    token.next = offset + 4;
    if (*kind == token_begin_node) {
        auto name = read_string(structure_, offset + 4);
        if (!name) return {};
        token.name = *name;
        token.next = align_up(static_cast<u32>(offset + 4 + name->size() + 1), 4);
    } else if (*kind == token_property) {
        auto length = read_cell(structure_, offset + 4), name = read_cell(structure_, offset + 8);
        if (!length || !name || *length > structure_.size() - (offset + 12)) return {};
        token.name_offset = *name;
        token.value = structure_.subspan(offset + 12, *length);
        token.next = align_up(static_cast<u32>(offset + 12 + *length), 4);
    } else if (*kind != token_end_node && *kind != token_nop && *kind != token_end) {
        return {};
    }
    return token;
}

std::optional<std::string_view> Fdt::string_at(u32 offset) const { return read_string(strings_, offset); }

/// One pass over all tokens: nodes properly nested and not too deep, properties named, END at the end.
Result<void> Fdt::validate() const {
    u32 depth = 0, roots = 0;
    for (u32 offset = 0;;) {
        auto token = token_at(offset);
        if (!token) return error(Errno::EINVAL);
        switch (token->kind) {
        case token_begin_node:
            if (depth == FdtNode::max_depth || (depth == 0 && roots++ != 0)) return error(Errno::EINVAL);
            ++depth;
            break;
        case token_end_node:
            if (depth == 0) return error(Errno::EINVAL);
            --depth;
            break;
        case token_property:
            if (depth == 0 || !string_at(token->name_offset)) return error(Errno::EINVAL);
            break;
        case token_end:
            if (depth != 0 || roots != 1) return error(Errno::EINVAL);
            return {};
        default:
            break;
        }
        offset = token->next; // always grows, and token_at() ends the walk at the block's end
    }
}

Result<Fdt> Fdt::create(std::span<const u8> blob) {
    if (blob.size() < header_size || *read_cell(blob, 0) != magic) return error(Errno::EINVAL);
    u32 total = *read_cell(blob, 4), structure = *read_cell(blob, 8), strings = *read_cell(blob, 12);
    u32 reservations = *read_cell(blob, 16), version = *read_cell(blob, 20), compatible = *read_cell(blob, 24);
    u32 strings_size = *read_cell(blob, 32), structure_size = *read_cell(blob, 36);
    if (total < header_size || total > blob.size() || total > largest_tree) return error(Errno::EINVAL);
    if (version < oldest_version || compatible > 17) return error(Errno::EINVAL);
    blob = blob.first(total);
    if (version == oldest_version) structure_size = structure < total ? total - structure : 0;
    if (structure > total || structure_size > total - structure || structure % 4 != 0) return error(Errno::EINVAL);
    if (strings > total || strings_size > total - strings) return error(Errno::EINVAL);
    if (reservations > total) return error(Errno::EINVAL);

    Fdt tree;
    tree.blob_ = blob;
    tree.structure_ = blob.subspan(structure, structure_size);
    tree.strings_ = blob.subspan(strings, strings_size);
    tree.reservations_ = blob.subspan(reservations);
    TRY(tree.validate());
    return tree;
}

Result<Fdt> Fdt::at(PhysAddr address) {
    if (address.value == 0 || address.value % 8 != 0) return error(Errno::EINVAL);
    std::span header(arch::phys_to_virt<const u8>(address), header_size);
    if (*read_cell(header, 0) != magic) return error(Errno::EINVAL);
    u32 total = *read_cell(header, 4);
    if (total < header_size || total > largest_tree) return error(Errno::EINVAL);
    return create(std::span(header.data(), total));
}

std::optional<FdtNode> Fdt::root() const {
    // validate() saw exactly one root; NOPs may come before it.
    for (u32 offset = 0;;) {
        auto token = token_at(offset);
        if (!token || token->kind == token_end) return {};
        if (token->kind == token_begin_node) {
            FdtNode node;
            node.tree_ = this;
            node.path_[0] = offset;
            return node;
        }
        offset = token->next;
    }
}

std::optional<FdtNode> Fdt::next(const FdtNode& node) const {
    FdtNode result = node;
    u32 open = node.depth_ + 1; // nodes that are begun and not ended where we are
    u32 offset = node.offset();
    for (bool first = true;; first = false) {
        auto token = token_at(offset);
        if (!token || token->kind == token_end) return {};
        if (token->kind == token_end_node) {
            if (--open == 0) return {};
        } else if (token->kind == token_begin_node && !first) {
            if (open >= FdtNode::max_depth) return {};
            result.depth_ = open;
            result.path_[open] = offset;
            return result;
        }
        offset = token->next;
    }
}

std::optional<FdtNode> Fdt::next_child(const FdtNode& parent, const FdtNode* after) const {
    auto node = next(after ? *after : parent);
    while (node && node->depth_ > parent.depth_ + 1) node = next(*node);
    if (!node || node->depth_ <= parent.depth_) return {};
    return node;
}

std::optional<FdtNode> Fdt::find_compatible(std::string_view compatible, const FdtNode* after) const {
    for (auto node = after ? next(*after) : root(); node; node = next(*node))
        if (node->is_compatible(compatible)) return node;
    return {};
}

static bool component_matches(std::string_view node_name, std::string_view component) {
    if (node_name == component) return true;
    return component.find('@') == component.npos && node_name.substr(0, node_name.find('@')) == component;
}

std::optional<FdtNode> Fdt::find_path(std::string_view path) const {
    auto current = root();
    while (current && !path.empty()) {
        if (path.front() == '/') {
            path.remove_prefix(1);
            continue;
        }
        std::string_view component = path.substr(0, path.find('/'));
        path.remove_prefix(component.size());
        auto child = next_child(*current);
        while (child && !component_matches(child->name(), component)) child = next_child(*current, &*child);
        current = child;
    }
    return current;
}

std::optional<FdtNode> Fdt::find_phandle(u32 phandle) const {
    if (phandle == 0) return {};
    for (auto node = root(); node; node = next(*node))
        if (node->phandle() == phandle) return node;
    return {};
}

FdtRegion Fdt::reservation(usize index) const {
    // A terminating entry of zeros ends the list; the bound protects from a list without one.
    auto begin = index < largest_tree ? read_number(reservations_, index * 16, 2) : std::nullopt;
    auto size = begin ? read_number(reservations_, index * 16 + 8, 2) : std::nullopt;
    return size ? FdtRegion{{*begin}, *size} : FdtRegion{};
}

std::string_view FdtNode::name() const {
    auto token = tree_->token_at(offset());
    return token ? token->name : std::string_view{};
}

std::optional<FdtNode> FdtNode::parent() const {
    if (depth_ == 0) return {};
    FdtNode result = *this;
    --result.depth_;
    return result;
}

std::optional<std::span<const u8>> FdtNode::property(std::string_view name) const {
    auto token = tree_->token_at(offset());
    while (token) {
        token = tree_->token_at(token->next);
        // Properties come before child nodes.
        if (!token || (token->kind != token_property && token->kind != token_nop)) return {};
        if (token->kind == token_property && tree_->string_at(token->name_offset) == name) return token->value;
    }
    return {};
}

} // namespace linnet::boot
