// Builds and restores Linux's AArch64 signal frame. The frame is written in parts: whole, with its 4 KiB of record
// space, it would be a third of a kernel stack.
#include "../common/frame_parts.hpp"
#include <abi_arch/signal_frame.hpp>
#include <algorithm>
#include <arch/signal_frame.hpp>
#include <arch/usercopy.hpp>
#include <cstring>

namespace linnet::arch {

namespace {

constexpr u64 frame_info = __builtin_offsetof(abi::rt_sigframe, info);
constexpr u64 frame_context = __builtin_offsetof(abi::rt_sigframe, uc);
constexpr u64 frame_records = __builtin_offsetof(abi::rt_sigframe, reserved);
constexpr u64 stack_alignment = 16;

template <typename T>
bool put(u64 address, const T& value) {
    return is_user_range({address}, sizeof value) &&
           arch_copy_to_user(reinterpret_cast<void*>(address), &value, sizeof value) == 0;
}
template <typename T>
bool get(u64 address, T& value) {
    return is_user_range({address}, sizeof value) &&
           arch_copy_from_user(&value, reinterpret_cast<const void*>(address), sizeof value) == 0;
}

/// Everything but the records. What Linux doesn't write stays as it is: the room for larger masks.
bool store_frame(abi::rt_sigframe& to, const UserContext& context, const SignalDelivery& delivery) {
    const abi::linux_user_regs& regs = context.user_regs();
    abi::sigcontext& machine = to.uc.uc_mcontext;
    static_assert(offsetof(abi::sigcontext, pstate) - offsetof(abi::sigcontext, regs) + sizeof(u64) == sizeof regs);
    UserWindow window;
    return store_signal_info(&to.info, *delivery.info) && store_user(&to.uc.uc_flags, u64{0}) &&
           store_user(&to.uc.uc_link, u64{0}) && store_user_object(&to.uc.uc_stack, delivery.alternate_stack) &&
           store_user(&to.uc.uc_sigmask, delivery.blocked_mask) &&
           store_user(&machine.fault_address, context.fault_address()) &&
           store_user_words<sizeof regs / sizeof(u64)>(machine.regs, regs.regs);
}

constexpr u64 terminator_size = sizeof(abi::esr_context); // magic 0 and size 0, and padding

constexpr u64 sve_record_size(unsigned vector_bytes) {
    return align_up<u64>(sizeof(abi::sve_context) + (vector_bytes ? sve_image_bytes(vector_bytes) : 0), 16);
}

/// Which records a frame has. The vectors may need more room than the frame has; then they follow it.
struct Records {
    bool has_syndrome, has_sve, has_extra = false;
    u64 sve_size = 0;

    explicit Records(UserContext& context)
        : has_syndrome(context.fault_syndrome() != 0), has_sve(most_sve_bytes() != 0) {
        if (!has_sve) return;
        sve_size = sve_record_size(context.is_sve_on() ? context.sve().vector_bytes : 0);
        constexpr u64 spare = terminator_size + sizeof(abi::extra_context);
        has_extra = before_sve() + sve_size > abi::sigcontext_reserved_size - spare;
    }
    [[nodiscard]] u64 before_sve() const {
        return sizeof(abi::fpsimd_context) + (has_syndrome ? sizeof(abi::esr_context) : 0);
    }
    [[nodiscard]] u64 extra_size() const { return sve_size + terminator_size; }
    /// Bytes behind the frame.
    [[nodiscard]] u64 behind() const {
        if (!has_extra) return 0;
        const u64 all = before_sve() + sizeof(abi::extra_context) + terminator_size + extra_size();
        return all - std::min<u64>(all, abi::sigcontext_reserved_size);
    }
};

bool store_fpsimd(u64 address, const abi::user_fpsimd_state& fp) {
    auto& record = *reinterpret_cast<abi::fpsimd_context*>(address);
    UserWindow window;
    return store_user(&record.head.magic, abi::FPSIMD_MAGIC) &&
           store_user(&record.head.size, static_cast<u32>(sizeof record)) && store_user(&record.fpsr, fp.fpsr) &&
           store_user(&record.fpcr, fp.fpcr) && store_user_words<64>(record.vregs[0], fp.vregs[0]);
}

bool store_sve(u64 address, UserContext& context, u64 size) {
    const abi::sve_context record{{abi::SVE_MAGIC, static_cast<u32>(size)}, context.sve().vector_bytes, 0, {}};
    if (!put(address, record)) return false;
    if (!context.is_sve_on()) return true;
    const std::span<u8> image = context.sve().bytes();
    return arch_copy_to_user(reinterpret_cast<void*>(address + sizeof record), image.data(), image.size()) == 0;
}

bool store_records(u64 address, UserContext& context, const Records& records) {
    context.save_extended_state();
    if (!store_fpsimd(address, context.fpsimd())) return false;
    address += sizeof(abi::fpsimd_context);
    if (records.has_syndrome) {
        if (!put(address, abi::esr_context{{abi::ESR_MAGIC, sizeof(abi::esr_context)}, context.fault_syndrome()}))
            return false;
        address += sizeof(abi::esr_context);
    }
    constexpr u64 end = 0; // the last record: no magic, no size
    if (records.has_extra) {
        const u64 behind = address + sizeof(abi::extra_context) + terminator_size;
        const abi::extra_context extra{
            {abi::EXTRA_MAGIC, sizeof extra}, behind, static_cast<u32>(records.extra_size()), {}};
        if (!put(address, extra) || !put(address + sizeof extra, end)) return false;
        address = behind;
    }
    if (records.has_sve) {
        if (!store_sve(address, context, records.sve_size)) return false;
        address += records.sve_size;
    }
    return put(address, end);
}

Result<void> load_fpsimd(u64 address, UserContext& context) {
    const auto& record = *reinterpret_cast<const abi::fpsimd_context*>(address);
    context.extended_state_changed(); // from here on memory is the truth
    context.turn_off_sve();
    abi::user_fpsimd_state& fp = context.fpsimd();
    UserWindow window;
    if (!load_user_words<64>(fp.vregs[0], record.vregs[0]) || !load_user(fp.fpsr, &record.fpsr) ||
        !load_user(fp.fpcr, &record.fpcr))
        return error(Errno::EFAULT);
    return {};
}

/// The FPSIMD record has been loaded, and says what the low 128 bits are.
Result<void> load_sve(u64 address, const abi::sve_context& record, UserContext& context) {
    SveState& sve = context.sve();
    if (record.vl != sve.vector_bytes || record.flags != 0) return error(Errno::EINVAL);
    if (record.head.size == sizeof record) return {};
    if (record.head.size < sve_record_size(record.vl)) return error(Errno::EINVAL);
    TRY(sve.make_image());
    const std::span<u8> image = sve.bytes();
    const u64 from = address + sizeof record;
    if (!is_user_range({from}, image.size()) ||
        arch_copy_from_user(image.data(), reinterpret_cast<const void*>(from), image.size()) != 0)
        return error(Errno::EFAULT);
    sve.take_low_parts(context.fpsimd().vregs);
    context.turn_sve_back_on();
    return {};
}

/// Where the records are that a frame has, each once; an unknown one is refused, as on Linux.
struct Found {
    u64 fpsimd = 0, sve = 0, extra = 0;
    abi::sve_context sve_record;
    abi::extra_context extra_record;

    /// Walks the records of [begin, begin + size) up to the last, which must be there; gives the address behind it.
    Result<u64> walk(u64 begin, u64 size) {
        for (u64 at = 0; at + sizeof(abi::aarch64_ctx) <= size;) {
            abi::aarch64_ctx head;
            if (!get(begin + at, head)) return error(Errno::EFAULT);
            if (head.magic == 0) {
                if (head.size != 0) return error(Errno::EINVAL);
                return begin + at + terminator_size;
            }
            if (head.size < sizeof head || head.size % 16 != 0 || head.size > size - at) return error(Errno::EINVAL);
            TRY(take(head, begin + at));
            at += head.size;
        }
        return error(Errno::EINVAL);
    }

private:
    Result<void> take(const abi::aarch64_ctx& head, u64 address) {
        switch (head.magic) {
        case abi::FPSIMD_MAGIC:
            if (fpsimd || head.size != sizeof(abi::fpsimd_context)) return error(Errno::EINVAL);
            fpsimd = address;
            return {};
        case abi::ESR_MAGIC:
            return {};
        case abi::SVE_MAGIC:
            if (sve || most_sve_bytes() == 0 || head.size < sizeof sve_record) return error(Errno::EINVAL);
            if (!get(address, sve_record)) return error(Errno::EFAULT);
            sve = address;
            return {};
        case abi::EXTRA_MAGIC:
            if (extra || head.size < sizeof extra_record) return error(Errno::EINVAL);
            if (!get(address, extra_record)) return error(Errno::EFAULT);
            extra = address;
            return {};
        default:
            return error(Errno::EINVAL);
        }
    }
};

/// As on Linux the FPSIMD record must be there, and what is extra must follow what is not.
Result<void> load_records(u64 address, UserContext& context) {
    constexpr u64 most = 65536; // of all records together
    Found found;
    const u64 behind = TRY(found.walk(address, abi::sigcontext_reserved_size));
    if (found.extra) {
        const abi::extra_context extra = found.extra_record;
        if (extra.datap != behind || extra.size % 16 != 0 || extra.size > most - (behind - address))
            return error(Errno::EINVAL);
        TRY(found.walk(extra.datap, extra.size));
    }
    if (!found.fpsimd) return error(Errno::EINVAL);
    TRY(load_fpsimd(found.fpsimd, context));
    if (found.sve) TRY(load_sve(found.sve, found.sve_record, context));
    return {};
}

} // namespace

Result<void> push_signal_frame(UserContext& context, const SignalDelivery& delivery) {
    const Records records(context);
    const u64 size = sizeof(abi::rt_sigframe) + records.behind();
    const u64 record = align_down(delivery.stack_top.value, stack_alignment) - sizeof(abi::frame_record);
    const u64 frame = record - size;
    if (frame > delivery.stack_top.value) return error(Errno::EFAULT); // wrapped
    if (!is_user_range({frame}, size + sizeof(abi::frame_record))) return error(Errno::EFAULT);
    abi::linux_user_regs& regs = context.user_regs();
    if (!put(record, abi::frame_record{regs.regs[29], regs.regs[30]}) ||
        !store_frame(*reinterpret_cast<abi::rt_sigframe*>(frame), context, delivery) ||
        !store_records(frame + frame_records, context, records))
        return error(Errno::EFAULT);

    const bool has_restorer = delivery.action_flags & abi::SA_RESTORER;
    regs.regs[0] = static_cast<u64>(delivery.signal);
    regs.regs[1] = frame + frame_info;
    regs.regs[2] = frame + frame_context;
    regs.regs[29] = record;
    regs.regs[30] = has_restorer ? delivery.restorer.value : delivery.vdso_trampoline.value;
    regs.sp = frame;
    regs.pc = delivery.handler.value;
    return {};
}

Result<SignalReturn> pop_signal_frame(UserContext& context) {
    const u64 frame = context.sp().value;
    if (frame % stack_alignment != 0 || !is_user_range({frame}, sizeof(abi::rt_sigframe))) return error(Errno::EFAULT);
    const auto& uc = reinterpret_cast<const abi::rt_sigframe*>(frame)->uc;
    SignalReturn result;
    abi::linux_user_regs regs;
    {
        UserWindow window;
        if (!load_user_words<sizeof regs / sizeof(u64)>(regs.regs, uc.uc_mcontext.regs) ||
            !load_user(result.blocked_mask, &uc.uc_sigmask) || !load_user_object(result.alternate_stack, &uc.uc_stack))
            return error(Errno::EFAULT);
    }
    TRY(load_records(frame + frame_records, context));
    TRY(context.from_user_regs(regs));
    context.mark_not_syscall();
    return result;
}

/// With vectors of any length that the CPUs have; the last term is for a stack that isn't aligned.
usize minimum_signal_stack() {
    const usize records = sizeof(abi::fpsimd_context) + sizeof(abi::esr_context) + sizeof(abi::extra_context) +
                          terminator_size + sve_record_size(most_sve_bytes()) + terminator_size;
    const usize behind = records - std::min<usize>(records, abi::sigcontext_reserved_size);
    return sizeof(abi::rt_sigframe) + behind + sizeof(abi::frame_record) + stack_alignment;
}

} // namespace linnet::arch
