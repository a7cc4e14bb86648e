// A child by fork, one by vfork that executes a program, and a program executed in the end: what debuggers follow.
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int in_child;

static int work_of_child(int number) {
    in_child = number;
    return number + 1;
}

int main(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(work_of_child(6));
    waitpid(child, &status, 0);
    printf("forked: %d\n", WEXITSTATUS(status));
    fflush(stdout);
    child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    printf("vforked: %d\n", WEXITSTATUS(status));
    fflush(stdout);
    execl("/bin/echo", "echo", "executed", (char *)NULL);
    return 127;
}
