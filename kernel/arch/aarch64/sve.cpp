// What single CPUs can do is looked up as each starts: a thread may run on any of them.
#include <arch_impl/sve.hpp>

#include <abi/linux/prctl.hpp>
#include <algorithm>
#include <arch_impl/registers.hpp>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

namespace linnet::arch {
namespace {

constexpr u64 fp_untrapped = 3 << 20;  // CPACR_EL1.FPEN
constexpr u64 sve_of_kernel = 1 << 16; // CPACR_EL1.ZEN: only EL0 traps
constexpr u64 sve_untrapped = 3 << 16;
constexpr unsigned lengths = sve_architecture_bytes / sve_quantum;

/// Bit n: all CPUs can do (n + 1) quanta.
constinit std::atomic<u32> possible{(u32{1} << lengths) - 1};
constinit std::atomic<bool> is_there{false};
constinit std::atomic<u16> default_bytes{0};

void select_length(unsigned bytes) {
    asm volatile("msr S3_0_C1_C2_0, %0\n\tisb" : : "r"(u64{bytes / sve_quantum - 1}) : "memory"); // ZCR_EL1.LEN
}

void set_access(u64 zen) { asm volatile("msr cpacr_el1, %0\n\tisb" : : "r"(fp_untrapped | zen) : "memory"); }

} // namespace

void initialise_sve() {
    if (id_field(READ_SYSTEM_REGISTER(id_aa64pfr0_el1), 32) == 0) return;
    set_access(sve_of_kernel);
    u32 mine = 0;
    for (unsigned bytes = sve_quantum; bytes <= sve_architecture_bytes; bytes += sve_quantum) {
        select_length(bytes); // or, where it isn't there, the next shorter one
        mine |= u32{1} << (arch_sve_vector_bytes() / sve_quantum - 1);
    }
    possible.fetch_and(mine);
    is_there.store(true);
    constexpr unsigned usual = 64; // as on Linux: not more than programs have been seen to bear
    default_bytes.store(static_cast<u16>(possible_sve_bytes(usual)));
}

unsigned possible_sve_bytes(unsigned wanted) {
    const unsigned count = std::min(wanted / sve_quantum, lengths);
    const u32 fitting = possible.load(std::memory_order_relaxed) & ((u32{1} << count) - 1);
    return static_cast<unsigned>(std::bit_width(fitting)) * sve_quantum;
}

unsigned most_sve_bytes() { return is_there.load(std::memory_order_relaxed) ? possible_sve_bytes(~0u) : 0; }
unsigned default_sve_bytes() { return default_bytes.load(std::memory_order_relaxed); }

void open_sve(unsigned vector_bytes) {
    set_access(sve_untrapped);
    select_length(vector_bytes);
}
void close_sve() { set_access(sve_of_kernel); }

void SveState::begin_program() {
    u16 bytes = is_inherited ? vector_bytes : static_cast<u16>(default_sve_bytes());
    if (bytes_after_exec != 0) bytes = std::exchange(bytes_after_exec, u16{0});
    vector_bytes = bytes;
    image = {};
}

Result<long> SveState::status(unsigned bytes) const {
    if (most_sve_bytes() == 0) return error(Errno::EINVAL);
    return static_cast<long>(bytes | (is_inherited ? abi::PR_SVE_VL_INHERIT : 0));
}

Result<SveState::Change> SveState::change(u64 wanted) {
    constexpr u64 flags = abi::PR_SVE_VL_INHERIT | abi::PR_SVE_SET_VL_ONEXEC;
    const u64 asked = wanted & abi::PR_SVE_VL_LEN_MASK;
    if (most_sve_bytes() == 0 || wanted != (asked | (wanted & flags))) return error(Errno::EINVAL);
    if (asked < sve_quantum || asked % sve_quantum != 0 || asked > abi::SVE_VL_MAX) return error(Errno::EINVAL);
    const auto bytes = static_cast<u16>(possible_sve_bytes(static_cast<unsigned>(asked)));
    const bool on_exec = wanted & abi::PR_SVE_SET_VL_ONEXEC;
    is_inherited = wanted & abi::PR_SVE_VL_INHERIT;
    // Without the first flag the next program begins with the default, or with what it inherits.
    bytes_after_exec = on_exec ? bytes : u16{0};
    if (on_exec || bytes == vector_bytes) return Change{bytes, false};
    vector_bytes = bytes;
    image = {};
    return Change{bytes, true};
}

Result<void> SveState::make_image() {
    if (!image) image = OwnPtr<u8[]>(new (std::nothrow) u8[sve_image_bytes(vector_bytes)]);
    if (!image) return error(Errno::ENOMEM);
    std::memset(image.get(), 0, sve_image_bytes(vector_bytes));
    return {};
}

void SveState::take_low_parts(const u64 (*vregs)[2]) {
    for (unsigned i = 0; i < 32; ++i) std::memcpy(image.get() + usize{i} * vector_bytes, vregs[i], sizeof vregs[i]);
}

void SveState::give_low_parts(u64 (*vregs)[2]) const {
    for (unsigned i = 0; i < 32; ++i) std::memcpy(vregs[i], image.get() + usize{i} * vector_bytes, sizeof vregs[i]);
}

} // namespace linnet::arch
