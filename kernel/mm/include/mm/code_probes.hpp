// Breakpoints in the code that objects show in address spaces (uprobes): what they need of memory, and what they are
// told. They are written into private copies of pages, so the object keeps what it has.
//
// Who plants one marks the object first and looks for its mappings then; who maps it looks at the mark afterwards. So
// one of the two sees the other. A forked copy has the breakpoints of its original, or is looked at when it is made.
#pragma once

#include <mm/address_space.hpp>

namespace linnet::mm {

/// What probes keep in an address space.
class AddressSpaceProbes {
public:
    virtual ~AddressSpaceProbes() = default;
};

/// Bytes to be replaced wherever they show. Of 1, 2 or 4 bytes, aligned to that: written at once.
struct CodePatch {
    const VmObject& object;
    u64 offset;
    std::span<const u8> from, to;
    /// Planting makes private copies, but none where the program may write; else only present copies matter.
    enum class Purpose : u8 { Plant, Remove } purpose;
};

class CodeProbes {
public:
    /// A probed object has been mapped. May sleep.
    virtual void on_mapped(AddressSpace& space, const VmObject& object) = 0;
    /// A copy has been made, or a mapping moved, while objects are probed. May sleep.
    virtual void on_changed(AddressSpace& space) = 0;

protected:
    ~CodeProbes() = default;
};

/// Set before any object is marked.
inline constinit CodeProbes* code_probes = nullptr;
/// How many objects are marked.
inline constinit std::atomic<u32> probed_objects{0};

} // namespace linnet::mm
