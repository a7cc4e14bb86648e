// XSAVE and FXSAVE (Intel SDM vol. 1, chapter 13). No kernel code uses these registers, so they stay the user's through
// every trap and are stored only when another thread's are due.
#include "extended_state.hpp"
#include "features.hpp"
#include <abi_arch/signal_frame.hpp>
#include <arch/user_context.hpp>
#include <arch_impl/registers.hpp>
#include <cstring>

extern "C" {
constinit linnet::u8 arch_has_protection_keys = 0; // for entry.S
}

namespace linnet::arch {

// usercopy.S
extern "C" bool arch_xsave_user(void* to, u64 components);
extern "C" bool arch_xrstor_user(const void* from, u64 components);

namespace {

constexpr usize max_image = 4096;
constexpr usize header_offset = 512, header_size = 64;
constexpr u64 component_x87 = 1, component_sse = 2;
/// x87, SSE, AVX, the three of AVX-512, and the protection-key register. Not AMX: programs must ask for it first.
constexpr u64 supported_components = 0b1'0110'0111 | 1u << 9 | 1u << 7;
constexpr unsigned component_keys = 9, component_count = 10;

struct Component {
    u32 offset = 0;
    u32 size = 0;
};
constinit Component components[component_count]; // from 2 on
alignas(64) constinit u8 initial_image[max_image] = {};
constinit bool use_xsave = false, use_xsaveopt = false;
constinit u64 enabled = component_x87 | component_sse;
constinit u32 mxcsr_mask = 0xffbf;
constinit usize image_size = 512;

constexpr u16 initial_control_word = 0x37f;
constexpr u32 initial_mxcsr = 0x1f80;
constexpr usize mxcsr_offset = 24, xmm_offset = 160, xmm_end = 416;
/// Linux lets a new program use key 0 only.
constexpr u32 initial_keys = 0x5555'5554;

template <typename T>
T load_at(std::span<const u8> image, usize offset) {
    T value;
    std::memcpy(&value, image.data() + offset, sizeof(T));
    return value;
}
template <typename T>
void store_at(std::span<u8> image, usize offset, T value) {
    std::memcpy(image.data() + offset, &value, sizeof(T));
}

void choose_components() {
    enabled = (cpuid(0xd).eax & supported_components) | component_x87 | component_sse;
    if (!cpu_features().protection_keys) enabled &= ~(u64{1} << component_keys);
    // AVX-512's three come together, and on top of AVX (SDM vol. 1, 13.3).
    constexpr u64 avx = 1u << 2, avx512 = 7u << 5;
    if ((enabled & avx512) != avx512 || !(enabled & avx)) enabled &= ~avx512;
    for (unsigned i = 2; i < component_count; ++i)
        if (enabled >> i & 1) {
            CpuidResult leaf = cpuid(0xd, i);
            components[i] = {leaf.ebx, leaf.eax};
        }
}

u32 read_keys() {
    u32 value, zero;
    asm volatile("rdpkru" : "=a"(value), "=d"(zero) : "c"(0));
    return value;
}
void write_keys(u32 value) { asm volatile("wrpkru" ::"a"(value), "c"(0), "d"(0)); }

void write_xcr0(u64 value) {
    asm volatile("xsetbv" ::"c"(0), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)));
}

void build_initial_image() {
    std::span<u8> image(initial_image, image_size);
    u8 current[512] __attribute__((aligned(64))) = {};
    asm volatile("fninit\n\tfxsave64 %0" : "=m"(current));
    if (auto mask = load_at<u32>(current, 28)) mxcsr_mask = mask;
    store_at(image, 0, initial_control_word);
    store_at(image, mxcsr_offset, initial_mxcsr);
    store_at(image, 28, mxcsr_mask);
    abi::fpx_sw_bytes software{};
    if (use_xsave) {
        // What a signal frame tells about itself; XSAVE never writes these bytes.
        software = {abi::FP_XSTATE_MAGIC1, static_cast<u32>(image_size + 4), enabled, static_cast<u32>(image_size), {}};
        u64 present = component_x87 | component_sse;
        if (enabled >> component_keys & 1) {
            store_at(image, components[component_keys].offset, initial_keys);
            present |= u64{1} << component_keys;
        }
        store_at(image, header_offset, present);
    }
    store_at(image, abi::fpx_sw_bytes_offset, software);
}

} // namespace

void initialise_extended_state() {
    bool first = !initial_image[0] && !initial_image[1];
    if (first) {
        use_xsave = cpu_features().xsave;
        if (use_xsave) {
            choose_components();
            use_xsaveopt = cpuid(0xd, 1).eax & 1;
        }
    }
    if (use_xsave) write_xcr0(enabled);
    if (!first) return;
    if (use_xsave) image_size = cpuid(0xd).ebx; // for what XCR0 holds now
    arch_has_protection_keys = enabled >> component_keys & 1;
    if (image_size > max_image) {
        // More than we know how to hold: leave all but x87, SSE and AVX alone.
        enabled &= 7;
        write_xcr0(enabled);
        image_size = cpuid(0xd).ebx;
        arch_has_protection_keys = 0;
    }
    build_initial_image();
}

std::span<const u8> initial_extended_state() { return {initial_image, image_size}; }

void store_extended_state(u8* image) {
    auto low = static_cast<u32>(enabled), high = static_cast<u32>(enabled >> 32);
    if (use_xsaveopt)
        asm volatile("xsaveopt64 (%0)" ::"r"(image), "a"(low), "d"(high) : "memory");
    else if (use_xsave)
        asm volatile("xsave64 (%0)" ::"r"(image), "a"(low), "d"(high) : "memory");
    else
        asm volatile("fxsave64 (%0)" ::"r"(image) : "memory");
}

/// The rest of the state waits for enter_user(), but the keys rule the kernel's own accesses to user memory too, which
/// a thread may make before it enters user code again. Its image is true: it is switched to.
extern "C" void arch_switch_keys(ThreadHeader& to) {
    if (!to.user_context) return;
    const u8* image = to.user_context->image;
    bool present = image[header_offset + component_keys / 8] >> component_keys % 8 & 1;
    u32 keys = 0;
    if (present) __builtin_memcpy(&keys, image + components[component_keys].offset, sizeof keys);
    if (keys != read_keys()) write_keys(keys);
}

bool has_protection_keys() { return arch_has_protection_keys != 0; }

/// PKRU has two bits a key: access and write denied (SDM vol. 3, 5.6.2), in the order of PKEY_DISABLE_*.
void change_protection_key(unsigned key, u32 denied) {
    unsigned shift = 2 * key;
    write_keys((read_keys() & ~(u32{3} << shift)) | (denied & 3) << shift);
}

void load_extended_state(const u8* image) {
    auto low = static_cast<u32>(enabled), high = static_cast<u32>(enabled >> 32);
    if (use_xsave)
        asm volatile("xrstor64 (%0)" ::"r"(image), "a"(low), "d"(high) : "memory");
    else
        asm volatile("fxrstor64 (%0)" ::"r"(image) : "memory");
}

bool store_extended_state_to_user(VirtAddr image) {
    return use_xsave && arch_xsave_user(reinterpret_cast<void*>(image.value), enabled);
}

bool load_extended_state_from_user(VirtAddr image, u64 believed) {
    if (!use_xsave || !arch_xrstor_user(reinterpret_cast<const void*>(image.value), believed & enabled)) return false;
    u64 others = enabled & ~believed;
    if (others != 0)
        asm volatile("xrstor64 (%0)" ::"r"(initial_image), "a"(static_cast<u32>(others)),
                     "d"(static_cast<u32>(others >> 32))
                     : "memory");
    return true;
}

void complete_image(std::span<u8> image) {
    if (!use_xsave) return;
    auto present = load_at<u64>(image, header_offset);
    std::span<const u8> fresh = initial_extended_state();
    if (!(present & component_x87)) {
        std::memcpy(image.data(), fresh.data(), mxcsr_offset);
        std::memset(image.data() + 32, 0, xmm_offset - 32);
    }
    if (!(present & component_sse)) std::memset(image.data() + xmm_offset, 0, xmm_end - xmm_offset);
    for (unsigned i = 2; i < component_count; ++i)
        if ((enabled >> i & 1) && !(present >> i & 1))
            std::memset(image.data() + components[i].offset, 0, components[i].size);
    store_at(image, header_offset, present | component_x87 | component_sse);
}

void sanitise_image(std::span<u8> image, u64 believed) {
    store_at(image, mxcsr_offset, load_at<u32>(image, mxcsr_offset) & mxcsr_mask);
    std::memcpy(image.data() + abi::fpx_sw_bytes_offset, initial_image + abi::fpx_sw_bytes_offset,
                sizeof(abi::fpx_sw_bytes));
    if (!use_xsave) return;
    u64 present = load_at<u64>(image, header_offset) & believed & enabled;
    std::memset(image.data() + header_offset, 0, header_size); // the compaction mask and reserved words must be zero
    store_at(image, header_offset, present);
}

} // namespace linnet::arch
