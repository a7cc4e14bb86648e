// What uname(2) tells, with the names that can be set.
#pragma once

#include <abi/linux/utsname.hpp>
#include <lib/result.hpp>
#include <string_view>

namespace linnet::process {

/// All fields as of now.
abi::new_utsname system_name();
/// At most abi::utsname_length bytes; longer: EINVAL.
Result<void> set_host_name(std::string_view name);
Result<void> set_domain_name(std::string_view name);

} // namespace linnet::process
