// /proc/kallsyms: the kernel's functions and where they are (proc(5)), for who may know.
#include "procfs.hpp"

#include <core/panic.hpp>
#include <vfs/credentials.hpp>
#include <vfs/current.hpp>
#include <vfs/pseudo/knob.hpp>

namespace linnet::fs {

namespace {

/// /proc/sys/kernel/kptr_restrict: 2 hides the addresses from everybody, less from who lacks CAP_SYSLOG.
constinit std::atomic<u64> kptr_restrict{0};

bool may_see_addresses() {
    return kptr_restrict.load(std::memory_order_relaxed) < 2 && vfs::current_credentials().has(vfs::Capability::Syslog);
}

void put_symbol(TextSink sink, u64 address, std::string_view name) {
    format_to(sink, "{016x} T ", may_see_addresses() ? address : 0);
    for (char c : name) // readers take a blank for the end
        if (c != ' ') sink({&c, 1});
    sink("\n");
}

class SymbolsNode final : public vfs::pseudo::TextNode {
public:
    explicit SymbolsNode(vfs::pseudo::FileSystem& file_system)
        : TextNode(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | 0444) {}
    Result<void> show(TextSink) override { return {}; } // in parts only

    Result<u64> show_part(u64 from, TextSink sink) override {
        constexpr u64 at_once = 256;
        if (from == 0) {
            // What programs look for to find out how far the image has been moved.
            for (std::string_view name : {"_text", "_stext"}) put_symbol(sink, core::kernel_text().begin, name);
        }
        core::Symbol symbol;
        u64 i = from;
        for (; i < from + at_once; ++i) {
            symbol = core::symbol_at(i);
            if (symbol.name.empty()) break;
            put_symbol(sink, core::kernel_text().begin + symbol.offset, symbol.name);
        }
        if (!symbol.name.empty()) return i;
        put_symbol(sink, core::kernel_text().end, "_etext");
        return 0;
    }
};

} // namespace

Result<void> add_symbol_files(vfs::pseudo::Directory& root) {
    auto* node = new (std::nothrow) SymbolsNode(root.file_system());
    if (!node) return error(Errno::ENOMEM);
    TRY(root.add("kallsyms", RefPtr<vfs::pseudo::Node>::adopt(*node)));
    return vfs::pseudo::add_knob(*TRY(root.add_path("sys/kernel")), "kptr_restrict",
                                 {.value = kptr_restrict, .most = 2});
}

} // namespace linnet::fs
