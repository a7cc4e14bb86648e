// A knob: a number under /proc/sys that somebody may change, and that changes what the kernel does.
#pragma once

#include <span>
#include <vfs/pseudo/node.hpp>

namespace linnet::vfs::pseudo {

/// `changed`, where given, runs after the new value has been stored. A value out of the range is EINVAL.
struct Knob {
    std::atomic<u64>& value;
    u64 least = 0;
    u64 most = 0x7fff'ffff;
    void (*changed)() = nullptr;
};
Result<void> add_knob(Directory& directory, std::string_view name, const Knob& knob, u32 permissions = 0644);

/// A choice among words, shown as "one [two] three": the number of the chosen one.
struct ChoiceKnob {
    std::atomic<u64>& value;
    std::span<const std::string_view> words;
    void (*changed)() = nullptr;
};
Result<void> add_choice(Directory& directory, std::string_view name, const ChoiceKnob& knob);

} // namespace linnet::vfs::pseudo
