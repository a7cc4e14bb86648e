// A reader of flattened device trees (Devicetree Specification 0.4, chapter 5).
//
// The blob is untrusted: create() walks all of it once and refuses what is truncated, nested too deeply or
// not terminated; every later access is checked against the blob's end again. Nothing is allocated or
// written.
#pragma once

#include <array>
#include <lib/address.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <optional>
#include <span>
#include <string_view>

namespace linnet::boot {

class Fdt;
struct FdtInterrupt;

/// A memory range of a `reg` property, translated through the `ranges` of the buses above to CPU addresses.
struct FdtRegion {
    PhysAddr begin{};
    u64 size = 0;
};

/// A node; valid as long as the tree's blob. It knows the nodes above it, since the format has no way up.
class FdtNode {
public:
    static constexpr usize max_depth = 16;

    /// Name with unit address, e.g. "serial@10000000"; "" for the root.
    std::string_view name() const;
    std::optional<FdtNode> parent() const;

    std::optional<std::span<const u8>> property(std::string_view name) const;
    bool has_property(std::string_view name) const { return property(name).has_value(); }
    /// A property of one or two cells; nothing when it has another size.
    std::optional<u64> number(std::string_view name) const;
    /// Cell `index` of a property that is an array of 32-bit cells.
    std::optional<u32> cell(std::string_view name, usize index) const;
    /// The first string of a property, without its NUL.
    std::optional<std::string_view> text(std::string_view name) const;

    /// Whether `name` is one of the strings of `compatible`.
    bool is_compatible(std::string_view name) const;
    /// False when `status` says anything but "okay".
    bool is_enabled() const;
    u32 phandle() const; // 0: none

    /// Number of cells that child nodes' `reg` use.
    u32 address_cells() const;
    u32 size_cells() const;
    /// Entry `index` of `reg`.
    std::optional<FdtRegion> region(usize index) const;
    /// An address on this node's bus (as its children's `reg` has it) to a CPU address.
    std::optional<PhysAddr> translate(PhysAddr bus_address) const;

    /// Entry `index` of `interrupts-extended` or `interrupts`.
    std::optional<FdtInterrupt> interrupt(usize index) const;
    /// Looks `unit` (unit address and interrupt specifier of a child, in cells) up in this node's
    /// `interrupt-map`.
    std::optional<FdtInterrupt> map_interrupt(std::span<const u32> unit) const;

    bool operator==(const FdtNode& other) const { return offset() == other.offset(); }

private:
    friend class Fdt;
    u32 offset() const { return path_[depth_]; }
    std::optional<FdtNode> interrupt_parent() const;

    const Fdt* tree_ = nullptr;
    u32 depth_ = 0;                     // the root has 0
    std::array<u32, max_depth> path_{}; // offsets of the root … this node in the structure block
};

/// An interrupt as its controller's binding writes it.
struct FdtInterrupt {
    static constexpr usize max_cells = 4;
    FdtNode controller;
    std::array<u32, max_cells> cells{};
    usize cell_count = 0;
};

class Fdt {
public:
    constexpr Fdt() = default;
    /// `blob` may be longer than the tree. EINVAL when it isn't a whole and valid tree.
    static Result<Fdt> create(std::span<const u8> blob);
    /// The tree at a physical address that the direct map covers; checks size and header first.
    static Result<Fdt> at(PhysAddr address);

    bool is_empty() const { return structure_.empty(); }
    std::span<const u8> blob() const { return blob_; }

    std::optional<FdtNode> root() const;
    /// The node after `node` in document order (its first child, else the next node that isn't below it …).
    std::optional<FdtNode> next(const FdtNode& node) const;
    /// The child of `parent` after `after` (none: the first).
    std::optional<FdtNode> next_child(const FdtNode& parent, const FdtNode* after = nullptr) const;
    /// The next node, in document order after `after` (none: from the root), that is `compatible`.
    std::optional<FdtNode> find_compatible(std::string_view compatible, const FdtNode* after = nullptr) const;
    /// By path; a component without unit address matches the first node of that name. "/" is the root.
    std::optional<FdtNode> find_path(std::string_view path) const;
    std::optional<FdtNode> find_phandle(u32 phandle) const;

    /// Entry `index` of the memory reservation block; size 0 when there is none.
    FdtRegion reservation(usize index) const;

private:
    friend class FdtNode;
    struct Token;
    std::optional<Token> token_at(u32 offset) const;
    std::optional<std::string_view> name_at(u32 offset) const;
    std::optional<std::string_view> string_at(u32 offset) const;
    Result<void> validate() const;

    std::span<const u8> blob_;
    std::span<const u8> structure_;
    std::span<const u8> strings_;
    std::span<const u8> reservations_;
};

/// The machine's tree; empty where the firmware gave none. Set by parse().
const Fdt& device_tree();

} // namespace linnet::boot
