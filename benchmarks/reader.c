/* The yardstick of pass_cost.py: what a pass costs in C. reader PASSES GAP_MS
   The same work as monitord's own: one readdir of /proc, one pread of a cached /proc/PID/stat for each
   process, nothing more where the bytes are unchanged, else utime, stime and rss are parsed.
   Prints the CPU milliseconds of each pass, one per line. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PIDS (1 << 22)
#define LINE 478

struct entry {
    int fd, length;
    unsigned pass;
    unsigned long long utime, stime;
    long long rss;
    char raw[LINE];
};

static struct entry **entries;
static int *known, known_count, known_room;
static unsigned pass_number;

static void parse(struct entry *e)
{
    char *at = memrchr(e->raw, ')', e->length);
    if (!at)
        return;
    for (int field = 2; field < 24 && at; field++) {
        at = memchr(at + 1, ' ', e->raw + e->length - at - 1);
        if (field == 13 && at)
            e->utime = strtoull(at, NULL, 10);
        else if (field == 14 && at)
            e->stime = strtoull(at, NULL, 10);
        else if (field == 23 && at)
            e->rss = strtoll(at, NULL, 10);
    }
}

static struct entry *meet(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct entry *e = calloc(1, sizeof *e);
    e->fd = fd;
    if (known_count == known_room) {
        known_room = known_room ? known_room * 2 : 1024;
        known = realloc(known, known_room * sizeof *known);
    }
    known[known_count++] = pid;
    return entries[pid] = e;
}

static void forget(int index)
{
    int pid = known[index];
    close(entries[pid]->fd);
    free(entries[pid]);
    entries[pid] = NULL;
    known[index] = known[--known_count];
}

static void one_pass(void)
{
    char buffer[LINE];
    DIR *proc = opendir("/proc");
    struct dirent *row;
    pass_number++;
    while ((row = readdir(proc))) {
        if (!isdigit((unsigned char)row->d_name[0]))
            continue;
        int pid = atoi(row->d_name);
        struct entry *e = entries[pid] ? entries[pid] : meet(pid);
        if (!e)
            continue;
        int length = pread(e->fd, buffer, LINE, 0);
        if (length <= 0)
            continue;
        e->pass = pass_number;
        if (length != e->length || memcmp(buffer, e->raw, length)) {
            memcpy(e->raw, buffer, length);
            e->length = length;
            parse(e);
        }
    }
    closedir(proc);
    for (int i = known_count - 1; i >= 0; i--)
        if (entries[known[i]]->pass != pass_number)
            forget(i);
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    int passes = argc > 1 ? atoi(argv[1]) : 5, gap_ms = argc > 2 ? atoi(argv[2]) : 1000;
    struct timespec gap = {gap_ms / 1000, gap_ms % 1000 * 1000000L};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    entries = calloc(PIDS, sizeof *entries);
    for (int i = 0; i < passes; i++) {
        double before = cpu_ms();
        one_pass();
        printf("%.4f\n", cpu_ms() - before);
        fflush(stdout);
        nanosleep(&gap, NULL);
    }
    return 0;
}
