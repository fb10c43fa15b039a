/* Waits in vfork() for a child that only sleeps: meanwhile it is in uninterruptible sleep (state D). */
#include <unistd.h>

int main(void)
{
    if (vfork() == 0) {
        sleep(120);
        _exit(0);
    }
    return 0;
}
