// memfd_secret(2): memory that only those who map it can see.
#pragma once

#include <vfs/file.hpp>

namespace linnet::vfs {

/// An open file on fresh secret memory of size 0.
Result<RefPtr<File>> create_secret_file();

} // namespace linnet::vfs
