/* Burns a core for argv[1] seconds of CPU, below twelve frames, and prints how many rounds it made in each of them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
static double used_s(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + t.tv_nsec / 1e9; }
__attribute__((noinline, noclone)) unsigned long work(double seconds) {
    unsigned long rounds = 0;
    for (double end = used_s() + seconds; used_s() < end; rounds++) for (unsigned i = 0; i < 20000; i++) sink += i * i;
    return rounds;
}
__attribute__((noinline, noclone)) unsigned long deep(int depth, double seconds) {
    unsigned long rounds = depth ? deep(depth - 1, seconds) : work(seconds);
    sink++;
    return rounds;
}
int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    printf("%.1f\n", deep(12, seconds) / seconds);
    return 0;
}
