/* From reset to main: memory is set up, the stack painted so that its depth can be read, and faults stop the chip. */
#include <stdint.h>

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_low[], stack_top[];

enum { PAINT = 0x5a5a5a5a };

int main(void);
void board_start(void);
void uart_interrupt(void);
void reset(void);

static void stop(void) {
    for (;;) {}
}

__attribute__((noreturn)) void reset(void) {
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; to++) *to = *from++;
    for (volatile uint32_t *to = bss_start; to < bss_end; to++) *to = 0;
    /* Up to a little below our own frame. */
    uint32_t here;
    for (volatile uint32_t *to = stack_low; to + 16 < (uint32_t *)&here; to++) *to = PAINT;
    board_start();
    (void)main();
    for (;;) {}
}

/* 16 system vectors, then the interrupts: UART is number 2. */
__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))stack_top, reset, stop, stop, stop, stop, stop, stop, stop, stop, stop, stop, stop, stop, stop, stop,
    stop, stop, uart_interrupt,
};
