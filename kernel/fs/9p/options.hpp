// mount(2)'s options of 9p, as the kernel's documentation of Linux names them.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <p9/client.hpp>
#include <string_view>

namespace linnet::fs {

struct P9Options {
    u32 message_size = p9::Client::usual_message;
    /// cache=mmap: shared mappings may be written to. Nothing else is kept with either.
    bool maps_writable = false;
    std::string_view user = "nobody"; // both belong to the text that was parsed
    std::string_view tree;
    /// EINVAL for an unknown word, or what is not there (other transports, protocols, ways to cache or to check
    /// access).
    Result<void> parse(std::string_view text);
};

} // namespace linnet::fs
