// The extended I/O interrupt controller as its children see it: 256 vectors, which are the interrupt numbers
// of the machine. A child stands between devices and a range of vectors.
#pragma once

#include <core/irq.hpp>
#include <span>

namespace linnet::drivers {

/// What a PCH interrupt controller does for its vectors.
class VectorRange {
public:
    virtual Result<void> enable_vector(core::Irq vector, core::Trigger trigger) = 0;
    virtual void disable_vector(core::Irq vector) = 0;
    /// Runs the handlers of `vector`, around which the controller may mask the line.
    virtual void handle_vector(core::Irq vector) { core::handle_irq(vector); }

protected:
    ~VectorRange() = default;
};

/// ENOSPC beyond the vectors, EBUSY when the range belongs to somebody. Probing is single-threaded.
Result<void> claim_vectors(core::Irq first, u32 count, VectorRange& owner);
/// The vectors and the address that message-signalled interrupts use.
Result<void> set_msi_vectors(core::Irq first, u32 count, PhysAddr message_address);

} // namespace linnet::drivers
