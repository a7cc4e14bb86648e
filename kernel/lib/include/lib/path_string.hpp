// Path strings: splitting a path into its components, with the hash of each made on the way.
#pragma once

#include <lib/types.hpp>
#include <string_view>

namespace linnet {

/// Hash of a name, for tables of names.
constexpr u32 hash_name(std::string_view name) {
    u64 hash = 0;
    for (char c : name) hash = (hash + static_cast<u8>(c)) * 0x9e3779b97f4a7c15ull;
    return static_cast<u32>(hash >> 32);
}

struct PathComponent {
    enum class Kind : u8 { Name, Dot, DotDot };
    std::string_view name;
    u32 hash = 0;
    Kind kind = Kind::Name;
};

/// What is left of a path; slashes of any number separate components.
class PathSplitter {
public:
    constexpr PathSplitter() = default;
    constexpr explicit PathSplitter(std::string_view path) : rest_(path) {}

    /// Splits the next component off; false when only slashes, or nothing, were left.
    constexpr bool next(PathComponent& out) {
        // By pointer: this runs for every component of every path, and checked indices would double it.
        const char* const path = rest_.data();
        const usize size = rest_.size();
        usize begin = 0;
        while (begin < size && path[begin] == '/') ++begin;
        if (begin == size) {
            rest_ = {};
            return false;
        }
        usize end = begin;
        u64 hash = 0;
        for (; end < size && path[end] != '/'; ++end)
            hash = (hash + static_cast<u8>(path[end])) * 0x9e3779b97f4a7c15ull;
        out.name = {path + begin, end - begin};
        out.hash = static_cast<u32>(hash >> 32);
        out.kind = PathComponent::Kind::Name;
        if (path[begin] == '.') [[unlikely]] {
            if (end - begin == 1) out.kind = PathComponent::Kind::Dot;
            if (end - begin == 2 && path[begin + 1] == '.') out.kind = PathComponent::Kind::DotDot;
        }
        rest_ = {path + end, size - end};
        return true;
    }
    [[nodiscard]] constexpr bool is_empty() const { return rest_.empty(); }
    /// Whether no component is left: nothing, or slashes.
    [[nodiscard]] constexpr bool has_only_slashes() const {
        // The usual case: one slash and a name.
        if (rest_.size() >= 2 && rest_.data()[1] != '/') return false;
        for (char c : rest_)
            if (c != '/') return false;
        return true;
    }

private:
    std::string_view rest_;
};

} // namespace linnet
