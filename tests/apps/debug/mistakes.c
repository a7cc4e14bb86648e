// What memcheck is there to find: a write behind a block, a branch on memory that was never set, a block that is lost.
#include <stdio.h>
#include <stdlib.h>

static void write_behind(void) {
    char *block = malloc(10);
    block[10] = 'x';
    free(block);
}

static int branch_on_garbage(void) {
    int *block = malloc(sizeof *block);
    int answer = 1;
    if (*block == 77) answer = 2;
    free(block);
    return answer;
}

static void lose(void) {
    char *volatile block = malloc(123);
    *block = 1;
}

int main(void) {
    write_behind();
    int answer = branch_on_garbage();
    lose();
    printf("%d\n", answer > 0);
    return 0;
}
