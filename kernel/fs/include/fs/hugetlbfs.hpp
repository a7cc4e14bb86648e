// hugetlbfs: files whose pages are of the pool of huge pages (mm/huge_pool.hpp). It can't be mounted: its files are
// those of memfd_create(2) with MFD_HUGETLB.
#pragma once

#include <vfs/file.hpp>

namespace linnet::fs {

/// Makes the home of the files; after vfs::initialise().
Result<void> initialise_hugetlbfs();

/// An unnamed file. `name` for display: "/memfd:NAME".
Result<RefPtr<vfs::File>> create_huge_memory_file(std::string_view name, u32 flags);

} // namespace linnet::fs
