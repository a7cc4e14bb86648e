// Calls, a loop and variables: for breakpoints, steps and watchpoints. Ends with 3.
#include <stdio.h>

struct pair {
    int first;
    long second;
};

int total;
struct pair kept = {1, 2};

static int square(int number) {
    int result = number * number;
    return result;
}

static int add(int from, int count) {
    int sum = from;
    for (int i = 0; i < count; i++) {
        sum += square(i);
        total = sum;
    }
    return sum;
}

int twice(int number) { return 2 * number; }

int main(void) {
    int first = add(1, 4);
    kept.second = first;
    int second = twice(first);
    printf("%d %d %ld\n", first, second, kept.second);
    fflush(stdout);
    return second % 9;
}
