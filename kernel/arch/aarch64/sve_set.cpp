// The register set NT_ARM_SVE: a header and the registers behind it, for ptrace(2) and core files.
#include "sve_set.hpp"

#include <abi/linux/prctl.hpp>
#include <algorithm>
#include <cstring>

namespace linnet::arch {
namespace {

struct Header {
    u32 size, max_size; // of the whole set, now and at most
    u16 vl, max_vl;     // bytes
    u16 flags, reserved;
};
static_assert(sizeof(Header) == 16);
constexpr u16 has_sve = 1, other_flags = 2 | 4; // those of PR_SVE_SET_VL, shifted
constexpr unsigned flags_shift = 16;

/// FPSR and FPCR follow the registers' image, aligned.
constexpr usize status_offset(unsigned vector_bytes) {
    return align_up(sizeof(Header) + sve_image_bytes(vector_bytes), usize{16});
}
constexpr usize full_size(unsigned vector_bytes) { return status_offset(vector_bytes) + 16; }
constexpr usize plain_size = sizeof(Header) + sizeof(abi::user_fpsimd_state);

/// What is given of a part of the set.
void take(void* to, usize size, std::span<const u8> from, usize offset) {
    if (from.size() > offset) std::memcpy(to, from.data() + offset, std::min(size, from.size() - offset));
}

Result<void> write_plain(UserContext& context, std::span<const u8> from) {
    context.turn_off_sve();
    take(&context.fpsimd(), sizeof(abi::user_fpsimd_state), from, sizeof(Header));
    return {};
}

Result<void> write_full(UserContext& context, std::span<const u8> from) {
    TRY(context.turn_on_sve());
    SveState& sve = context.sve();
    abi::user_fpsimd_state& plain = context.fpsimd();
    take(sve.image.get(), sve.bytes().size(), from, sizeof(Header));
    sve.give_low_parts(plain.vregs);
    const usize status = status_offset(sve.vector_bytes);
    take(&plain.fpsr, sizeof plain.fpsr, from, status);
    take(&plain.fpcr, sizeof plain.fpcr, from, status + sizeof plain.fpsr);
    return {};
}

} // namespace

usize sve_set_size() { return most_sve_bytes() ? full_size(sve_architecture_bytes) : 0; }

usize used_sve_size(std::span<const u8> set) {
    Header header;
    std::memcpy(&header, set.data(), sizeof header);
    return header.size;
}

void read_sve_set(UserContext& of, std::span<u8> to) {
    (void)of.save_extended_state();
    std::ranges::fill(to, u8{0});
    const SveState& sve = of.sve();
    const abi::user_fpsimd_state& plain = of.fpsimd();
    const Header header{
        .size = static_cast<u32>(of.is_sve_on() ? full_size(sve.vector_bytes) : plain_size),
        .max_size = static_cast<u32>(full_size(most_sve_bytes())),
        .vl = sve.vector_bytes,
        .max_vl = static_cast<u16>(most_sve_bytes()),
        .flags = static_cast<u16>((of.is_sve_on() ? has_sve : 0) |
                                  (sve.is_inherited ? abi::PR_SVE_VL_INHERIT >> flags_shift : 0)),
        .reserved = 0,
    };
    std::memcpy(to.data(), &header, sizeof header);
    if (!of.is_sve_on()) {
        std::memcpy(to.data() + sizeof header, &plain, sizeof plain);
        return;
    }
    std::memcpy(to.data() + sizeof header, sve.image.get(), sve_image_bytes(sve.vector_bytes));
    std::memcpy(to.data() + status_offset(sve.vector_bytes), &plain.fpsr, sizeof plain.fpsr + sizeof plain.fpcr);
}

Result<void> write_sve_set(UserContext& context, std::span<const u8> from) {
    Header header;
    if (from.size() < sizeof header) return error(Errno::EINVAL);
    std::memcpy(&header, from.data(), sizeof header);
    if (header.flags & ~(has_sve | other_flags)) return error(Errno::EINVAL);
    TRY(context.set_vector_length(header.vl | static_cast<u64>(header.flags & other_flags) << flags_shift));
    context.extended_state_changed();
    // The length alone may be wanted.
    if (from.size() == sizeof header) return {};
    if (!(header.flags & has_sve)) return write_plain(context, from);
    if (header.vl != context.sve().vector_bytes) return error(Errno::EIO);
    return write_full(context, from);
}

} // namespace linnet::arch
