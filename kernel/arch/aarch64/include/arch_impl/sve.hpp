// The Scalable Vector Extension (Arm ARM, "The Scalable Vector Extension"): which vector lengths the CPUs have, and a
// thread's Z, P and FFR registers in memory.
//
// A thread's first use traps (CPACR_EL1.ZEN) and turns SVE on for it. A system call forgets all but the low 128 bits of
// the Z registers, as Linux's documentation says ("Scalable Vector Extension support"), so a thread that waits in one
// has FPSIMD registers only.
#pragma once

#include <lib/own_ptr.hpp>
#include <lib/result.hpp>
#include <span>

namespace linnet::arch {

/// What a vector's length in bytes is a multiple of, and the largest that the architecture allows.
inline constexpr unsigned sve_quantum = 16, sve_architecture_bytes = 256;

/// Bytes of the longest vector that all CPUs have; 0 without SVE.
unsigned most_sve_bytes();
/// What programs begin with.
unsigned default_sve_bytes();
/// The longest length that all CPUs have and that is not above `wanted`, which is at least a quantum.
unsigned possible_sve_bytes(unsigned wanted);
/// Looks what this CPU has and lets the kernel, but not yet user code, use it.
void initialise_sve();

/// Bytes of the registers' image for vectors of that length, and where its parts lie.
constexpr usize sve_image_predicates(unsigned vector_bytes) { return usize{32} * vector_bytes; }
constexpr usize sve_image_bytes(unsigned vector_bytes) {
    return sve_image_predicates(vector_bytes) + usize{17} * (vector_bytes / 8);
}

/// Of a thread.
struct SveState {
    u16 vector_bytes = 0;
    u16 bytes_after_exec = 0;  // 0: the default then
    bool is_inherited = false; // by the program that is executed next
    OwnPtr<u8[]> image;        // of `vector_bytes`, since SVE was on for the first time

    void begin_program();
    /// prctl(2): what PR_SVE_GET_VL says of a length. EINVAL without SVE.
    [[nodiscard]] Result<long> status(unsigned bytes) const;
    /// What PR_SVE_SET_VL asks for. EINVAL.
    struct Change {
        unsigned told; // the length that was chosen
        bool is_now;   // rather than after the next execve(2)
    };
    Result<Change> change(u64 wanted);
    /// ENOMEM.
    Result<void> make_image();
    [[nodiscard]] std::span<u8> bytes() { return {image.get(), sve_image_bytes(vector_bytes)}; }
    /// The low 128 bits of Z0–Z31 are those of V0–V31.
    void take_low_parts(const u64 (*vregs)[2]);
    void give_low_parts(u64 (*vregs)[2]) const;
};

/// Opens or closes SVE for user code on this CPU; open, with vectors of that length. Interrupts off.
void open_sve(unsigned vector_bytes);
void close_sve();

} // namespace linnet::arch

extern "C" {
void arch_save_sve(void* image);
void arch_load_sve(const void* image);
void arch_clear_sve();
linnet::u64 arch_sve_vector_bytes();
}
