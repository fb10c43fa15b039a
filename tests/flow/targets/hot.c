/* A native burner: main calls guilty_native, which never rests. */
#include <stdint.h>

static volatile uint64_t sink;

__attribute__((noinline)) void guilty_native(void) {
    for (uint64_t i = 0; i < 100000000; i++) sink += i * i;
}

int main(void) {
    for (;;) guilty_native();
}
