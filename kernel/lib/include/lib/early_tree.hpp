// The first look at a device tree's /chosen node (Devicetree Specification 0.4, chapters 3.6 and 5), for start-up code
// that chooses where the kernel image goes: the boot loader's random numbers and the command line's `nokaslr`.
//
// Runs before the image is at its final address, so it uses no table of pointers and nothing that isn't inline. It
// reads single bytes, and only within the tree, which is untrusted.
#pragma once

#include <lib/relocation.hpp>

namespace linnet {

struct EarlyChosen {
    u64 seed = 0; // kaslr-seed and rng-seed folded together
    bool has_seed = false;
    bool randomisation_is_off = false; // no usable tree, or `nokaslr`
};

class EarlyTree {
public:
    /// `tree` may be null or anything; at most `largest` bytes of it are read.
    EarlyTree(const u8* tree, u64 largest) : bytes_(tree), size_(40) {
        if (!tree || word(0) != 0xd00dfeed || word(4) < 40 || word(4) > largest) bytes_ = nullptr, size_ = 0;
        if (bytes_) size_ = word(4);
    }

    EarlyChosen chosen() const {
        EarlyChosen result;
        result.randomisation_is_off = !bytes_;
        u64 at = bytes_ ? word(8) : 0, strings = bytes_ ? word(12) : 0;
        u32 depth = 0;
        bool inside = false;
        while (bytes_ && at + 4 <= size_) {
            u32 token = word(at);
            at += 4;
            if (token == begin_node) {
                inside = ++depth == 2 && equals(at, "chosen");
                while (at < size_ && bytes_[at]) ++at;
                at = (at + 4) & ~u64{3};
            } else if (token == property) {
                u64 length = word(at), value = at + 8;
                if (value + length > size_) break;
                if (inside && depth == 2) take(strings + word(at + 4), value, length, result);
                at = (value + length + 3) & ~u64{3};
            } else if (token == end_node) {
                if (inside || depth <= 1) break; // all of /chosen is known, or the root has ended
                --depth;
            } else if (token != nop) {
                break;
            }
        }
        return result;
    }

private:
    static constexpr u32 begin_node = 1, end_node = 2, property = 3, nop = 4;

    u32 word(u64 offset) const {
        if (offset + 4 > size_) return 0;
        const u8* p = bytes_ + offset;
        return u32{p[0]} << 24 | u32{p[1]} << 16 | u32{p[2]} << 8 | p[3];
    }
    bool equals(u64 offset, const char* text) const {
        for (; offset < size_; ++offset, ++text) {
            if (bytes_[offset] != static_cast<u8>(*text)) return false;
            if (!*text) return true;
        }
        return false;
    }
    void take(u64 name, u64 value, u64 length, EarlyChosen& out) const {
        if (equals(name, "kaslr-seed") || equals(name, "rng-seed")) {
            for (u64 i = 0; i < length; ++i) out.seed = mix_bits(out.seed ^ bytes_[value + i]);
            out.has_seed = length != 0;
        }
        if (equals(name, "bootargs"))
            out.randomisation_is_off = has_boot_word(reinterpret_cast<const char*>(bytes_ + value), length, "nokaslr");
    }

    const u8* bytes_;
    u64 size_;
};

/// How far to move an image that may be moved by less than `limit` bytes in steps of `step`. `time` is a counter's
/// value, which makes boot loaders without a seed a little less predictable.
inline u64 choose_slide(const u8* tree, u64 time, u64 limit, u64 step) {
    constexpr u64 largest_tree = 2 << 20;
    EarlyChosen chosen = EarlyTree(tree, largest_tree).chosen();
    if (chosen.randomisation_is_off) return 0;
    return scale_random(mix_bits(chosen.seed ^ mix_bits(time)), limit / step) * step;
}

} // namespace linnet
