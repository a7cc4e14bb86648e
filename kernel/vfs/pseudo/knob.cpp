// Numbers under /proc/sys.
#include <vfs/pseudo/knob.hpp>

namespace linnet::vfs::pseudo {

namespace {

class KnobNode final : public TextNode {
public:
    KnobNode(FileSystem& file_system, const Knob& knob, u32 permissions)
        : TextNode(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | permissions), knob_(knob) {
    }
    Result<void> show(TextSink sink) override {
        format_to(sink, "{}\n", knob_.value.load(std::memory_order_relaxed));
        return {};
    }
    Result<void> store(std::string_view text) override {
        if (!(mode() & 0222)) return error(Errno::EINVAL);
        // strtoul would take a zero byte for the end, and so do programs that write their buffer whole.
        text = text.substr(0, text.find('\0'));
        const Result<u64> value = parse_number(text, knob_.most);
        if (!value || *value < knob_.least) return error(Errno::EINVAL);
        knob_.value.store(*value);
        if (knob_.changed) knob_.changed();
        return {};
    }

private:
    const Knob knob_;
};

} // namespace

Result<void> add_knob(Directory& directory, std::string_view name, const Knob& knob, u32 permissions) {
    auto* node = new (std::nothrow) KnobNode(directory.file_system(), knob, permissions);
    if (!node) return error(Errno::ENOMEM);
    return directory.add(name, RefPtr<Node>::adopt(*node));
}

} // namespace linnet::vfs::pseudo
