// Which program becomes PID 1: rdinit= or /init of the initramfs, else init=, else the usual places (Linux's order).
#include "first_process.hpp"

#include <core/log.hpp>
#include <core/panic.hpp>
#include <process/process.hpp>

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

} // namespace

void start_first_process(const CommandLine& command_line) {
    Launch launch = MUST(make_launch(command_line)); // at boot there is memory for a few words
    Result<void> started = try_program(launch, command_line.rdinit);
    if (started) return;
    if (command_line.rdinit_given)
        core::panic("Requested init {} failed (error {}).", command_line.rdinit, started.error());
    if (!command_line.init.empty()) {
        started = try_program(launch, command_line.init);
        if (started) return;
        core::panic("Requested init {} failed (error {}).", command_line.init, started.error());
    }
    for (std::string_view path : usual_places)
        if (try_program(launch, path)) return;
    core::panic("No working init found. Try passing init= option to kernel.");
}

} // namespace linnet::init
