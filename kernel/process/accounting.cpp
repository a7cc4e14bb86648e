// Process accounting (acct(2)): the last thread of a process writes a record of it (acct(5), version 3), before anybody
// can wait for the process.
//
// Lock: accounting_lock guards the file, is held while a record is written, and is outside of the file system's locks.
#include <process/accounting.hpp>

#include <abi/linux/acct.hpp>
#include <algorithm>
#include <bit>
#include <core/mutex.hpp>
#include <core/time.hpp>
#include <mm/address_space.hpp>
#include <process/process.hpp>
#include <process/session.hpp>
#include <vfs/inode.hpp>
#include <vfs/mount.hpp>
#include <vfs/operations.hpp>
#include <vfs/pseudo/node.hpp>
#include <vfs/superblock.hpp>

#include "internal.hpp"

namespace linnet::process {
namespace {

constinit core::Mutex accounting_lock;
[[clang::no_destroy]] constinit NullableRefPtr<vfs::File> the_file;
constinit const vfs::Mount* the_mount = nullptr; // through which the file was found, compared only
constinit bool is_suspended = false;
constinit u64 next_look_ns = 0; // at the free space
constinit std::atomic<bool> is_on{false};

// Percent of the file system's blocks: at so many free or less records are no longer written, at so many or more they
// are again; and how often to look, in seconds.
constinit std::atomic<i32> resume_percent{4}, suspend_percent{2}, look_interval_s{30};

bool has_room_locked(u64 now_ns) {
    if (now_ns < next_look_ns) return !is_suspended;
    const Result<vfs::FileSystemStatistics> statistics = the_file->inode().superblock().statistics();
    if (!statistics) return !is_suspended;
    const auto share = [&](const std::atomic<i32>& percent) {
        return static_cast<u64>(std::max(percent.load(), 0)) * statistics->blocks / 100;
    };
    const u64 free = statistics->blocks_available;
    if (is_suspended)
        is_suspended = free < share(resume_percent);
    else
        is_suspended = free <= share(suspend_percent);
    next_look_ns = now_ns + static_cast<u64>(std::max(look_interval_s.load(), 0)) * core::ns_per_second;
    return !is_suspended;
}

/// Rounded; the largest there is for what is too large.
abi::comp_t encode(u64 value) {
    constexpr u64 largest_mantissa = 0x1fff;
    constexpr u32 bits_per_step = 3, largest_exponent = 7;
    u32 exponent = 0;
    for (; value > largest_mantissa; ++exponent) value = (value >> bits_per_step) + (value >> (bits_per_step - 1) & 1);
    if (exponent > largest_exponent) return 0xffff;
    return static_cast<abi::comp_t>(exponent << 13 | value);
}

/// The bits of a float of 32 bits, cut off: the kernel has no floating point.
u32 float_bits(u64 value) {
    if (value == 0) return 0;
    constexpr u32 mantissa_bits = 23, bias = 127;
    const u32 exponent = 63 - static_cast<u32>(std::countl_zero(value));
    const u64 mantissa =
        exponent > mantissa_bits ? value >> (exponent - mantissa_bits) : value << (mantissa_bits - exponent);
    return (exponent + bias) << mantissa_bits | static_cast<u32>(mantissa & ((u32{1} << mantissa_bits) - 1));
}

constexpr u64 ns_per_tick = core::ns_per_second / abi::acct_hz;

/// Who the process is and since when.
abi::acct_v3 record_of(Process& process, Thread& self) {
    abi::acct_v3 record{};
    record.ac_version = abi::acct_version_3;
    NullableRefPtr<Session> session = process.session();
    if (NullableRefPtr<ControllingTerminal> terminal = session ? session->terminal() : nullptr)
        record.ac_tty = static_cast<u16>(terminal->device_number());
    RefPtr<const vfs::Credentials> credentials = self.credentials();
    record.ac_uid = credentials->uid;
    record.ac_gid = credentials->gid;
    record.ac_pid = static_cast<u32>(process.pid());
    record.ac_ppid = static_cast<u32>(process.parent_pid());
    const u64 elapsed = core::monotonic_ns() - process.start_time_ns;
    record.ac_btime = static_cast<u32>((core::realtime_ns() - elapsed) / core::ns_per_second);
    record.ac_etime = float_bits(elapsed / ns_per_tick);
    char name[Thread::name_size];
    self.copy_name(name);
    static_assert(sizeof name == sizeof record.ac_comm);
    std::copy_n(name, sizeof name, record.ac_comm);
    return record;
}

/// How it ended and what it used.
void add_end(abi::acct_v3& record, Process& process, u64 memory_bytes) {
    int status;
    {
        core::InterruptSpinGuard guard(process.signal_lock);
        status = process.group_exiting ? process.group_exit_status : process.leader_->exit_status;
    }
    record.ac_exitcode = static_cast<u32>(status);
    if (!process.has_executed) record.ac_flag |= abi::AFORK;
    if (process.has_used_privilege) record.ac_flag |= abi::ASU;
    if (status & 0x7f) record.ac_flag |= abi::AXSIG;
    if (status & 0x80) record.ac_flag |= abi::ACORE;
    const ResourceUsage usage = process.usage();
    record.ac_utime = encode(core::ticks_to_ns(usage.times.user) / ns_per_tick);
    record.ac_stime = encode(core::ticks_to_ns(usage.times.system) / ns_per_tick);
    record.ac_mem = encode(memory_bytes / 1024);
    record.ac_minflt = encode(usage.minor_faults);
    record.ac_majflt = encode(usage.major_faults);
}

/// The limit on file sizes of who writes does not count (on Linux too it is put aside so long), nor does anybody hear
/// of a disk that is full.
void write_locked(const abi::acct_v3& record, Process& writer) {
    if (!the_file || !has_room_locked(core::monotonic_ns())) return;
    vfs::IoBuffer buffer = vfs::IoBuffer::kernel(std::span(reinterpret_cast<const u8*>(&record), sizeof record));
    u64 offset = 0;
    const u64 limit = writer.limits.soft(abi::RLIMIT_FSIZE);
    writer.limits.replace_soft(abi::RLIMIT_FSIZE, limit, abi::RLIM_INFINITY);
    (void)the_file->append(buffer, offset);
    writer.limits.replace_soft(abi::RLIMIT_FSIZE, abi::RLIM_INFINITY, limit);
}

/// The old file is closed by the caller, behind the lock. As on Linux its last record is of who has called for that.
/// With `only_of` nothing happens unless the file was found through that mount.
void exchange_file(NullableRefPtr<vfs::File>& file, const vfs::Mount* mount, const vfs::Mount* only_of = nullptr) {
    Thread& self = current();
    const abi::acct_v3 record = record_of(self.process(), self);
    core::MutexGuard guard(accounting_lock);
    if (only_of && the_mount != only_of) return;
    write_locked(record, self.process());
    std::swap(the_file, file);
    the_mount = mount;
    is_suspended = false;
    next_look_ns = 0;
    is_on.store(the_file.get() != nullptr, std::memory_order_relaxed);
}

// ---- the knob ----

class AccountingKnob final : public vfs::pseudo::TextNode {
public:
    explicit AccountingKnob(vfs::pseudo::FileSystem& proc)
        : TextNode(proc.superblock(), proc.next_inode_number(), abi::S_IFREG | 0644) {}
    Result<void> show(TextSink sink) override {
        format_to(sink, "{}\t{}\t{}\n", resume_percent.load(), suspend_percent.load(), look_interval_s.load());
        return {};
    }
    /// Up to three numbers; those that aren't given stay.
    Result<void> store(std::string_view text) override {
        constexpr std::string_view blanks = " \t\n";
        for (std::atomic<i32>* knob : {&resume_percent, &suspend_percent, &look_interval_s}) {
            const usize begin = text.find_first_not_of(blanks);
            if (begin == std::string_view::npos) return {};
            text = text.substr(begin);
            const usize end = std::min(text.find_first_of(blanks), text.size());
            std::string_view digits = text.substr(0, end);
            const bool is_negative = digits.starts_with('-');
            if (is_negative) digits.remove_prefix(1);
            const Result<u64> value = vfs::pseudo::parse_number(digits, 0x7fff'ffff);
            if (!value) return error(Errno::EINVAL);
            knob->store(is_negative ? -static_cast<i32>(*value) : static_cast<i32>(*value));
            text = text.substr(end);
        }
        return {};
    }
};

} // namespace

Result<void> start_accounting(std::string_view path) {
    constexpr u32 flags = abi::O_WRONLY | abi::O_APPEND | abi::O_LARGEFILE;
    RefPtr<vfs::File> found = TRY(vfs::open(path, flags));
    if (!found->inode().is_regular()) return error(Errno::EACCES);
    // Written through a mount of its own, so that the one of the path is not busy: unmounting that ends accounting.
    const vfs::Path& place = found->path();
    RefPtr<vfs::Mount> own =
        TRY(vfs::Mount::create(RefPtr<vfs::SuperBlock>(place.mount->superblock()), RefPtr<vfs::Dentry>(*place.dentry),
                               place.mount->source(), place.mount->flags()));
    NullableRefPtr<vfs::File> file = TRY(vfs::open_path({std::move(own), RefPtr<vfs::Dentry>(*place.dentry)}, flags));
    exchange_file(file, place.mount.get());
    return {};
}

void stop_accounting() {
    NullableRefPtr<vfs::File> none;
    exchange_file(none, nullptr);
}

void stop_accounting_through(const vfs::Mount& mount) {
    if (!is_on.load(std::memory_order_relaxed)) [[likely]]
        return;
    NullableRefPtr<vfs::File> none;
    exchange_file(none, nullptr, &mount);
}

u64 memory_to_account(Thread& self) {
    if (!is_on.load(std::memory_order_relaxed)) [[likely]]
        return 0;
    NullableRefPtr<mm::AddressSpace> space = self.address_space();
    return space ? space->statistics().total * arch::page_size : 0;
}

void account_process(Process& process, Thread& self, u64 memory_bytes) {
    if (!is_on.load(std::memory_order_relaxed)) [[likely]]
        return;
    abi::acct_v3 record = record_of(process, self);
    add_end(record, process, memory_bytes);
    core::MutexGuard guard(accounting_lock);
    write_locked(record, process);
}

Result<void> register_accounting_knob() {
    vfs::pseudo::FileSystem& proc = vfs::pseudo::proc();
    auto* knob = new (std::nothrow) AccountingKnob(proc);
    if (!knob) return error(Errno::ENOMEM);
    RefPtr<vfs::pseudo::Node> node = RefPtr<vfs::pseudo::Node>::adopt(*knob);
    return TRY(proc.root().add_path("sys/kernel"))->add("acct", std::move(node));
}

} // namespace linnet::process
