// What properties mean: cells, regions through bus ranges, interrupts through interrupt parents and maps.
#include <boot/fdt.hpp>

#include "fdt_bytes.hpp"

namespace linnet::boot {

namespace {

constexpr u32 most_cells = 4; // of an address, a size or an interrupt specifier in any binding

/// Offset where `count` more cells end, and whether they lie inside.
bool has_cells(std::span<const u8> bytes, usize offset, usize count) {
    return offset <= bytes.size() && count <= (bytes.size() - offset) / 4;
}

} // namespace

std::optional<u64> FdtNode::number(std::string_view name) const {
    auto value = property(name);
    if (!value || (value->size() != 4 && value->size() != 8)) return {};
    return read_number(*value, 0, static_cast<u32>(value->size() / 4));
}

std::optional<u32> FdtNode::cell(std::string_view name, usize index) const {
    auto value = property(name);
    if (!value || index >= value->size() / 4) return {};
    return read_cell(*value, index * 4);
}

std::optional<std::string_view> FdtNode::text(std::string_view name) const {
    auto value = property(name);
    if (!value) return {};
    return read_string(*value, 0);
}

bool FdtNode::is_compatible(std::string_view name) const {
    auto list = property("compatible");
    if (!list) return false;
    for (usize offset = 0; offset < list->size();) {
        auto entry = read_string(*list, offset);
        if (!entry) return false;
        if (*entry == name) return true;
        offset += entry->size() + 1;
    }
    return false;
}

bool FdtNode::is_enabled() const {
    auto status = text("status");
    return !status || *status == "okay" || *status == "ok";
}

u32 FdtNode::phandle() const { return cell("phandle", 0).value_or(cell("linux,phandle", 0).value_or(0)); }

u32 FdtNode::address_cells() const { return cell("#address-cells", 0).value_or(2); }
u32 FdtNode::size_cells() const { return cell("#size-cells", 0).value_or(1); }

std::optional<FdtRegion> FdtNode::region(usize index) const {
    auto bus = parent();
    auto list = property("reg");
    if (!bus || !list) return {};
    u32 address_cells = bus->address_cells(), size_cells = bus->size_cells();
    if (address_cells == 0 || address_cells > most_cells || size_cells > most_cells) return {};
    usize stride = (address_cells + size_cells) * usize{4};
    if (index >= list->size() / stride) return {};
    auto begin = read_number(*list, index * stride, address_cells);
    auto size = read_number(*list, index * stride + address_cells * 4, size_cells);
    if (!begin || !size) return {};
    auto address = bus->translate({*begin});
    if (!address) return {};
    return FdtRegion{*address, *size};
}

/// Bus by bus upwards. A bus without `ranges` is not visible to the CPU; with an empty one, addresses stay
/// the same.
std::optional<PhysAddr> FdtNode::translate(PhysAddr bus_address) const {
    u64 address = bus_address.value;
    for (FdtNode bus = *this; bus.depth_ > 0;) {
        FdtNode above = *bus.parent();
        auto ranges = bus.property("ranges");
        if (!ranges) return {};
        u32 child_cells = bus.address_cells(), parent_cells = above.address_cells(), size_cells = bus.size_cells();
        if (child_cells > most_cells || parent_cells > most_cells || size_cells > most_cells) return {};
        usize stride = (child_cells + parent_cells + size_cells) * usize{4};
        bool found = ranges->empty();
        for (usize at = 0; !found && stride != 0 && has_cells(*ranges, at, stride / 4); at += stride) {
            u64 child = *read_number(*ranges, at, child_cells);
            u64 parent = *read_number(*ranges, at + child_cells * 4, parent_cells);
            u64 size = *read_number(*ranges, at + (child_cells + parent_cells) * 4, size_cells);
            if (address < child || address - child >= size) continue;
            address = parent + (address - child);
            found = true;
        }
        if (!found) return {};
        bus = above;
    }
    return PhysAddr{address};
}

std::optional<FdtNode> FdtNode::interrupt_parent() const {
    for (std::optional<FdtNode> node = *this; node; node = node->parent()) {
        if (auto phandle = node->cell("interrupt-parent", 0)) return tree_->find_phandle(*phandle);
        if (node->offset() != offset() && node->has_property("interrupt-controller")) return node;
    }
    return {};
}

/// Reads a specifier of `controller` at `offset` of `bytes`.
static std::optional<FdtInterrupt> read_specifier(const FdtNode& controller, std::span<const u8> bytes, usize offset) {
    u32 count = controller.cell("#interrupt-cells", 0).value_or(0);
    if (count == 0 || count > FdtInterrupt::max_cells || !has_cells(bytes, offset, count)) return {};
    FdtInterrupt interrupt{controller, {}, count};
    for (u32 i = 0; i < count; ++i) interrupt.cells[i] = *read_cell(bytes, offset + i * 4);
    return interrupt;
}

std::optional<FdtInterrupt> FdtNode::interrupt(usize index) const {
    if (auto list = property("interrupts-extended")) {
        for (usize offset = 0; offset < list->size();) {
            auto controller = tree_->find_phandle(read_cell(*list, offset).value_or(0));
            if (!controller) return {};
            if (index-- == 0) return read_specifier(*controller, *list, offset + 4);
            offset += 4 + usize{controller->cell("#interrupt-cells", 0).value_or(0)} * 4;
        }
        return {};
    }
    auto list = property("interrupts");
    auto controller = interrupt_parent();
    if (!list || !controller) return {};
    usize stride = usize{controller->cell("#interrupt-cells", 0).value_or(0)} * 4;
    if (stride == 0 || index >= list->size() / stride) return {};
    return read_specifier(*controller, *list, index * stride);
}

std::optional<FdtInterrupt> FdtNode::map_interrupt(std::span<const u32> unit) const {
    auto map = property("interrupt-map");
    if (!map) return {};
    for (usize at = 0; has_cells(*map, at, unit.size() + 1);) {
        bool matches = true;
        for (usize i = 0; i < unit.size(); ++i) {
            u32 mask = cell("interrupt-map-mask", i).value_or(~u32{0});
            matches = matches && ((unit[i] ^ *read_cell(*map, at + i * 4)) & mask) == 0;
        }
        at += unit.size() * 4;
        auto controller = tree_->find_phandle(*read_cell(*map, at));
        if (!controller) return {};
        // The controller's own unit address stands before its specifier.
        u32 address_cells = controller->cell("#address-cells", 0).value_or(0);
        u32 interrupt_cells = controller->cell("#interrupt-cells", 0).value_or(0);
        if (address_cells > most_cells || interrupt_cells > most_cells) return {};
        at += 4 + address_cells * 4;
        if (matches) return read_specifier(*controller, *map, at);
        at += interrupt_cells * 4;
    }
    return {};
}

} // namespace linnet::boot
