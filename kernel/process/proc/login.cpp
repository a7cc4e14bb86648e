// /proc/PID/loginuid and sessionid: who has logged in, for all that comes of that login (pam_loginuid(8)). A login
// program sets the first once, for itself, and by that begins a session; children inherit both.
#include "task.hpp"

#include <process/thread.hpp>
#include <vfs/credentials.hpp>
#include <vfs/current.hpp>
#include <vfs/pseudo/node.hpp>

namespace linnet::process::proc {

namespace {

constexpr u32 nobody_yet = Thread::no_login;
constinit std::atomic<u32> last_session{0};

} // namespace

Result<void> show_loginuid(const Task& task, TextSink sink) {
    format_to(sink, "{}", task.thread->login_user.load(std::memory_order_relaxed));
    return {};
}

Result<void> show_sessionid(const Task& task, TextSink sink) {
    format_to(sink, "{}", task.thread->login_session.load(std::memory_order_relaxed));
    return {};
}

Result<void> store_loginuid(const Task& task, std::string_view text) {
    Thread& self = current();
    if (task.thread.get() != &self) return error(Errno::EPERM);
    const u32 user = static_cast<u32>(TRY(vfs::pseudo::parse_number(text, nobody_yet)));
    const bool is_free = self.login_user.load(std::memory_order_relaxed) == nobody_yet;
    if (!is_free && !vfs::current_credentials().has(vfs::Capability::AuditControl)) return error(Errno::EPERM);
    u32 session = nobody_yet;
    while (user != nobody_yet && session == nobody_yet) session = last_session.fetch_add(1) + 1;
    self.login_user.store(user, std::memory_order_relaxed);
    self.login_session.store(session, std::memory_order_relaxed);
    return {};
}

} // namespace linnet::process::proc
