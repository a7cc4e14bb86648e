// Helpers for tests of System V semaphores.
#pragma once

#include <ctime>
#include <initializer_list>
#include <sys/ipc.h>
#include <sys/sem.h>

#include "asleep.hpp"
#include "numbered_child.hpp"

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

namespace semaphores {

using Step = sembuf;
constexpr short undo = SEM_UNDO, no_wait = IPC_NOWAIT;

inline Step step(int number, int change, int flags = 0) {
    return {(unsigned short)number, short(change), short(flags)};
}

inline int make(int count, int flags = 0600, key_t key = IPC_PRIVATE) {
    const int id = semget(key, count, IPC_CREAT | flags);
    CHECK(id >= 0);
    return id;
}
inline void remove(int id) { CHECK_EQ(semctl(id, 0, IPC_RMID), 0); }
inline int operate(int id, std::initializer_list<Step> steps) {
    Step copy[64];
    size_t count = 0;
    for (const Step& each : steps) copy[count++] = each;
    return semop(id, copy, count);
}
inline int value(int id, int number = 0) { return semctl(id, number, GETVAL); }
inline int last_pid(int id, int number = 0) { return semctl(id, number, GETPID); }
inline void set(int id, int number, int value) { CHECK_EQ(semctl(id, number, SETVAL, value), 0); }
inline semid_ds status(int id) {
    semid_ds data{};
    CHECK_EQ(semctl(id, 0, IPC_STAT, &data), 0);
    return data;
}
/// Waits until so many wait at the semaphore for it to grow, or to be 0.
inline bool waiting(int id, int number, int count, int command = GETNCNT) {
    return check::eventually([&] { return semctl(id, number, command) == count; });
}

/// A child that does one operation; its errno (0: done) is its exit status.
inline pid_t child(int id, std::initializer_list<Step> steps) {
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) _exit(operate(id, steps) == 0 ? 0 : errno);
    return pid;
}
using check::outcome;

} // namespace semaphores
