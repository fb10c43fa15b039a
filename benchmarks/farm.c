/* A farm of processes for pass_cost.py: farm IDLE BURNING
   IDLE children that pause for ever and BURNING children that spin 5 ms in every 100. All die with it.
   Prints "ready" when every child runs, then waits for the end of its standard input. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void burn(void)
{
    struct timespec rest = {0, 95000000};
    for (;;) {
        for (double end = now_s() + 0.005; now_s() < end;) {
        }
        nanosleep(&rest, NULL);
    }
}

int main(int argc, char **argv)
{
    int idle = argc > 1 ? atoi(argv[1]) : 0, burning = argc > 2 ? atoi(argv[2]) : 0;
    char end;
    for (int i = 0; i < idle + burning; i++) {
        pid_t child = fork();
        if (child < 0) {
            perror("fork");
            return 1;
        }
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (i >= idle)
                burn();
            for (;;)
                pause();
        }
    }
    puts("ready");
    fflush(stdout);
    return read(0, &end, 1) < 0;
}
