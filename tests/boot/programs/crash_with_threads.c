// Four threads that stand in functions of their own while the first one crashes: for a debugger that looks at the core.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void stand_still(int number) {
    volatile int kept = number * 111;
    pthread_barrier_wait(&barrier);
    while (kept) pause();
}
static void inner(int number) { stand_still(number); }
static void* outer(void* number) {
    inner(*(int*)number);
    return NULL;
}

static void crash_here(int* nowhere) { *nowhere = 42; }

int main(void) {
    static int numbers[4] = {1, 2, 3, 4};
    pthread_barrier_init(&barrier, NULL, 5);
    for (int i = 0; i < 4; ++i) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, outer, &numbers[i]) != 0) abort();
    }
    pthread_barrier_wait(&barrier);
    crash_here(NULL);
    return 0;
}
