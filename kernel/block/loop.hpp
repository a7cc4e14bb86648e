// Loop devices: a file that is read and written as a disk.
//
// Each has a thread of its own while it has a file. Requests come in any context; the thread reads and writes the file.
// Memory is often waited for by who stores the disk's pages, so the thread waits for nobody to free some: it takes what
// is clean, then what is kept for the kernel, and when memory is short it leaves nothing in the file's pages.
//
// Lock order: Disk::lock() of a loop (sleeping): all that configures it
//               chains_lock (sleeping): which loop's file lies on which
//               Disk::lock() of what its file lies on, when the file is given up
//             queue_lock_ (spinlock): a leaf
#pragma once

#include <abi/linux/loop.hpp>
#include <block/disk.hpp>
#include <vfs/file.hpp>

namespace linnet::block {

class Loop final : public Driver {
public:
    static constexpr u32 major = 7, most = 256;
    explicit Loop(u32 number) : number_(number) {}
    /// One without a file; it lives as long as the kernel. ENOMEM.
    static Result<Loop*> create(u32 number);

    void submit(RequestList& requests) override;
    Result<long> ioctl(u32 command, u64 argument, Access access) override;
    void all_closed() override;

    [[nodiscard]] Disk& disk() const { return *disk_; }
    /// Nobody has given it a file; may change at any time.
    [[nodiscard]] bool is_free() const { return state_.load() == State::Free; }
    /// What is shown in /sys while there is a file. Any thread.
    [[nodiscard]] NullableRefPtr<vfs::File> file();
    [[nodiscard]] u64 offset() const { return offset_.load(); }
    [[nodiscard]] u64 size_limit() const { return size_limit_.load(); }
    [[nodiscard]] bool has_flag(u32 flag) const { return (flags_.load() & flag) != 0; }

private:
    /// Leaving: the file goes when the last who has the device open closes it.
    enum class State : u8 { Free, Bound, Leaving };

    // With the disk's lock held.
    Result<void> bind(const abi::loop_config& config, Access access);
    Result<void> clear_file();
    Result<void> change_file(i32 fd);
    Result<void> set_status(const abi::loop_info64& info);
    Result<abi::loop_info64> status();
    Result<void> set_block_size(u64 size);
    Result<void> set_capacity();
    Result<void> check_backing(vfs::File& file);
    void set_place(const abi::loop_info64& info);
    void clear();
    Result<void> show_in_sysfs();
    [[nodiscard]] Limits limits(u32 block_size, bool is_read_only);
    void stop_thread();
    // The thread's.
    static void run(void* self);
    void run_requests();
    Result<void> serve(const Request& request, vfs::File& file);
    Result<void> give_back(vfs::File& file, Operation operation, u64 begin, u64 end);
    Result<void> transfer(Operation operation, vfs::File& file, std::span<u8> memory, u64 offset);

    const u32 number_;
    Disk* disk_ = nullptr;
    std::atomic<State> state_{State::Free};
    std::atomic<u64> offset_{0}, size_limit_{0}; // bytes
    std::atomic<u32> flags_{0};
    char file_name_[64] = {}; // as whoever configured it calls the file

    core::InterruptSpinLock queue_lock_;
    RequestList waiting_;
    bool accepts_ = false;           // requests: there is a thread
    NullableRefPtr<vfs::File> file_; // changed with the disk's lock, too
    core::WaitQueue work_;
    std::atomic<bool> is_stopping_{false}, has_stopped_{true};
};

/// /dev/loop-control. At boot. ENOMEM.
Result<void> start_loop_control();

} // namespace linnet::block
