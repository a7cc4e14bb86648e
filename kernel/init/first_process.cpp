// Which program becomes PID 1: rdinit= or /init of the initramfs; where there is none, the root is mounted, and it is
// init=, else the first of the usual places (Linux's order).
#include "first_process.hpp"

#include <core/log.hpp>
#include <core/panic.hpp>
#include <process/process.hpp>
#include <vfs/operations.hpp>

#include "root_mount.hpp"

namespace linnet::init {
namespace {

constexpr std::string_view usual_places[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};

struct Launch {
    ArrayList<std::string_view> arguments;
    ArrayList<std::string_view> environment;
};

Result<Launch> make_launch(const CommandLine& command_line) {
    Launch launch;
    TRY(launch.arguments.try_push("init"));
    for (std::string_view word : command_line.init_arguments) TRY(launch.arguments.try_push(word));
    TRY(launch.environment.try_push("HOME=/"));
    TRY(launch.environment.try_push("TERM=linux"));
    for (std::string_view word : command_line.environment) TRY(launch.environment.try_push(word));
    return launch;
}

Result<void> try_program(Launch& launch, std::string_view path) {
    launch.arguments[0] = path;
    auto started = process::create_init(path, launch.arguments.span(), launch.environment.span());
    if (!started) return error(started.error());
    core::log_info("Run {} as init process", path);
    return {};
}

/// Whether the initramfs decides what runs.
bool has_initramfs_program(const CommandLine& command_line) {
    Result<vfs::Path> program = vfs::lookup(command_line.rdinit);
    if (program) return true;
    if (command_line.rdinit_given)
        core::log_warning("check access for rdinit={} failed: -{}, ignoring", command_line.rdinit,
                          static_cast<int>(program.error()));
    return false;
}

} // namespace

void start_first_process(const CommandLine& command_line) {
    Launch launch = MUST(make_launch(command_line)); // at boot there is memory for a few words
    if (has_initramfs_program(command_line)) {
        Result<void> started = try_program(launch, command_line.rdinit);
        if (started) return;
        core::log_error("Failed to execute {} (error -{})", command_line.rdinit, static_cast<int>(started.error()));
    } else {
        mount_root(command_line.root);
    }
    if (!command_line.init.empty()) {
        Result<void> started = try_program(launch, command_line.init);
        if (started) return;
        core::panic("Requested init {} failed (error -{}).", command_line.init, static_cast<int>(started.error()));
    }
    for (std::string_view path : usual_places)
        if (try_program(launch, path)) return;
    core::panic("No working init found. Try passing init= option to kernel.");
}

} // namespace linnet::init
