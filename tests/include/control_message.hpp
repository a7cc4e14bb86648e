// Sending and receiving control messages of Unix-domain sockets (cmsg(3)).
#pragma once

#include <initializer_list>
#include <sys/socket.h>

#include "check.hpp"

namespace check {

inline ssize_t send_control(int fd, const char* text, int type, const void* data, size_t size, int flags = 0) {
    alignas(8) static thread_local char control[CMSG_SPACE(300 * sizeof(int))];
    memset(control, 0, sizeof control);
    iovec vector = {const_cast<char*>(text), strlen(text)};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), data, size);
    return sendmsg(fd, &message, flags);
}
inline ssize_t send_files(int fd, const char* text, const int* files, size_t count, int flags = 0) {
    return send_control(fd, text, SCM_RIGHTS, files, count * sizeof(int), flags);
}
inline ssize_t send_files(int fd, const char* text, std::initializer_list<int> files, int flags = 0) {
    return send_files(fd, text, files.begin(), files.size(), flags);
}
inline ssize_t send_credentials(int fd, ucred who) { return send_control(fd, "x", SCM_CREDENTIALS, &who, sizeof who); }

/// One recvmsg(2) with room for so many bytes and files (and credentials, where there is room for any file).
struct Received {
    Received(int fd, size_t bytes, size_t file_count, int how = 0) {
        iovec vector = {text, bytes};
        message.msg_iov = &vector;
        message.msg_iovlen = 1;
        message.msg_control = control;
        int wants_credentials = 0;
        socklen_t length = sizeof wants_credentials;
        getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &wants_credentials, &length);
        message.msg_controllen = file_count ? CMSG_LEN(file_count * sizeof(int)) : 0;
        if (wants_credentials) message.msg_controllen += CMSG_SPACE(sizeof(ucred));
        size = recvmsg(fd, &message, how);
        flags = message.msg_flags;
        used = message.msg_controllen;
    }
    const cmsghdr* find(int type) {
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
            if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == type) return header;
        return nullptr;
    }
    /// How many files came; their numbers.
    int files(int* numbers) {
        const cmsghdr* header = find(SCM_RIGHTS);
        if (!header) return 0;
        const size_t bytes = header->cmsg_len - CMSG_LEN(0);
        memcpy(numbers, CMSG_DATA(header), bytes);
        return int(bytes / sizeof(int));
    }
    bool credentials(ucred& who) {
        const cmsghdr* header = find(SCM_CREDENTIALS);
        if (header) memcpy(&who, CMSG_DATA(header), sizeof who);
        return header != nullptr;
    }

    msghdr message = {};
    char text[64];
    alignas(8) char control[CMSG_SPACE(300 * sizeof(int))] = {};
    ssize_t size;
    int flags;
    size_t used;
};

} // namespace check
