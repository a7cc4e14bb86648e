// FP and vector state: XSAVE images in the standard format, or FXSAVE's where the CPU has no XSAVE.
#pragma once

#include <lib/address.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet::arch {

/// Each CPU: XCR0. On the first also the layout and the image of a fresh program.
void initialise_extended_state();
/// Registers as execve(2) leaves them.
std::span<const u8> initial_extended_state();

void store_extended_state(u8* image);
/// The image must be one that sanitise_image() has passed: a bad one would fault here.
void load_extended_state(const u8* image);

/// The same with an image in user memory, of a signal frame. False, with nothing said about what was done, when there
/// is no XSAVE, the memory isn't mapped right now or the image is malformed. Interrupts are off. Of a loaded image only
/// `components` are believed, the others become initial.
bool store_extended_state_to_user(VirtAddr image);
bool load_extended_state_from_user(VirtAddr image, u64 components);

/// Whether user pages may carry keys; what the key register of this CPU denies through one (two bits, PKEY_DISABLE_*).
bool has_protection_keys();
void change_protection_key(unsigned key, u32 denied);

/// Gives components that the image says are in their initial state the values of it (XSAVEOPT leaves them unwritten).
void complete_image(std::span<u8> image);
/// Makes any bytes an image that can be loaded; only `components` of it are believed, the others become initial.
void sanitise_image(std::span<u8> image, u64 components);

} // namespace linnet::arch
