// x86_64: general registers, the FXSAVE image and the XSAVE image (struct user_regs_struct, user_fpregs_struct).
#include "extended_state.hpp"
#include "features.hpp"
#include <abi/linux/elf.hpp>
#include <abi_arch/signal_frame.hpp>
#include <arch/register_sets.hpp>

namespace linnet::arch {
namespace {

constexpr usize fxsave_size = 512;

void clear_software_bytes(std::span<u8> image) {
    __builtin_memset(image.data() + abi::fpx_sw_bytes_offset, 0, sizeof(abi::fpx_sw_bytes));
}

usize floating_point_size() { return fxsave_size; }
void read_floating_point(UserContext& of, std::span<u8> to) {
    __builtin_memcpy(to.data(), of.save_extended_state().data(), fxsave_size);
    clear_software_bytes(to);
}

usize extended_size() { return cpu_features().xsave ? initial_extended_state().size() : 0; }
/// In the bytes that the CPU leaves to software stands which components there can be: XCR0.
void read_extended(UserContext& of, std::span<u8> to) {
    std::span<u8> image = of.save_extended_state();
    __builtin_memcpy(to.data(), image.data(), to.size());
    abi::fpx_sw_bytes software;
    __builtin_memcpy(&software, initial_extended_state().data() + abi::fpx_sw_bytes_offset, sizeof software);
    clear_software_bytes(to);
    __builtin_memcpy(to.data() + abi::fpx_sw_bytes_offset, &software.xfeatures, sizeof software.xfeatures);
}

constexpr RegisterSet sets[] = {
    {"CORE", abi::NT_PRSTATUS, general_set_size, read_general_set},
    {"CORE", abi::NT_PRFPREG, floating_point_size, read_floating_point},
    {"LINUX", abi::NT_X86_XSTATE, extended_size, read_extended},
};

} // namespace

std::span<const RegisterSet> register_sets() { return sets; }

} // namespace linnet::arch
