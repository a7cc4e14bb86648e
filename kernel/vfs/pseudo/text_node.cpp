// Files of generated text.
#include "text.hpp"
#include <algorithm>
#include <vfs/pseudo/node.hpp>

namespace linnet::vfs::pseudo {

namespace {

class TextFile final : public File {
public:
    TextFile(const Path& path, u32 flags, TextNode& node)
        : File(path, flags, Positioning::Seekable), node_(node), buffer_(TextNode::text_limit) {}

    Result<usize> read(IoBuffer& to, u64 offset) override {
        core::MutexGuard guard(lock_);
        if (offset == 0) {
            buffer_.clear();
            next_part_ = 0;
            at_end_ = false;
        }
        while (!at_end_ && buffer_.text().size() <= offset) {
            next_part_ = TRY(node_->show_part(next_part_, [this](std::string_view piece) { buffer_.append(piece); }));
            TRY(buffer_.status());
            at_end_ = next_part_ == 0;
        }
        const std::string_view text = buffer_.text();
        if (offset >= text.size()) return 0;
        const usize count = std::min(to.remaining(), text.size() - offset);
        return to.copy_out({reinterpret_cast<const u8*>(text.data()) + offset, count});
    }

    Result<usize> write(IoBuffer& from, u64) override {
        const usize size = from.remaining();
        if (size > TextNode::store_limit) return error(Errno::EINVAL);
        OwnPtr<char[]> text(new (std::nothrow) char[size + 1]);
        if (!text) return error(Errno::ENOMEM);
        if (TRY(from.copy_in({reinterpret_cast<u8*>(text.get()), size})) != size) return error(Errno::EFAULT);
        TRY(node_->store({text.get(), size}));
        return size;
    }
    Result<void> truncate(u64) override { return {}; }

private:
    RefPtr<TextNode> node_;
    core::Mutex lock_;
    TextBuffer buffer_;
    u64 next_part_ = 0;
    bool at_end_ = false;
};

class FunctionNode final : public TextNode {
public:
    FunctionNode(FileSystem& file_system, u32 permissions, Show show, Store store)
        : TextNode(file_system.superblock(), file_system.next_inode_number(), abi::S_IFREG | permissions), show_(show),
          store_(store) {}
    Result<void> show(TextSink sink) override {
        if (!show_) return error(Errno::EINVAL);
        return show_(sink);
    }
    Result<void> store(std::string_view text) override {
        if (!store_) return error(Errno::EINVAL);
        return store_(text);
    }

private:
    const Show show_;
    const Store store_;
};

class SymlinkNode final : public Node {
public:
    SymlinkNode(FileSystem& file_system, OwnPtr<char[]> target, usize length)
        : Node(file_system.superblock(), file_system.next_inode_number(), abi::S_IFLNK | 0777),
          target_(std::move(target)), length_(length) {}
    Result<LinkTarget> read_link() override { return LinkTarget{{target_.get(), length_}, nullptr}; }

private:
    const OwnPtr<char[]> target_;
    const usize length_;
};

} // namespace

Result<void> TextNode::store(std::string_view) { return error(Errno::EINVAL); }

Result<RefPtr<File>> TextNode::open(const Path& path, u32 flags) {
    TRY(check_open(flags));
    TextFile* file = new (std::nothrow) TextFile(path, flags, *this);
    if (!file) return error(Errno::ENOMEM);
    return RefPtr<File>(adopt_ref(*file));
}

Result<RefPtr<Node>> create_text(FileSystem& file_system, Show show, u32 permissions, Store store) {
    Node* node = new (std::nothrow) FunctionNode(file_system, permissions, show, store);
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<Node>(adopt_ref(*static_cast<FunctionNode*>(node)));
}

Result<RefPtr<Node>> create_symlink(FileSystem& file_system, std::string_view target) {
    OwnPtr<char[]> copy(new (std::nothrow) char[target.size() + 1]);
    if (!copy) return error(Errno::ENOMEM);
    std::copy(target.begin(), target.end(), copy.get());
    auto* node = new (std::nothrow) SymlinkNode(file_system, std::move(copy), target.size());
    if (!node) return error(Errno::ENOMEM);
    return RefPtr<Node>(RefPtr<Node>::adopt(*node));
}

Result<u64> parse_number(std::string_view text, u64 maximum) {
    constexpr std::string_view space = " \t\n";
    const usize first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return error(Errno::EINVAL);
    text = text.substr(first, text.find_last_not_of(space) + 1 - first);
    u64 base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2), base = 16;
    if (text.empty()) return error(Errno::EINVAL);
    u64 value = 0;
    for (char c : text) {
        const char lower = static_cast<char>(c | 0x20);
        u64 digit = c >= '0' && c <= '9' ? static_cast<u64>(c - '0') : ~u64{0};
        if (base == 16 && lower >= 'a' && lower <= 'f') digit = static_cast<u64>(lower - 'a') + 10;
        if (digit >= base) return error(Errno::EINVAL);
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
            return error(Errno::ERANGE);
    }
    if (value > maximum) return error(Errno::ERANGE);
    return value;
}

} // namespace linnet::vfs::pseudo
