// The random generator: ChaCha20 (RFC 8439) run with fast key erasure. Every request takes one block to replace the key
// and hands out the following blocks, so that a later look at memory does not reveal earlier output.
#include <arch/cpu.hpp>
#include <arch/time.hpp>
#include <core/random.hpp>
#include <core/spinlock.hpp>
#include <core/vdso_random.hpp>
#include <cstring>
#include <lib/chacha20.hpp>

namespace linnet::core {
namespace {

constexpr u32 wanted_bits = 256;

constinit LockClass random_class{"random"};
constinit InterruptSpinLock random_lock{random_class};
constinit u32 key[8] = {};
constinit u64 block_counter = 0;
constinit std::atomic<u32> credited{0};
constinit u64 generation = 0; // of keys in user space (vdso_random.hpp)
constinit VdsoRandom* mirror = nullptr;
constexpr u32 reseeding_bits = 64; // less than that at once changes no generation

void next_block(u32 (&out)[chacha20_words]) { chacha20_block(key, block_counter++, out); }

void mix_locked(std::span<const u8> bytes) {
    auto* raw = reinterpret_cast<u8*>(key);
    for (usize i = 0; i < bytes.size(); ++i) {
        raw[i % sizeof(key)] ^= bytes[i];
        if (i % sizeof(key) == sizeof(key) - 1 || i + 1 == bytes.size()) {
            u32 block[16];
            next_block(block);
            memcpy(key, block, sizeof(key));
        }
    }
}

} // namespace

void add_entropy(std::span<const u8> bytes, u32 credited_bits) {
    InterruptSpinGuard guard(random_lock);
    mix_locked(bytes);
    u64 now = arch::read_counter();
    mix_locked({reinterpret_cast<const u8*>(&now), sizeof(now)});
    u32 before = credited.load(std::memory_order_relaxed);
    const u32 after = before + credited_bits > wanted_bits ? wanted_bits : before + credited_bits;
    credited.store(after, std::memory_order_relaxed);
    if (after < wanted_bits || (before == wanted_bits && credited_bits < reseeding_bits)) return;
    ++generation;
    if (mirror) mirror->generation.store(generation, std::memory_order_release);
}

void mirror_random_generation(VdsoRandom& page) {
    InterruptSpinGuard guard(random_lock);
    page.generation.store(generation, std::memory_order_release);
    mirror = &page;
}

bool random_is_seeded() { return credited.load(std::memory_order_relaxed) >= wanted_bits; }

void random_bytes(std::span<u8> out) {
    while (!out.empty()) {
        // In pieces, so that a large request doesn't keep interrupts off for long.
        usize piece = out.size() < 1024 ? out.size() : 1024;
        InterruptSpinGuard guard(random_lock);
        u32 block[16];
        u32 fresh_key[8];
        next_block(block);
        memcpy(fresh_key, block, sizeof(fresh_key));
        for (usize done = 0; done < piece; done += sizeof(block)) {
            next_block(block);
            usize take = piece - done < sizeof(block) ? piece - done : sizeof(block);
            memcpy(out.data() + done, block, take);
        }
        memcpy(key, fresh_key, sizeof(key));
        out = out.subspan(piece);
    }
}

u64 random_u64() {
    u64 value;
    random_bytes({reinterpret_cast<u8*>(&value), sizeof(value)});
    return value;
}

u64 random_below(u64 bound) {
    if (bound <= 1) return 0;
    // Values at the top that would make some results likelier are thrown away.
    u64 limit = ~u64{0} - (~u64{0} % bound + 1) % bound;
    for (;;) {
        u64 value = random_u64();
        if (value <= limit) return value % bound;
    }
}

void seed_random() {
    for (int i = 0; i < 8; ++i) {
        std::optional<u64> bits = arch::hardware_random();
        u64 value = bits ? *bits : arch::read_counter();
        add_entropy({reinterpret_cast<const u8*>(&value), sizeof(value)}, bits ? 64 : 1);
    }
}

} // namespace linnet::core
