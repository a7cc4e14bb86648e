// Helpers for tests of System V message queues.
#pragma once

#include <sys/ipc.h>
#include <sys/msg.h>

#include "asleep.hpp"
#include "numbered_child.hpp"

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

namespace message_queues {

struct Text {
    long type;
    char bytes[16384];
};

inline int make(int flags = 0600, key_t key = IPC_PRIVATE) {
    const int id = msgget(key, IPC_CREAT | flags);
    CHECK(id >= 0);
    return id;
}
inline void remove(int id) { CHECK_EQ(msgctl(id, IPC_RMID, nullptr), 0); }
/// A message of `size` bytes that begins with `number`.
inline int send(int id, long type, int number, size_t size = sizeof(int), int flags = IPC_NOWAIT) {
    static thread_local Text text;
    text.type = type;
    memcpy(text.bytes, &number, sizeof number);
    return msgsnd(id, &text, size, flags);
}
/// The number at the beginning of the message received; -1 and errno otherwise.
inline int receive(int id, long type = 0, int flags = IPC_NOWAIT, size_t size = sizeof(Text::bytes),
                   long* got_type = nullptr) {
    static thread_local Text text;
    if (msgrcv(id, &text, size, type, flags) < 0) return -1;
    if (got_type) *got_type = text.type;
    int number;
    memcpy(&number, text.bytes, sizeof number);
    return number;
}
inline msqid_ds status(int id) {
    msqid_ds data{};
    CHECK_EQ(msgctl(id, IPC_STAT, &data), 0);
    return data;
}

using check::outcome;

/// See check::numbered_child().
template <typename F>
pid_t child(F body) {
    return check::numbered_child(body);
}

} // namespace message_queues
