// acct(2).
#include <process/accounting.hpp>
#include <syscalls/process.hpp>
#include <vfs/credentials.hpp>

#include "path_argument.hpp"

namespace linnet::syscalls {

Result<long> sys_acct(process::Thread& thread, mm::UserString name) {
    if (!thread.own_credentials().has(vfs::Capability::SysPacct)) return error(Errno::EPERM);
    if (name.is_null()) {
        process::stop_accounting();
        return 0;
    }
    UserPath path;
    TRY(path.copy_in(name));
    TRY(process::start_accounting(path.text()));
    return 0;
}

} // namespace linnet::syscalls
