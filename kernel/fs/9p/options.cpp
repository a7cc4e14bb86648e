// Parsing the options.
#include "options.hpp"

namespace linnet::fs {

namespace {

Result<u32> parse_number(std::string_view text) {
    u64 value = 0;
    if (text.empty()) return error(Errno::EINVAL);
    for (const char digit : text) {
        if (digit < '0' || digit > '9') return error(Errno::EINVAL);
        value = value * 10 + static_cast<u64>(digit - '0');
        if (value > ~u32{0}) return error(Errno::EINVAL);
    }
    return static_cast<u32>(value);
}

} // namespace

Result<void> P9Options::parse(std::string_view text) {
    while (!text.empty()) {
        const usize end = text.find(',');
        const std::string_view word = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        const usize equals = word.find('=');
        const std::string_view key = word.substr(0, equals);
        const std::string_view value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
        if (key == "msize") {
            message_size = TRY(parse_number(value));
            if (message_size < p9::Client::least_message) return error(Errno::EINVAL);
        } else if (key == "uname") {
            user = value;
        } else if (key == "aname") {
            tree = value;
        } else if (word == "cache=mmap") {
            maps_writable = true;
        } else if (word == "cache=none") {
            maps_writable = false;
        } else if (word.empty() || word == "trans=virtio" || word == "version=9p2000.L" || word == "access=client" ||
                   word == "access=any") {
            // What is the case anyway: one user asks the server, and permissions are checked here.
        } else {
            return error(Errno::EINVAL);
        }
    }
    return {};
}

} // namespace linnet::fs
