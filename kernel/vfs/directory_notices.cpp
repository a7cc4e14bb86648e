// F_NOTIFY. A notice belongs to an open directory and to the table of descriptors by which it was asked for: when that
// closes any descriptor of the directory, the notice ends.
#include <vfs/directory_notices.hpp>

#include <abi/linux/fcntl.hpp>
#include <abi/linux/poll.hpp>
#include <vfs/current.hpp>
#include <vfs/file_owner.hpp>
#include <vfs/watches.hpp>

namespace linnet::vfs {

constinit std::atomic<u64> are_directory_notices_enabled{1};

namespace {

/// The events of inotify(7) that DN_* stand for.
u32 bits_of(u32 wanted) {
    using namespace abi;
    struct Meaning {
        u32 notice, bits;
    };
    constexpr Meaning meanings[] = {{DN_ACCESS, IN_ACCESS},
                                    {DN_MODIFY, IN_MODIFY},
                                    {DN_CREATE, IN_CREATE | IN_MOVED_TO},
                                    {DN_DELETE, IN_DELETE | IN_MOVED_FROM},
                                    {DN_RENAME, renamed_within},
                                    {DN_ATTRIB, IN_ATTRIB}};
    u32 bits = 0;
    for (const Meaning& meaning : meanings)
        if (wanted & meaning.notice) bits |= meaning.bits;
    return bits;
}

class DirectoryNotice final : public Watch {
public:
    DirectoryNotice(File& file, const FdTable& table, u32 wanted, int fd)
        : Watch(RefPtr<Inode>(file.inode()), this, bits_of(wanted)), file(file), table(table),
          is_lasting((wanted & abi::DN_MULTISHOT) != 0), fd(fd) {}
    bool happened(const WatchEvent&) override {
        tell_owner(file, abi::POLLMSG, fd);
        return !is_lasting;
    }
    void ended(WatchEnd, const Inode&) override { list_node.unlink(); }

    ListNode list_node; // the lock of all watches
    File& file;         // whose descriptors end the notice before it goes
    const FdTable& table;
    std::atomic<bool> is_lasting;
    std::atomic<int> fd;
};

[[clang::no_destroy]] constinit IntrusiveList<DirectoryNotice, &DirectoryNotice::list_node> notices;
constinit std::atomic<u32> notices_made{0};

/// The lock of all watches held.
DirectoryNotice* find_locked(const File& file, const FdTable& table) {
    for (DirectoryNotice& notice : notices)
        if (&notice.file == &file && &notice.table == &table) return &notice;
    return nullptr;
}

} // namespace

Result<void> notify_of_directory(File& file, const FdTable& table, u32 wanted, int fd) {
    if (!are_directory_notices_enabled.load(std::memory_order_relaxed)) return error(Errno::EINVAL);
    if ((wanted & ~abi::DN_MULTISHOT) == 0) {
        forget_directory_notice(file, table);
        return {};
    }
    if (!file.inode().is_directory()) return error(Errno::ENOTDIR);
    if (file_owner_number(file).number == 0) TRY(set_file_owner(file, current_process_id()));
    notices_made.fetch_add(1, std::memory_order_relaxed);
    core::MutexGuard guard(WatchTable::lock());
    if (DirectoryNotice* existing = find_locked(file, table)) {
        existing->fd = fd;
        if (wanted & abi::DN_MULTISHOT) existing->is_lasting = true;
        WatchTable::set_wanted(*existing, existing->wanted() | bits_of(wanted));
        return {};
    }
    auto* fresh = new (std::nothrow) DirectoryNotice(file, table, wanted, fd);
    if (!fresh) return error(Errno::ENOMEM);
    const RefPtr<DirectoryNotice> notice = adopt_ref(*fresh);
    TRY(WatchTable::add(*notice));
    notices.push_back(*notice);
    return {};
}

void forget_directory_notice(const File& file, const FdTable& table) {
    if (notices_made.load(std::memory_order_relaxed) == 0) return;
    NullableRefPtr<DirectoryNotice> notice;
    {
        core::MutexGuard guard(WatchTable::lock());
        notice = NullableRefPtr<DirectoryNotice>(find_locked(file, table));
    }
    if (notice) WatchTable::end(*notice);
}

} // namespace linnet::vfs
