// Unwinding out of a signal's frame: a thread that is cancelled while it blocks or while it runs runs its cleanup
// handlers, the innermost first, and ends as cancelled (pthread_cancel(3), pthread_cleanup_push(3)); a backtrace from a
// handler passes through the interrupted function on to its callers.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>

#include "check.hpp"

using namespace check;

namespace {

int pipe_ends[2];
std::atomic<int> ready;
int order[4], cleaned;

void clean(void* which) { order[cleaned++] = int(long(which)); }

void run_for_ever() {
    for (;;) asm volatile("");
}

// Called so that the compiler expects the call to be unwound.
void (*volatile busy)() = run_for_ever;

[[gnu::noinline]] void block(void* asynchronous) {
    pthread_cleanup_push(clean, reinterpret_cast<void*>(2));
    int was = -1;
    if (asynchronous) CHECK_EQ(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &was), 0);
    ready = 1;
    char byte;
    if (asynchronous)
        busy();
    else
        CHECK_EQ(read(pipe_ends[0], &byte, 1), 0); // never returns
    pthread_cleanup_pop(0);
}

void* to_be_cancelled(void* asynchronous) {
    pthread_cleanup_push(clean, reinterpret_cast<void*>(1));
    block(asynchronous);
    pthread_cleanup_pop(0);
    return nullptr;
}

void cancelled(bool asynchronous) {
    ready = 0;
    cleaned = 0;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, to_be_cancelled, asynchronous ? &ready : nullptr), 0);
    while (!ready) usleep(1000);
    CHECK_EQ(pthread_cancel(thread), 0);
    void* left = nullptr;
    CHECK_EQ(pthread_join(thread, &left), 0);
    CHECK(left == PTHREAD_CANCELED);
    CHECK_EQ(cleaned, 2);
    CHECK_EQ(order[0], 2);
    CHECK_EQ(order[1], 1);
}

uintptr_t outer_function;
bool passed_outer;

void look_back(int) {
    _Unwind_Backtrace(
        [](_Unwind_Context* frame, void*) {
            if (_Unwind_GetRegionStart(frame) == outer_function) passed_outer = true;
            return _URC_NO_REASON;
        },
        nullptr);
}

[[gnu::noinline]] void inner() {
    CHECK_OK(raise(SIGUSR1));
    asm volatile("");
}

[[gnu::noinline]] void outer() {
    inner();
    asm volatile("");
}

void backtrace() {
    struct sigaction action = {};
    action.sa_handler = look_back;
    CHECK_OK(sigaction(SIGUSR1, &action, nullptr));
    outer_function = uintptr_t(outer);
    outer();
    CHECK(passed_outer);
}

} // namespace

int main() {
    CHECK_OK(pipe(pipe_ends));
    cancelled(false);
#ifndef __loongarch__ // there libgcc does not find the caller of an interrupted function that has no frame, on Linux
                      // either
    cancelled(true);
#endif
    backtrace();
    return result();
}
