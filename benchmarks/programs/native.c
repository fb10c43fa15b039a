/* A library whose planted_native burns for so many seconds, printing "PID ROUNDS" ten times a second. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

long planted_native(int seconds) {
  double end = now_s() + seconds, told = 0;
  uint64_t seed = 1;
  for (long rounds = 1;; rounds++) {
    for (int i = 0; i < 4000000; i++) seed = seed * 6364136223846793005u + (seed >> 7);
    double now = now_s();
    if (now >= end) return (long)(seed & 1);
    if (now - told < 0.1) continue;
    dprintf(1, "%d %ld\n", (int)getpid(), rounds);
    told = now;
  }
}
