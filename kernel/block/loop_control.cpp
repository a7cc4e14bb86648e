// /dev/loop-control, and which loop devices there are. Like the module of Debian's kernels, it makes eight of them when
// they are first asked for.
#include "loop.hpp"

#include <abi/linux/stat.hpp>
#include <lib/own_ptr.hpp>
#include <vfs/device_nodes.hpp>

namespace linnet::block {

using namespace abi;

namespace {

constexpr vfs::DeviceNumber control_number{10, 237};
constexpr u32 made_at_first = 8;

constinit core::Mutex loops_lock; // sleeping; Disk::lock() is taken under it
constinit Loop* loops[Loop::most] = {};

/// A loop of this number, new or there again. EEXIST.
Result<u32> add_loop(u32 number) {
    if (number >= Loop::most) return error(Errno::ENOSPC);
    if (!loops[number]) {
        loops[number] = TRY(Loop::create(number));
        return number;
    }
    if (loops[number]->disk().is_there()) return error(Errno::EEXIST);
    TRY(loops[number]->disk().start());
    return number;
}

Result<u32> add_any() {
    for (u32 number = 0; number < Loop::most; ++number)
        if (!loops[number] || !loops[number]->disk().is_there()) return add_loop(number);
    return error(Errno::ENOSPC);
}

Result<u32> find_free() {
    for (u32 number = 0; number < Loop::most; ++number)
        if (loops[number] && loops[number]->disk().is_there() && loops[number]->is_free()) return number;
    return add_any();
}

Result<void> remove_loop(u32 number) {
    if (number >= Loop::most || !loops[number] || !loops[number]->disk().is_there()) return error(Errno::ENODEV);
    Loop& loop = *loops[number];
    core::MutexGuard guard(loop.disk().lock());
    if (!loop.is_free() || loop.disk().openers() > 0) return error(Errno::EBUSY);
    loop.disk().withdraw();
    return {};
}

class ControlFile final : public vfs::File {
public:
    ControlFile(const vfs::Path& path, u32 flags) : File(path, flags, Positioning::Seekable) {}
    Result<long> ioctl(u32 command, u64 argument) override {
        const auto number = static_cast<i32>(argument);
        core::MutexGuard guard(loops_lock);
        switch (command) {
        case LOOP_CTL_ADD:
            return TRY(number < 0 ? add_any() : add_loop(static_cast<u32>(number)));
        case LOOP_CTL_REMOVE:
            if (number < 0) return error(Errno::EINVAL);
            TRY(remove_loop(static_cast<u32>(number)));
            return 0;
        case LOOP_CTL_GET_FREE:
            return TRY(find_free());
        default:
            return error(Errno::ENOSYS); // as on Linux
        }
    }
};

class ControlDriver final : public vfs::DeviceDriver {
public:
    const char* name() const override { return "misc"; }
    Result<RefPtr<vfs::File>> open(vfs::DeviceNumber, const vfs::Path& path, u32 flags) override {
        {
            core::MutexGuard guard(loops_lock);
            for (u32 number = 0; number < made_at_first; ++number)
                if (!loops[number]) TRY(add_loop(number));
        }
        auto* file = new (std::nothrow) ControlFile(path, flags);
        if (!file) return error(Errno::ENOMEM);
        return RefPtr<vfs::File>::adopt(*file);
    }
};
constinit ControlDriver the_driver;

} // namespace

Result<void> start_loop_control() {
    TRY(vfs::register_character_device(control_number.major, control_number.minor, 1, the_driver));
    return vfs::announce_device("loop-control", S_IFCHR | 0660, control_number, "misc");
}

} // namespace linnet::block
