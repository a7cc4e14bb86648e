// Three threads beside the first, each asleep in a function of its own depth. With an argument they all wait for ever, else
// until the first lets them go.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_barrier_t all_there;
static int gate[2];
int finished;

static void wait_here(int number) {
    char letter;
    pthread_barrier_wait(&all_there);
    if (read(gate[0], &letter, 1) == 1) __atomic_add_fetch(&finished, number, __ATOMIC_SEQ_CST);
}

static void descend(int number, int depth) {
    if (depth == 0)
        wait_here(number);
    else
        descend(number, depth - 1);
}

static void *run(void *argument) {
    int number = (int)(long)argument;
    descend(number, number);
    return NULL;
}

static void let_go(void) {
    if (write(gate[1], "abc", 3) != 3) _exit(1);
}

int main(int count, char **words) {
    pthread_t threads[3];
    if (pipe(gate) != 0) return 1;
    pthread_barrier_init(&all_there, NULL, 4);
    for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, run, (void *)(i + 1));
    pthread_barrier_wait(&all_there);
    if (count > 1) {
        puts(words[1]);
        fflush(stdout);
        pause();
    }
    let_go();
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    printf("finished %d\n", finished);
    return 0;
}
