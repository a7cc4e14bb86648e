// The kernel's random numbers: a ChaCha20 generator seeded from the CPU, virtio-rng, boot tables and interrupt times.
#pragma once

#include <lib/types.hpp>
#include <span>

namespace linnet::core {

/// Fills `out` with random bytes. Any context where a short spin is fine.
void random_bytes(std::span<u8> out);
u64 random_u64();
/// Uniform in [0, bound).
u64 random_below(u64 bound);
/// Mixes in bytes; `credited_bits` says how much entropy they are trusted for.
void add_entropy(std::span<const u8> bytes, u32 credited_bits);
/// Whether enough has been credited for getrandom(2) not to block.
bool random_is_seeded();
/// First seeding, from the CPU and the counter; boot, once.
void seed_random();

struct VdsoRandom;
/// From now on `page` tells the generator's generation to user space; once, for the vDSO.
void mirror_random_generation(VdsoRandom& page);

} // namespace linnet::core
