/* A storm of children, each some milliseconds of work: nobody of them lives long enough to be seen. */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t planted_child(uint64_t seed) {
  for (int i = 0; i < 12000000; i++) seed = seed * 6364136223846793005u + (seed >> 7);
  return seed;
}

int main(void) {
  char line;
  if (write(1, "ready\n", 6) < 0) return 1;
  while (read(0, &line, 1) == 1 && line != '\n') continue;
  time_t end = time(NULL) + 60;
  for (unsigned long born = 1; time(NULL) < end; born++) {
    pid_t child = fork();
    if (child == 0) _exit((int)(planted_child(born) & 1));
    waitpid(child, NULL, 0);
    if (born % 8 == 0) dprintf(1, "%d %lu\n", (int)getpid(), born);
  }
  return 0;
}
