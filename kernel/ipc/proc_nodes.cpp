// /proc/sysvipc and the limits of System V IPC under /proc/sys/kernel, and those of
// POSIX message queues under /proc/sys/fs/mqueue (proc_sysvipc(5), proc_sys_kernel(5), mq_overview(7)).
#include <ipc/message_queues.hpp>
#include <ipc/posix_queues.hpp>
#include <ipc/semaphores.hpp>
#include <vfs/pseudo/knob.hpp>
#include <vfs/pseudo/node.hpp>

#include "queue_file_system.hpp"
#include "segment_table.hpp"

namespace linnet::ipc {

namespace {

using vfs::pseudo::Directory;

/// Octal, right-aligned in four columns.
void put_mode(TextSink sink, u32 mode) {
    char digits[12];
    usize at = sizeof(digits);
    do {
        digits[--at] = static_cast<char>('0' + mode % 8);
        mode /= 8;
    } while (mode);
    while (sizeof(digits) - at < 4) digits[--at] = ' ';
    sink({digits + at, sizeof(digits) - at});
}

Result<void> show_segments(TextSink sink) {
    sink("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
         "dtime"
         "      ctime                   rss                  swap\n");
    for (i32 index = 0; index < most_indices; ++index) {
        NullableRefPtr<Segment> segment;
        abi::shmid_ds data;
        {
            core::MutexGuard guard(segment_table().lock);
            if (index > segment_table().highest_index()) return {};
            segment = NullableRefPtr<Segment>(segment_table().at(index));
            if (!segment) continue;
            data = segment->status();
        }
        const abi::ipc_perm& rights = data.shm_perm;
        format_to(sink, "{10} {10}  ", rights.key, segment->id);
        put_mode(sink, rights.mode);
        format_to(sink, " {21} {5} {5}  {5} {5} {5} {5} {5} ", data.shm_segsz, data.shm_cpid, data.shm_lpid,
                  data.shm_nattch, rights.uid, rights.gid, rights.cuid, rights.cgid);
        format_to(sink, "{10} {10} {10} {21} {21}\n", data.shm_atime, data.shm_dtime, data.shm_ctime,
                  segment->object().resident_pages() << arch::page_shift, 0);
    }
    return {};
}

Result<void> show_semaphores(TextSink sink) {
    sink("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    const i32 highest = semaphore_totals().highest_index;
    for (i32 index = 0; index <= highest; ++index) {
        Result<SemaphoreStatus> set = semaphore_status(index, Lookup::ByIndexUnchecked, vfs::kernel_credentials());
        if (!set) continue;
        const abi::ipc_perm& rights = set->data.sem_perm;
        format_to(sink, "{10} {10}  ", rights.key, set->id);
        put_mode(sink, rights.mode);
        format_to(sink, " {10} {5} {5} {5} {5} {10} {10}\n", set->data.sem_nsems, rights.uid, rights.gid, rights.cuid,
                  rights.cgid, set->data.sem_otime, set->data.sem_ctime);
    }
    return {};
}

Result<void> show_queues(TextSink sink) {
    sink("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime"
         "      ctime\n");
    const i32 highest = queue_totals().highest_index;
    for (i32 index = 0; index <= highest; ++index) {
        Result<QueueStatus> queue = queue_status(index, Lookup::ByIndexUnchecked, vfs::kernel_credentials());
        if (!queue) continue;
        const abi::msqid_ds& data = queue->data;
        const abi::ipc_perm& rights = data.msg_perm;
        format_to(sink, "{10} {10}  ", rights.key, queue->id);
        put_mode(sink, rights.mode);
        format_to(sink, "  {10} {10} {5} {5} {5} {5} {5} {5} ", data.msg_cbytes, data.msg_qnum, data.msg_lspid,
                  data.msg_lrpid, rights.uid, rights.gid, rights.cuid, rights.cgid);
        format_to(sink, "{10} {10} {10}\n", data.msg_stime, data.msg_rtime, data.msg_ctime);
    }
    return {};
}

/// "SEMMSL SEMMNS SEMOPM SEMMNI"; who writes fewer changes the first of them.
std::atomic<u64>* semaphore_limit(usize number) {
    SemaphoreLimits& limits = semaphore_limits();
    std::atomic<u64>* const all[] = {&limits.most_in_set, &limits.most, &limits.most_steps, &limits.most_sets};
    return number < std::size(all) ? all[number] : nullptr;
}
Result<void> show_semaphore_limits(TextSink sink) {
    for (usize i = 0; semaphore_limit(i); ++i) format_to(sink, "{}{}", i > 0 ? "\t" : "", semaphore_limit(i)->load());
    sink("\n");
    return {};
}
Result<void> store_semaphore_limits(std::string_view text) {
    constexpr std::string_view white = " \t\n";
    u64 values[4];
    usize count = 0;
    text = text.substr(0, text.find('\0'));
    for (usize begin; count < 4 && (begin = text.find_first_not_of(white)) != text.npos; ++count) {
        text.remove_prefix(begin);
        const usize length = std::min(text.find_first_of(white), text.size());
        values[count] = TRY(vfs::pseudo::parse_number(text.substr(0, length), 0x7fff'ffff));
        text.remove_prefix(length);
    }
    if (count == 0) return error(Errno::EINVAL);
    if (count == 4 && values[3] > most_indices) return error(Errno::ERANGE);
    for (usize i = 0; i < count; ++i) semaphore_limit(i)->store(values[i]);
    return {};
}

Result<void> show(TextSink sink, const std::atomic<u64>& limit) {
    format_to(sink, "{}\n", limit.load());
    return {};
}
Result<void> store(std::string_view text, std::atomic<u64>& limit, u64 most = ~u64{0}) {
    limit = TRY(vfs::pseudo::parse_number(text, most));
    return {};
}

SharedMemoryLimits& limits() { return shared_memory_limits(); }

Result<void> add_posix_queue_limits(Directory& root) {
    Directory& knobs = *TRY(root.add_path("sys/fs/mqueue"));
    PosixQueueLimits& most = posix_queue_limits();
    constexpr u64 least_bytes = 128;
    TRY(vfs::pseudo::add_knob(knobs, "queues_max", {most.most_queues}));
    TRY(vfs::pseudo::add_knob(knobs, "msg_max", {most.most_messages, 1, hard_most_messages}));
    TRY(vfs::pseudo::add_knob(knobs, "msgsize_max", {most.most_bytes, least_bytes, hard_most_bytes}));
    TRY(vfs::pseudo::add_knob(knobs, "msg_default", {most.default_messages, 1, hard_most_messages}));
    return vfs::pseudo::add_knob(knobs, "msgsize_default", {most.default_bytes, least_bytes, hard_most_bytes});
}

} // namespace

Result<void> initialise() {
    TRY(initialise_queue_file_system());
    Directory& root = vfs::pseudo::proc().root();
    Directory& ipc = *TRY(root.add_path("sysvipc"));
    TRY(add_posix_queue_limits(root));
    TRY(ipc.add_text("msg", show_queues));
    TRY(ipc.add_text("sem", show_semaphores));
    TRY(ipc.add_text("shm", show_segments));
    Directory& knobs = *TRY(root.add_path("sys/kernel"));
    TRY(vfs::pseudo::add_knob(knobs, "msgmax", {message_limits().most_in_message}));
    TRY(vfs::pseudo::add_knob(knobs, "msgmnb", {message_limits().most_in_queue}));
    TRY(vfs::pseudo::add_knob(knobs, "msgmni", {.value = message_limits().most_queues, .most = most_indices}));
    TRY(knobs.add_text("sem", show_semaphore_limits, 0644, store_semaphore_limits));
    TRY(knobs.add_text(
        "shmmax", [](TextSink sink) { return show(sink, limits().most_bytes); }, 0644,
        [](std::string_view text) { return store(text, limits().most_bytes); }));
    TRY(knobs.add_text(
        "shmall", [](TextSink sink) { return show(sink, limits().most_pages); }, 0644,
        [](std::string_view text) { return store(text, limits().most_pages); }));
    Directory& vm = *TRY(root.add_path("sys/vm"));
    TRY(vm.add_text(
        "hugetlb_shm_group", [](TextSink sink) { return show(sink, limits().huge_page_group); }, 0644,
        [](std::string_view text) { return store(text, limits().huge_page_group, 0x7fff'ffff); }));
    return knobs.add_text(
        "shmmni", [](TextSink sink) { return show(sink, limits().most_segments); }, 0644,
        [](std::string_view text) { return store(text, limits().most_segments, most_indices); });
}

} // namespace linnet::ipc
