// A function that the compiler puts into two others, so that its name stands for two places.
#include <stdio.h>

static int sum;

static inline __attribute__((always_inline)) void twice(int value) {
    sum += value;
}

__attribute__((noinline)) static void once_more(void) {
    twice(20);
}

int main(void) {
    twice(1);
    for (int i = 0; i < 3; ++i) once_more();
    printf("%d\n", sum);
    return 0;
}
