// Process accounting (acct(2), acct(5)): a record of each process that ends, in a file.
#pragma once

#include <lib/result.hpp>
#include <string_view>

namespace linnet::vfs {
class Mount;
}

namespace linnet::process {

/// Records go to the end of this file from now on, and no longer to another one. EACCES unless it is a regular file;
/// errors of opening it for writing.
Result<void> start_accounting(std::string_view path);
void stop_accounting();
/// The same, if the file was found through this mount, which has been unmounted.
void stop_accounting_through(const vfs::Mount& mount);

/// /proc/sys/kernel/acct. At boot.
Result<void> register_accounting_knob();

} // namespace linnet::process
