// Disks, and the devices that programs see of them: the whole and its partitions.
//
// Device files read and write through a page cache of each device's own, as on Linux: what is written to a partition is
// not seen through the whole disk before it was stored.
//
// Lock order: Disk::devices_lock_ (sleeping) → Device::state_lock_ (sleeping) → page caches.
#pragma once

#include <atomic>
#include <block/partition_name.hpp>
#include <block/request.hpp>
#include <core/mutex.hpp>
#include <core/wait_queue.hpp>
#include <lib/array_list.hpp>
#include <lib/ref_ptr.hpp>
#include <mm/page_cache.hpp>
#include <string_view>
#include <vfs/device.hpp>

namespace linnet::block {

class Disk;

/// What a disk can do at once and at all.
struct Limits {
    u32 logical_block = 512;  // bytes: the unit of transfers
    u32 physical_block = 512; // what is written in one go
    u32 segments = 1;         // in one request
    u32 sectors = 256;        // in one request
    u64 discard_sectors = 0;  // in one request; 0: can't discard
    u64 zero_sectors = 0;     // in one request; 0: can't write zeros by itself
    u32 queues = 1;           // CPU number n uses the one of n modulo this
    u32 queue_entries = 0;    // of each; 0: the driver takes any number of requests
    bool is_read_only = false;
    bool has_write_cache = false; // what is written is on stable storage after a flush only
};

/// What a file was opened for.
enum class Access : u8 { Read, Write };

/// A driver's side of a disk.
class Driver {
public:
    /// Takes all of these: requests of whole blocks, within the disk and its limits, to be done in any order. A flush
    /// comes only to disks with a write cache. Any context; doesn't wait.
    virtual void submit(RequestList& requests) = 0;
    /// ioctl(2) commands that only this kind of disk knows. ENOTTY.
    virtual Result<long> ioctl(u32 /*command*/, u64 /*argument*/, Access) { return error(Errno::ENOTTY); }
    /// Nobody has the disk or a partition open any more. Its lock() is held. May sleep.
    virtual void all_closed() {}

protected:
    ~Driver() = default;
};

/// What /proc/diskstats shows of one kind of request. Merged: what became a part of another request.
struct RequestCounts {
    std::atomic<u64> requests{0}, merged{0}, sectors{0}, nanoseconds{0};
};

class Device;
class BackgroundRead;
struct DeviceRequest;

/// Requests of a device that belong together: one thread waits for them, or `finished` is called when all are done, by
/// whoever ends the last. Any context; the group may be gone afterwards.
struct RequestGroup {
    core::WaitQueue* queue = nullptr;
    void (*finished)(RequestGroup& group) = nullptr;
    std::atomic<u32> left{0};
};

/// A request that is counted in a device's statistics, from when it is begun to when it is done.
struct DeviceRequest : Request {
    Device* device = nullptr;
    RequestGroup* group = nullptr;
    u64 begun_ns = 0;
    u32 merged = 0; // into this one
    Errno code{};
};

/// The memory for reads that nobody waits for: made when it is first wanted, kept as long as the device.
class BackgroundReads {
public:
    BackgroundReads() = default;
    BackgroundReads(const BackgroundReads&) = delete;
    /// None is under way.
    ~BackgroundReads();
    /// Null when there is no memory, or as many are under way as there may be.
    BackgroundRead* take();
    /// Any context.
    void give_back(BackgroundRead& read);

private:
    static constexpr u32 most = 16;
    core::InterruptSpinLock lock_;
    BackgroundRead* free_ = nullptr; // guarded by lock_, as are they
    std::atomic<u32> made_{0};
};

/// A disk or a partition of one, under its name in /dev.
class Device final : public RefCounted<Device>, private mm::PageSource {
public:
    Device(Disk& disk, u32 index, u64 first_sector, u64 sectors, const PartitionName& partition_name)
        : disk_(disk), index_(index), first_sector_(first_sector), sectors_(sectors), partition_name_(partition_name) {}
    ~Device();

    [[nodiscard]] Disk& disk() const { return disk_; }
    /// 0 is the whole disk.
    [[nodiscard]] u32 index() const { return index_; }
    [[nodiscard]] u64 first_sector() const { return first_sector_; }
    [[nodiscard]] u64 sectors() const { return sectors_.load(std::memory_order_relaxed); }
    [[nodiscard]] u64 bytes() const { return sectors() << sector_shift; }
    /// The end moves. May sleep.
    void set_sectors(u64 sectors);
    [[nodiscard]] vfs::DeviceNumber number() const;
    [[nodiscard]] bool is_read_only() const;
    void set_read_only(bool read_only) { is_read_only_.store(read_only); }
    /// "vda", "vda1".
    usize name(std::span<char> room) const;
    /// Empty for the whole disk.
    [[nodiscard]] const PartitionName& partition_name() const { return partition_name_; }

    /// Reads or writes from `sector` of the device on; the segments are whole blocks. May sleep. EIO, and ENXIO beyond
    /// the end.
    Result<void> transfer(Operation operation, u64 sector, std::span<const Segment> segments);
    /// Writes what doesn't come from the page cache: who reads the device sees it there, too. The same errors.
    Result<void> write_beside_pages(u64 sector, std::span<const Segment> segments);
    /// Tells the page cache what was written beside it.
    void update_pages(u64 sector, std::span<const Segment> segments);
    /// Begins requests (the same as run()), and doesn't wait: group.finished will be called.
    void begin(std::span<DeviceRequest> requests, RequestGroup& group);
    /// Begins requests (their operation, sectors and segments are set, and within the limits), and waits for them. May
    /// sleep. Their `code` says what came of each. For Batch.
    void run(std::span<DeviceRequest> requests, RequestGroup& group);
    /// Flush; Discard or WriteZeroes of `sectors`. May sleep. EIO, EOPNOTSUPP.
    Result<void> command(Operation operation, u64 sector = 0, u64 sectors = 0);

    /// An open file more; `is_exclusive` is O_EXCL. EBUSY.
    Result<void> opened(bool is_exclusive);
    void closed(bool is_exclusive);
    /// By Operation.
    [[nodiscard]] const RequestCounts& counts(Operation operation) const {
        return counts_[static_cast<usize>(operation)];
    }
    [[nodiscard]] u32 in_flight() const { return in_flight(Operation::Read) + in_flight(Operation::Write); }
    /// Reads, or all others (Write).
    [[nodiscard]] u32 in_flight(Operation operation) const {
        return in_flight_[operation != Operation::Read].load(std::memory_order_relaxed);
    }
    /// For how long there has been a request under way, in all. About.
    [[nodiscard]] u64 busy_ns() const { return busy_ns_.load(std::memory_order_relaxed); }
    /// The same as sync() for all of it, if it is open.
    void sync_if_open();
    [[nodiscard]] bool is_open() const { return openers_.load() != 0; }
    BackgroundReads& background_reads() { return background_reads_; }
    u64 read_ahead_pages() const override;
    /// The page cache; there is one while the device is open.
    mm::FileObject& pages() { return *pages_; }
    /// So many bytes more are in the pages: who writes much stores it, too, lest memory is full of what only reclaim
    /// can store. May sleep.
    void note_written(u64 bytes);
    /// Stores what is dirty, and forgets all that nobody uses, if it is open. May sleep. EIO.
    Result<void> forget_pages();
    /// Stores what is dirty in [begin, end) bytes and flushes the disk. May sleep. EIO.
    Result<void> sync(u64 begin, u64 end);

private:
    Result<void> read_page(u64 index, mm::Page& page) override;
    Result<void> write_page(u64 index, mm::Page& page) override;
    Result<void> read_pages(u64 index, std::span<mm::Page* const> pages) override;
    Result<void> write_pages(u64 index, std::span<mm::Page* const> pages) override;
    bool reads_in_background() const override { return true; }
    usize begin_reading(mm::FileObject& object, u64 index, std::span<mm::Page* const> pages) override;
    void zero_behind_end(u64 index, std::span<mm::Page* const> pages) const;
    Result<void> run_one(Operation operation, u64 sector, u64 sectors, std::span<const Segment> segments);
    [[nodiscard]] u32 bytes_of_page(u64 index) const;
    Result<void> move_pages(Operation operation, u64 index, std::span<mm::Page* const> pages);
    static void on_completed(Request& request, Errno code);
    void note_begun(DeviceRequest& request);
    void note_done(const DeviceRequest& request);
    void count(Operation as, const DeviceRequest& request, u64 nanoseconds);
    Result<void> write_zero_pages(u64 sector, u64 sectors);

    Disk& disk_;
    const u32 index_;
    const u64 first_sector_;
    std::atomic<u64> sectors_;
    const PartitionName partition_name_;
    std::atomic<bool> is_read_only_{false};
    RequestCounts counts_[5];
    std::atomic<u32> in_flight_[2]{};             // reads; others
    std::atomic<u64> busy_ns_{0}, busy_until_{0}; // the latter: up to when it was counted, by the monotonic clock
    std::atomic<u64> unstored_{0};                // bytes written since the pages were stored; about
    core::Mutex state_lock_;
    std::atomic<u32> openers_{0};
    bool is_claimed_ = false;
    NullableRefPtr<mm::FileObject> pages_;
    BackgroundReads background_reads_;
};

/// What a driver registers; lives as long as the kernel.
class Disk {
public:
    static constexpr u32 minors = 16; // the disk and fifteen partitions

    /// `name` is without partitions ("vda"); `parent` the directory in /sys/devices of what it hangs on, a virtio
    /// device
    /// ("pci0000:00/0000:00:02.0/virtio1"), and `carrier_bus` the bus of what carries that ("pci"; lives for ever).
    struct Place {
        std::string_view name, parent, carrier_bus;
        u32 major, first_minor;
        /// Of the first partition; 0: they have the minors behind the disk's.
        u32 partition_major = 0, first_partition_minor = 0;
    };
    /// The device appears in /dev once disks are started.
    Disk(const Place& place, Driver& driver, u64 sectors, const Limits& limits);

    [[nodiscard]] std::string_view name() const { return name_; }
    [[nodiscard]] std::string_view parent() const { return parent_; }
    [[nodiscard]] std::string_view carrier_bus() const { return carrier_bus_; }
    /// Which disk this is of all since the start, from 1 on.
    [[nodiscard]] u32 sequence_number() const { return sequence_number_; }
    [[nodiscard]] Driver& driver() const { return driver_; }
    [[nodiscard]] const Limits& limits() const { return limits_; }
    [[nodiscard]] u64 sectors() const { return sectors_.load(std::memory_order_relaxed); }
    [[nodiscard]] u32 major() const { return major_; }
    [[nodiscard]] bool has_own_partition_numbers() const { return partition_major_ != 0; }
    [[nodiscard]] vfs::DeviceNumber number_of(u32 index) const;
    /// Which of its devices has this number.
    [[nodiscard]] std::optional<u32> index_of(vfs::DeviceNumber number) const;
    /// Registers its numbers. At the start. EBUSY, ENOMEM.
    Result<void> register_numbers();
    /// Open files of the disk and its partitions.
    [[nodiscard]] u32 openers() const { return openers_.load(); }
    void count_opener() { openers_.fetch_add(1); }
    /// Holding no lock of its devices.
    void opener_gone();

    /// How far readers that go on are ahead, in kilobytes and whole pages.
    std::atomic<u32> read_ahead_kb{default_read_ahead_kb};
    static constexpr u32 default_read_ahead_kb = 128;
    void set_read_ahead(u64 kilobytes);

    // ---- for disks that change (loops), with lock() held ----
    core::Mutex& lock() { return devices_lock_; }
    [[nodiscard]] bool is_there() const { return is_there_.load(); }
    void set_limits(const Limits& limits) { limits_ = limits; }
    void resize(u64 sectors);
    Result<void> rescan_locked();
    void drop_partitions() { remove_partitions(); }
    /// Device::forget_pages() of all of it.
    Result<void> forget_pages();
    /// The whole disk's device goes, until start(); nobody has it open.
    void withdraw();
    /// Where those sleep that wait for a request.
    core::WaitQueue& waiters_of(const RequestGroup& group) {
        return waiters_[reinterpret_cast<usize>(&group) / sizeof(RequestGroup) % wait_queues];
    }
    /// The device of an index below `minors`, opened. ENXIO, EBUSY.
    Result<RefPtr<Device>> open(u32 index, bool is_exclusive);
    /// The whole disk and its partitions, as they are now. ENOMEM.
    Result<void> devices(ArrayList<RefPtr<Device>>& found);

    /// Makes the whole disk's device and looks for partitions. May sleep. ENOMEM.
    Result<void> start();
    /// Looks for partitions anew (BLKRRPART). EBUSY while one of the old is open, EINVAL, ENOMEM.
    Result<void> rescan();

    std::atomic<Disk*> next{nullptr}; // disk.cpp's list

private:
    static constexpr usize wait_queues = 16;
    Result<void> add_device(u32 index, u64 first_sector, u64 sectors, const PartitionName& name);
    Result<void> add_partitions();
    void remove_partitions();

    char name_[12] = {};
    char parent_[64] = {};
    const std::string_view carrier_bus_;
    const u32 sequence_number_;
    Driver& driver_;
    const u32 major_, first_minor_, partition_major_, first_partition_minor_;
    std::atomic<u64> sectors_;
    Limits limits_; // of loops they change, between requests
    std::atomic<u32> openers_{0};
    std::atomic<bool> is_there_{false};
    core::WaitQueue waiters_[wait_queues];
    core::Mutex devices_lock_;
    NullableRefPtr<Device> devices_[minors];
};

/// The major number of virtio's disks.
inline constexpr u32 virtio_major = 254;

/// A disk that a driver found; its devices appear at once. May sleep. ENOMEM, EBUSY.
Result<void> add_disk(Disk& disk);
/// Sleeps until `is_there()` holds, which is asked again after each disk that was added. False: the deadline passed.
bool wait_for_disk(FunctionRef<bool()> is_there, core::Deadline deadline);
/// Calls `visit` for every disk.
void for_each_disk(FunctionRef<void(Disk&)> visit);
/// The disk that a device number is of; null when there is none.
Disk* find_disk(vfs::DeviceNumber number);
/// Stores what is dirty in the page caches of open devices (sync(2)). May sleep.
void sync_devices();
/// The device of a number, opened; to be closed() by who has it. ENXIO: there is none; EBUSY: it is claimed.
Result<RefPtr<Device>> open_device(vfs::DeviceNumber number, bool is_exclusive);

/// /proc/partitions and /proc/diskstats. At boot.
Result<void> initialise();

} // namespace linnet::block
