// /proc/sysvipc/shm and the limits /proc/sys/kernel/shm{max,all,mni} (proc_sysvipc(5), proc_sys_kernel(5)).
#include "segment_table.hpp"

#include <vfs/pseudo/node.hpp>

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
    for (i32 index = 0; index < SegmentTable::most_indices; ++index) {
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

Result<void> show(TextSink sink, const std::atomic<u64>& limit) {
    format_to(sink, "{}\n", limit.load());
    return {};
}
Result<void> store(std::string_view text, std::atomic<u64>& limit, u64 most = ~u64{0}) {
    limit = TRY(vfs::pseudo::parse_number(text, most));
    return {};
}

SharedMemoryLimits& limits() { return shared_memory_limits(); }

} // namespace

Result<void> initialise() {
    Directory& root = vfs::pseudo::proc().root();
    Directory& ipc = *TRY(root.add_path("sysvipc"));
    TRY(ipc.add_text("shm", show_segments));
    Directory& knobs = *TRY(root.add_path("sys/kernel"));
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
        [](std::string_view text) { return store(text, limits().most_segments, SegmentTable::most_indices); });
}

} // namespace linnet::ipc
