/* Spikes in planted_hot. Says "ready", waits for a line, prints "PID ROUNDS" ten times a second.
   `burner PROGRAM`: on SIGUSR1 it becomes PROGRAM, whose spike goes on at once (its argument is "-"). */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#ifndef PLANTED
#define PLANTED planted_hot
#endif

static char *next_program;

static void become(int number) {
  (void)number;
  char *words[] = {next_program, "-", NULL};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL); /* exec keeps the mask that the handler runs under */
  execv(next_program, words);
}

__attribute__((noinline)) uint64_t PLANTED(uint64_t seed) {
  for (int i = 0; i < 4000000; i++) seed = seed * 6364136223846793005u + (seed >> 7);
  return seed;
}

int main(int count, char **words) {
  int goes_on = count > 1 && words[1][0] == '-';
  if (count > 1 && !goes_on) {
    next_program = words[1];
    signal(SIGUSR1, become);
  }
  if (!goes_on) {
    if (write(1, "ready\n", 6) < 0) return 1;
    char line;
    while (read(0, &line, 1) == 1 && line != '\n') continue;
  }
  uint64_t seed = 1;
  unsigned long rounds = 0;
  struct timespec start, now, told = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    seed = PLANTED(seed);
    rounds++;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - told.tv_sec) * 1000 + (now.tv_nsec - told.tv_nsec) / 1000000 >= 100) {
      dprintf(1, "%d %lu\n", (int)getpid(), rounds);
      told = now;
    }
  } while (now.tv_sec - start.tv_sec < 60);
  return seed == 42;
}
