// getrandom(2) without a call of the kernel, as glibc uses it since 2.41: each thread has a state of its own in memory
// that the program maps as the first query tells (vgetrandom_opaque_params), with a ChaCha20 key (RFC 8439) from the
// kernel. Every refill replaces the key, so what is in the state tells nothing of earlier output.
//
// The kernel may zero the state at any time (MAP_DROPPABLE; in the child of a fork): then its generation is 0, which is
// none of the kernel's. So the generation is compared once more before output counts. A signal handler that comes in
// while the state is in use calls the kernel.
#include <abi_arch/vdso_machine.hpp>
#include <core/vdso_random.hpp>
#include <lib/chacha20.hpp>

using namespace linnet;

extern "C" {
[[gnu::visibility("hidden")]] extern const core::VdsoRandom vdso_random; // placed by the linker script
}

namespace {

constexpr u32 prot_read_write = 3, map_droppable_anonymous = 0x28;
constexpr u32 known_flags = 7; // GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE
constexpr long efault = 14;
constexpr u64 most_at_once = 0x7ffff000; // as read(2)
constexpr u64 block_size = 64, batch_size = 96;

struct Parameters {
    u32 state_size;
    u32 mmap_prot;
    u32 mmap_flags;
    u32 reserved[13];
};

struct State {
    /// What has been made and not yet handed out, then the key: two blocks are made at once.
    union {
        u8 bytes[2 * block_size];
        struct {
            u8 batch[batch_size];
            u32 key[8];
        };
    };
    u64 generation;
    u32 used; // bytes of the batch
    u32 in_use;
};
static_assert(sizeof(State) == 144);

/// Reads and writes stay in their order: the kernel changes the state between them.
inline void barrier() { asm volatile("" : : : "memory"); }

void make_block(const u32* key, u64 number, u8* out) {
    u32 block[chacha20_words];
    chacha20_block(key, number, block);
    for (u32 i = 0; i < chacha20_words; ++i) {
        for (int byte = 0; byte < 4; ++byte) out[4 * i + byte] = static_cast<u8>(block[i] >> (8 * byte));
        static_cast<volatile u32&>(block[i]) = 0; // nothing of it stays on the stack
    }
}

long call_kernel(void* buffer, u64 length, u32 flags) {
    return abi::vdso_syscall3(abi::vdso_nr_getrandom, reinterpret_cast<long>(buffer), static_cast<long>(length),
                              static_cast<long>(flags));
}

long tell_parameters(void* out) {
    auto* parameters = static_cast<Parameters*>(out);
    parameters->state_size = sizeof(State);
    parameters->mmap_prot = prot_read_write;
    parameters->mmap_flags = map_droppable_anonymous;
    for (u32& word : parameters->reserved) word = 0;
    return 0;
}

/// Hands out what is left of the batch, then whole blocks, then of a new batch.
void fill(State& state, u8* to, u64 length) {
    while (length > 0 && state.used < batch_size) {
        *to++ = state.batch[state.used];
        state.batch[state.used++] = 0;
        --length;
    }
    if (length == 0) return;
    u64 number = 0;
    for (; length >= block_size; length -= block_size, to += block_size) make_block(state.key, number++, to);
    // The key is the end of what is made, so it is replaced by the second of the two.
    u32 key[8];
    for (int i = 0; i < 8; ++i) key[i] = state.key[i];
    make_block(key, number, state.bytes);
    make_block(key, number + 1, state.bytes + block_size);
    for (u32& word : key) static_cast<volatile u32&>(word) = 0;
    state.used = 0;
    if (length > 0) fill(state, to, length); // less than a block: not again
}

} // namespace

extern "C" long VDSO_NAME(getrandom)(void* buffer, u64 length, u32 flags, void* opaque, u64 opaque_length) {
    if (opaque_length == ~u64{0} && !buffer && length == 0 && flags == 0) return tell_parameters(opaque);
    // A state over the edge of a page could be dropped by halves.
    if (reinterpret_cast<u64>(opaque) % VDSO_PAGE_SIZE + sizeof(State) > VDSO_PAGE_SIZE) return -efault;
    // The state of another kernel's vDSO may have come with a restored process.
    if ((flags & ~known_flags) || opaque_length != sizeof(State)) return call_kernel(buffer, length, flags);
    State& state = *static_cast<State*>(opaque);
    if (vdso_random.generation.load(std::memory_order_acquire) == 0) return call_kernel(buffer, length, flags);
    if (length == 0) return 0;
    if (length > most_at_once) length = most_at_once;
    if (state.in_use) return call_kernel(buffer, length, flags);
    state.in_use = 1;
    barrier();
    for (;;) {
        const u64 generation = vdso_random.generation.load(std::memory_order_acquire);
        if (state.generation != generation) {
            state.generation = generation;
            state.used = batch_size;
            barrier();
            if (call_kernel(state.key, sizeof state.key, 0) != sizeof state.key) {
                state.generation = 0;
                state.in_use = 0;
                return call_kernel(buffer, length, flags);
            }
        }
        barrier();
        fill(state, static_cast<u8*>(buffer), length);
        barrier();
        if (state.generation == generation && vdso_random.generation.load(std::memory_order_acquire) == generation)
            break;
    }
    barrier();
    state.in_use = 0;
    return static_cast<long>(length);
}
