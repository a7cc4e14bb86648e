// The random generator: ChaCha20 (RFC 8439) run with fast key erasure. Every request takes one block to replace the key
// and hands out the following blocks, so that a later look at memory does not reveal earlier output.
#include <arch/cpu.hpp>
#include <arch/time.hpp>
#include <bit>
#include <core/random.hpp>
#include <core/spinlock.hpp>
#include <cstring>

namespace linnet::core {
namespace {

constexpr u32 wanted_bits = 256;

constinit LockClass random_class{"random"};
constinit InterruptSpinLock random_lock{random_class};
constinit u32 key[8] = {};
constinit u64 block_counter = 0;
constinit std::atomic<u32> credited{0};

void quarter_round(u32& a, u32& b, u32& c, u32& d) {
    a += b, d = std::rotl(d ^ a, 16);
    c += d, b = std::rotl(b ^ c, 12);
    a += b, d = std::rotl(d ^ a, 8);
    c += d, b = std::rotl(b ^ c, 7);
}

/// One ChaCha20 block under the current key (RFC 8439 section 2.3, with a 64-bit counter).
void next_block(u32 (&out)[16]) {
    const u32 start[16] = {0x61707865,
                           0x3320646e,
                           0x79622d32,
                           0x6b206574,
                           key[0],
                           key[1],
                           key[2],
                           key[3],
                           key[4],
                           key[5],
                           key[6],
                           key[7],
                           static_cast<u32>(block_counter),
                           static_cast<u32>(block_counter >> 32),
                           0,
                           0};
    memcpy(out, start, sizeof(start));
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 4; ++i) quarter_round(out[i], out[4 + i], out[8 + i], out[12 + i]);
        for (int i = 0; i < 4; ++i)
            quarter_round(out[i], out[4 + (i + 1) % 4], out[8 + (i + 2) % 4], out[12 + (i + 3) % 4]);
    }
    for (int i = 0; i < 16; ++i) out[i] += start[i];
    ++block_counter;
}

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
    credited.store(before + credited_bits > wanted_bits ? wanted_bits : before + credited_bits,
                   std::memory_order_relaxed);
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
