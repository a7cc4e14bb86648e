// Root, /dev and the initramfs.
#include "file_systems.hpp"

#include <block/disk.hpp>
#include <boot/boot_info.hpp>
#include <core/log.hpp>
#include <fs/9p.hpp>
#include <fs/devtmpfs.hpp>
#include <fs/ext4.hpp>
#include <fs/hugetlbfs.hpp>
#include <fs/initramfs.hpp>
#include <fs/overlay.hpp>
#include <fs/system_nodes.hpp>
#include <fs/tmpfs.hpp>
#include <ipc/shared_memory.hpp>
#include <mm/init.hpp>
#include <net/socket.hpp>
#include <process/binary_formats.hpp>
#include <process/proc_nodes.hpp>
#include <syscalls/table.hpp>
#include <trace/perf_event.hpp>
#include <trace/tracing.hpp>
#include <tty/device.hpp>
#include <vfs/fd_table.hpp>
#include <vfs/operations.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::init {

namespace {

constexpr vfs::DeviceNumber console_number{5, 1};

Result<void> make_builtin_nodes() {
    TRY(vfs::make_directory(nullptr, "/dev", 0755));
    TRY(vfs::make_node(nullptr, "/dev/console", abi::S_IFCHR | 0600, console_number));
    return vfs::make_directory(nullptr, "/root", 0700);
}

} // namespace

Result<void> start_file_systems(const CommandLine& command_line) {
    TRY(vfs::initialise());
    TRY(fs::register_tmpfs());
    TRY(fs::initialise_hugetlbfs());
    TRY(fs::register_ext4());
    TRY(fs::register_9p());
    TRY(fs::register_overlay());
    TRY(vfs::mount_root("rootfs"));
    TRY(vfs::pseudo::initialise());
    TRY(fs::register_proc_files());
    TRY(process::register_proc_nodes());
    TRY(process::initialise_binary_formats());
    TRY(ipc::initialise());
    TRY(net::initialise());
    TRY(block::initialise());
    TRY(trace::initialise_perf(*TRY(vfs::pseudo::proc().root().add_path("sys/kernel"))));
    TRY(fs::register_sys_files());
    TRY(trace::register_perf_devices(vfs::pseudo::sys().root()));
    TRY(trace::initialise_tracing());
    TRY(trace::add_syscall_events([](FunctionRef<void(std::string_view, long)> visit) {
        for (std::span<const syscalls::Entry> family : syscalls::families())
            for (const syscalls::Entry& entry : family) visit(entry.name, entry.number);
    }));
    TRY(fs::register_devtmpfs());
    TRY(fs::register_memory_devices());
    tty::choose_console(command_line.console);
    return tty::initialise();
}

Result<void> fill_root() {
    TRY(make_builtin_nodes());
    const boot::MemoryRegion& initrd = boot::boot_info().initrd;
    if (boot::boot_info().initrd_was_outside_memory) core::log_error("initramfs: it lies outside of the memory");
    if (initrd.size == 0) return {};
    // A broken archive is reported by the unpacker; what came before the damage may be enough to run.
    (void)fs::unpack_initramfs({arch::phys_to_virt<const u8>(initrd.begin), initrd.size});
    mm::release_boot_memory(initrd.begin, initrd.size);
    return {};
}

void open_console() {
    // A host that is busy may tell of its consoles only now.
    constexpr u64 patience_ns = 5'000'000'000;
    tty::wait_for_chosen_console(core::Deadline::after(patience_ns));
    Result<RefPtr<vfs::File>> console = vfs::open("/dev/console", abi::O_RDWR);
    if (!console) {
        core::log_warning("Warning: unable to open an initial console (error {}).", console.error());
        return;
    }
    for (int i = 0; i < 3; ++i) {
        Result<int> fd = vfs::current_files().add(*console, vfs::CloseOnExec::No);
        if (!fd) core::log_warning("no descriptor for the console (error {})", fd.error());
    }
}

} // namespace linnet::init
