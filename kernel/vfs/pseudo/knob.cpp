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

class ChoiceNode final : public TextNode {
public:
    ChoiceNode(FileSystem& file_system, const ChoiceKnob& knob)
        : TextNode(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | 0644), knob_(knob) {}
    Result<void> show(TextSink sink) override {
        const u64 chosen = knob_.value.load(std::memory_order_relaxed);
        for (usize i = 0; i < knob_.words.size(); ++i)
            format_to(sink, i == chosen ? "{}[{}]" : "{}{}", i > 0 ? " " : "", knob_.words[i]);
        sink("\n");
        return {};
    }
    Result<void> store(std::string_view text) override {
        text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
        for (usize i = 0; i < knob_.words.size(); ++i) {
            if (knob_.words[i] != text) continue;
            knob_.value.store(i);
            if (knob_.changed) knob_.changed();
            return {};
        }
        return error(Errno::EINVAL);
    }

private:
    const ChoiceKnob knob_;
};

} // namespace

Result<void> add_choice(Directory& directory, std::string_view name, const ChoiceKnob& knob) {
    auto* node = new (std::nothrow) ChoiceNode(directory.file_system(), knob);
    if (!node) return error(Errno::ENOMEM);
    return directory.add(name, RefPtr<Node>::adopt(*node));
}

Result<void> add_knob(Directory& directory, std::string_view name, const Knob& knob, u32 permissions) {
    auto* node = new (std::nothrow) KnobNode(directory.file_system(), knob, permissions);
    if (!node) return error(Errno::ENOMEM);
    return directory.add(name, RefPtr<Node>::adopt(*node));
}

} // namespace linnet::vfs::pseudo
