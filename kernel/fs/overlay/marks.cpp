// Reading and writing marks, and the names of attributes that look like them.
#include "marks.hpp"

#include <cstring>

namespace linnet::overlay {

namespace {

/// A mark's whole name.
class MarkName {
public:
    MarkName(std::string_view prefix, std::string_view mark) : length_(prefix.size() + mark.size()) {
        VERIFY(length_ <= sizeof buffer_);
        std::memcpy(buffer_, prefix.data(), prefix.size());
        std::memcpy(buffer_ + prefix.size(), mark.data(), mark.size());
    }
    [[nodiscard]] std::string_view text() const { return {buffer_, length_}; }

private:
    usize length_;
    char buffer_[48];
};

} // namespace

Result<Marks::Value> Marks::read(vfs::Inode& inode, std::string_view mark) const {
    const MarkName name(prefix_, mark);
    core::ReadGuard guard(inode.lock);
    const auto size = inode.get_extended_attribute(name.text(), {});
    if (!size && (size.error() == Errno::ENODATA || size.error() == Errno::EOPNOTSUPP)) return Value{};
    ArrayList<u8> value;
    TRY(value.try_resize(TRY(size)));
    if (!value.is_empty()) TRY(inode.get_extended_attribute(name.text(), value.span()));
    return Value(std::move(value));
}

Result<bool> Marks::is_set(vfs::Inode& inode, std::string_view mark) const {
    const Value value = TRY(read(inode, mark));
    return value && value->size() == 1 && (*value)[0] == 'y';
}

Result<void> Marks::write(vfs::Inode& inode, std::string_view mark, std::span<const u8> value) const {
    core::WriteGuard guard(inode.lock);
    return inode.set_extended_attribute(MarkName(prefix_, mark).text(), value, 0);
}

Result<void> Marks::set(vfs::Inode& inode, std::string_view mark) const {
    const u8 yes[] = {'y'};
    return write(inode, mark, yes);
}

bool Marks::is_own(std::string_view attribute) const {
    return attribute.starts_with(prefix_) && !attribute.substr(prefix_.size()).starts_with(escape);
}

Result<Marks::LayerName> Marks::LayerName::of(const Marks& marks, std::string_view attribute) {
    LayerName name;
    name.plain_ = attribute;
    if (!attribute.starts_with(marks.prefix_)) return name;
    const std::string_view rest = attribute.substr(marks.prefix_.size());
    name.length_ = attribute.size() + escape.size();
    if (name.length_ > sizeof name.buffer_) return error(Errno::ERANGE);
    char* out = name.buffer_;
    for (const std::string_view piece : {marks.prefix_, escape, rest}) {
        std::memcpy(out, piece.data(), piece.size());
        out += piece.size();
    }
    return name;
}

std::optional<std::string_view> Marks::shown_name(std::string_view attribute, std::span<char> buffer) const {
    if (is_own(attribute)) return {};
    if (!attribute.starts_with(prefix_)) return attribute;
    const std::string_view rest = attribute.substr(prefix_.size() + escape.size());
    const usize length = prefix_.size() + rest.size();
    if (length > buffer.size()) return {};
    std::memcpy(buffer.data(), prefix_.data(), prefix_.size());
    std::memcpy(buffer.data() + prefix_.size(), rest.data(), rest.size());
    return std::string_view(buffer.data(), length);
}

} // namespace linnet::overlay
