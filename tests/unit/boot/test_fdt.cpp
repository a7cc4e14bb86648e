// The device-tree reader: what a good tree says, and that no bytes whatever lead it outside of its blob or keep it busy
// for ever. Every blob is a heap block of exactly its size, so AddressSanitizer watches.
#include "fdt_builder.hpp"
#include "mutate.hpp"
#include "parse.hpp"

#include <boot/fdt.hpp>
#include <gtest/gtest.h>

namespace {

using namespace linnet;
using namespace linnet::boot;
using test::Exact;
using test::FdtBuilder;

/// A small machine in the manner of QEMU's `virt`: memory, reserved memory, CPUs, nested buses with `ranges`,
/// interrupts by both properties and by a map.
std::vector<u8> small_machine() {
    FdtBuilder tree;
    tree.reserve(0x8000'0000, 0x1000).nop().begin("");
    tree.cells("#address-cells", {2}).cells("#size-cells", {2}).cells("interrupt-parent", {1});
    tree.text("compatible", std::string("vendor,machine\0generic", 22));
    tree.begin("chosen").text("bootargs", "console=ttyS0 quiet");
    tree.cells("linux,initrd-start", {0, 0x8800'0000}).cells("linux,initrd-end", {0x8900'0000}).end();
    tree.begin("memory@80000000").text("device_type", "memory");
    tree.cells("reg", {0, 0x8000'0000, 0, 0x1000'0000, 1, 0, 0, 0x800'0000}).end();
    tree.begin("memory@f0000000").text("device_type", "memory").text("status", "disabled");
    tree.cells("reg", {0, 0xf000'0000, 0, 0x1000'0000}).end();
    tree.begin("reserved-memory").cells("#address-cells", {2}).cells("#size-cells", {2}).bytes("ranges", "");
    tree.begin("firmware@80001000").cells("reg", {0, 0x8000'1000, 0, 0x1'f000}).end().end();
    tree.begin("cpus").cells("#address-cells", {1}).cells("#size-cells", {0});
    for (u32 id : {4, 0, 1})
        tree.begin("cpu@" + std::to_string(id)).text("device_type", "cpu").cells("reg", {id}).end();
    tree.end();
    tree.begin("intc@c000000").cells("phandle", {1}).bytes("interrupt-controller", "").cells("#interrupt-cells", {3});
    tree.cells("#address-cells", {0}).cells("reg", {0, 0x0c00'0000, 0, 0x1000}).end();
    tree.begin("soc").cells("#address-cells", {1}).cells("#size-cells", {1});
    tree.cells("ranges", {0, 1, 0x1000'0000, 0x1'0000, 0x2'0000, 2, 0, 0x1000}).text("compatible", "simple-bus");
    tree.begin("serial@100")
        .text("compatible", std::string("vendor,uart\0ns16550a", 20))
        .cells("reg", {0x100, 0x10, 0x2'0004, 8});
    tree.cells("interrupts", {0, 10, 4, 0, 11, 4}).end();
    tree.begin("bridge@200").cells("#address-cells", {1}).cells("#size-cells", {1}).cells("ranges", {0, 0x1000, 0x100});
    tree.begin("leaf@10").cells("reg", {0x10, 4}).end().end();
    tree.begin("island").cells("#address-cells", {1}).cells("#size-cells", {1});
    tree.begin("castaway@0").cells("reg", {0, 4}).end().end();
    tree.end();
    tree.begin("timer").cells("interrupts-extended", {1, 1, 13, 8, 1, 1, 14, 8}).end();
    tree.begin("pcie@30000000").cells("#address-cells", {3}).cells("#size-cells", {2}).cells("#interrupt-cells", {1});
    tree.cells("interrupt-map-mask", {0x1800, 0, 0, 7});
    tree.cells("interrupt-map", {0, 0, 0, 1, 1, 0, 3, 4, 0x800, 0, 0, 1, 1, 0, 4, 4}).end();
    return tree.end().finish();
}

Fdt opened(const Exact& blob) {
    auto tree = Fdt::create(blob.span());
    EXPECT_TRUE(tree.has_value());
    return tree.value_or(Fdt());
}

TEST(Fdt, NodesPropertiesAndPaths) {
    Exact blob(small_machine());
    Fdt tree = opened(blob);
    ASSERT_TRUE(tree.root());
    EXPECT_EQ(tree.root()->name(), "");
    EXPECT_TRUE(tree.root()->is_compatible("generic"));
    EXPECT_FALSE(tree.root()->is_compatible("gener"));
    usize nodes = 0;
    for (auto node = tree.root(); node; node = tree.next(*node)) ++nodes;
    EXPECT_EQ(nodes, 19u);
    auto serial = tree.find_path("/soc/serial");
    ASSERT_TRUE(serial);
    EXPECT_EQ(serial->name(), "serial@100");
    EXPECT_EQ(*serial, *tree.find_path("//soc/serial@100/"));
    EXPECT_FALSE(tree.find_path("/soc/serial@101"));
    EXPECT_EQ(*serial, *tree.find_compatible("ns16550a"));
    EXPECT_FALSE(tree.find_compatible("ns16550a", &*serial));
    EXPECT_EQ(serial->parent()->name(), "soc");
    EXPECT_EQ(serial->cell("interrupts", 4), 11u);
    EXPECT_FALSE(serial->cell("interrupts", 6));
    EXPECT_FALSE(serial->number("interrupts"));
    EXPECT_FALSE(serial->property("nothing"));
    EXPECT_EQ(tree.find_path("/chosen")->number("linux,initrd-start"), 0x8800'0000u);
    EXPECT_EQ(tree.find_phandle(1)->name(), "intc@c000000");
    EXPECT_FALSE(tree.find_phandle(0));
    EXPECT_FALSE(tree.find_phandle(77));
    EXPECT_EQ(tree.reservation(0).begin.value, 0x8000'0000u);
    EXPECT_EQ(tree.reservation(1).size, 0u);
    // Children only, not grandchildren.
    usize children = 0;
    auto soc = *tree.find_path("/soc");
    for (auto node = tree.next_child(soc); node; node = tree.next_child(soc, &*node)) ++children;
    EXPECT_EQ(children, 3u);
}

TEST(Fdt, RegionsGoThroughTheBusesAbove) {
    Exact blob(small_machine());
    Fdt tree = opened(blob);
    auto serial = *tree.find_path("/soc/serial");
    EXPECT_EQ(serial.region(0)->begin.value, 0x1'1000'0100u);
    EXPECT_EQ(serial.region(0)->size, 0x10u);
    EXPECT_EQ(serial.region(1)->begin.value, 0x2'0000'0004u);
    EXPECT_FALSE(serial.region(2));
    EXPECT_EQ(tree.find_path("/soc/bridge/leaf")->region(0)->begin.value, 0x1'1000'1010u);
    EXPECT_FALSE(tree.find_path("/soc/island/castaway")->region(0)); // no ranges: not visible from here
    EXPECT_EQ(tree.find_path("/memory@80000000")->region(1)->begin.value, 0x1'0000'0000u);
    EXPECT_FALSE(tree.root()->region(0));
}

TEST(Fdt, Interrupts) {
    Exact blob(small_machine());
    Fdt tree = opened(blob);
    auto second = tree.find_path("/soc/serial")->interrupt(1);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->controller.name(), "intc@c000000");
    EXPECT_EQ(second->cell_count, 3u);
    EXPECT_EQ(second->cells[1], 11u);
    EXPECT_FALSE(tree.find_path("/soc/serial")->interrupt(2));
    EXPECT_EQ(tree.find_path("/timer")->interrupt(1)->cells[1], 14u);
    EXPECT_FALSE(tree.find_path("/timer")->interrupt(2));
    auto bridge = *tree.find_path("/pcie");
    const u32 first_slot[] = {0, 0, 0, 1}, second_slot[] = {0x8ff, 5, 6, 1}, third_slot[] = {0x1000, 0, 0, 1};
    EXPECT_EQ(bridge.map_interrupt(first_slot)->cells[1], 3u);
    EXPECT_EQ(bridge.map_interrupt(second_slot)->cells[1], 4u); // what the mask covers doesn't count
    EXPECT_FALSE(bridge.map_interrupt(third_slot));
}

TEST(Fdt, RefusesWhatIsNoTree) {
    std::vector<u8> good = small_machine();
    for (usize size = 0; size < good.size(); ++size)
        EXPECT_FALSE(Fdt::create(Exact(std::span(good).first(size)).span()));
    auto with_word = [&](usize offset, u32 value) {
        std::vector<u8> blob = good;
        for (int i = 0; i < 4; ++i) blob[offset + static_cast<usize>(i)] = static_cast<u8>(value >> (24 - 8 * i));
        return Fdt::create(Exact(blob).span()).has_value();
    };
    EXPECT_FALSE(with_word(0, 0xd00dfeee));                                    // magic
    for (u32 size : {0u, 39u, 0xffff'fff8u}) EXPECT_FALSE(with_word(4, size)); // total size
    for (usize field : {8, 12, 16, 32, 36})                                    // blocks outside
        EXPECT_FALSE(with_word(field, 0xffff'fffc)) << field;
    EXPECT_FALSE(with_word(20, 2)); // versions
    EXPECT_FALSE(with_word(24, 18));

    FdtBuilder deep;
    for (int i = 0; i < 100; ++i) deep.begin("n");
    for (int i = 0; i < 100; ++i) deep.end();
    EXPECT_FALSE(Fdt::create(Exact(deep.finish()).span()));
    EXPECT_FALSE(Fdt::create(Exact(FdtBuilder().begin("").end().end().finish()).span())); // ends twice
    EXPECT_FALSE(Fdt::create(Exact(FdtBuilder().begin("").finish()).span()));             // never ends
    EXPECT_FALSE(Fdt::create(Exact(FdtBuilder().begin("").end().begin("").end().finish()).span()));
    EXPECT_FALSE(Fdt::create(Exact(FdtBuilder().cells("reg", {1}).begin("").end().finish()).span()));
    EXPECT_TRUE(Fdt::create(Exact(FdtBuilder().begin("").end().finish()).span()));
}

/// One thing wrong at a time, in a tree that is well formed.
TEST(Fdt, AbsurdProperties) {
    FdtBuilder tree;
    tree.begin("").cells("#address-cells", {2}).cells("#size-cells", {2}).cells("interrupt-parent", {9});
    tree.begin("dangling").cells("interrupts", {1, 2, 3}).cells("interrupts-extended", {8, 1}).end();
    tree.begin("parentless").cells("interrupts", {1, 2, 3}).end();
    tree.begin("short").cells("reg", {0, 1, 0}).bytes("phandle", "ab").end();
    tree.begin("open").bytes("compatible", "not terminated").bytes("status", "okay").end();
    tree.begin("wide").cells("#address-cells", {~0u}).cells("#size-cells", {~0u}).bytes("ranges", "");
    tree.begin("child").cells("reg", {1, 2, 3, 4}).end().end();
    tree.begin("narrow").cells("#address-cells", {0}).cells("#size-cells", {0}).bytes("ranges", "");
    tree.begin("child").cells("reg", {1, 2, 3, 4}).end().end();
    tree.begin("odd").cells("#address-cells", {1}).cells("#size-cells", {1}).cells("ranges", {1, 2, 3, 4, 5, 6, 7});
    tree.begin("child").cells("reg", {1, 2}).end().end();
    tree.begin("greedy").cells("phandle", {5}).cells("#interrupt-cells", {~0u}).cells("#address-cells", {~0u}).end();
    tree.begin("user")
        .cells("interrupts-extended", {5, 1, 2, 3, 5, 1})
        .cells("interrupt-map", {0, 5, 1, 0, 5, 2})
        .end();
    Exact blob(tree.end().finish());
    Fdt fdt = opened(blob);
    for (const char* path : {"/dangling", "/parentless", "/user"}) {
        EXPECT_FALSE(fdt.find_path(path)->interrupt(0)) << path;
        EXPECT_FALSE(fdt.find_path(path)->interrupt(1)) << path;
    }
    EXPECT_FALSE(fdt.find_path("/short")->region(0));
    EXPECT_EQ(fdt.find_path("/short")->phandle(), 0u);
    EXPECT_FALSE(fdt.find_path("/open")->is_compatible("not terminated"));
    EXPECT_FALSE(fdt.find_path("/open")->text("status"));
    for (const char* path : {"/wide/child", "/narrow/child"}) EXPECT_FALSE(fdt.find_path(path)->region(0)) << path;
    (void)fdt.find_path("/odd/child")->region(0);
    const u32 unit[] = {0};
    EXPECT_FALSE(fdt.find_path("/user")->map_interrupt(unit));
}

/// Asks everything of every node.
u64 read_everything(const Fdt& tree) {
    u64 seen = 0;
    const u32 unit[] = {0x800, 0, 0, 1};
    for (auto node = tree.root(); node; node = tree.next(*node)) {
        seen += node->name().size() + node->phandle() + node->is_enabled() + node->is_compatible("ns16550a");
        for (usize i = 0; i < 4; ++i) {
            if (auto region = node->region(i)) seen += region->size;
            if (auto interrupt = node->interrupt(i)) seen += interrupt->cells[0] + interrupt->controller.name().size();
        }
        if (auto interrupt = node->map_interrupt(unit)) seen += interrupt->cell_count;
        if (auto address = node->translate({0x1000})) seen += address->value;
        for (auto child = tree.next_child(*node); child; child = tree.next_child(*node, &*child)) ++seen;
    }
    for (usize i = 0; i < 8; ++i) seen += tree.reservation(i).size;
    for (const char* path : {"/", "/soc/serial", "/cpus/cpu@4", "/chosen"}) seen += tree.find_path(path).has_value();
    return seen;
}

TEST(Fdt, NoDamageLeadsOutside) {
    std::vector<u8> good = small_machine();
    std::mt19937 random(2);
    int accepted = 0;
    for (int round = 0; round < 10000; ++round) {
        Exact blob(test::damaged(good, random));
        auto tree = Fdt::create(blob.span());
        if (!tree) continue;
        ++accepted;
        (void)read_everything(*tree);
    }
    EXPECT_GT(accepted, 1000); // else nothing was tested behind create()
}

} // namespace
