/* nRF51822 (BBC micro:bit v1, and QEMU's -M microbit) and nRF52833 (micro:bit v2): the peripherals used here have the same
   addresses and registers in both; pins and the size of a flash page differ. */
#include "board.h"
#include "sha2.h"

#ifdef NRF52833
enum { TX_PIN = 6, RX_PIN = 40, PAGE = 4096 };
const char board_name[] = "nRF52833";
#else
enum { TX_PIN = 24, RX_PIN = 25, PAGE = 1024 };
const char board_name[] = "nRF51822";
#endif
const uint32_t board_page_bytes = PAGE;

enum { RING = 512, BAUD_115200 = 0x01d7e000, UART_IRQ = 2 };

#define REGISTER(base, offset) (*(volatile uint32_t *)(uintptr_t)((base) + (offset)))
#define CLOCK(offset) REGISTER(0x40000000u, offset)
#define UART(offset) REGISTER(0x40002000u, offset)
#define TIMER(offset) REGISTER(0x40008000u, offset)
#define RNG(offset) REGISTER(0x4000d000u, offset)
#define NVMC(offset) REGISTER(0x4001e000u, offset)
#define NVIC_ENABLE REGISTER(0xe000e100u, 0)

enum { UART_STARTRX = 0x000, UART_STARTTX = 0x008, UART_RXDRDY = 0x108, UART_TXDRDY = 0x11c, UART_INTENSET = 0x304 };
enum { UART_ENABLE = 0x500, UART_PSELTXD = 0x50c, UART_PSELRXD = 0x514, UART_RXD = 0x518, UART_TXD = 0x51c };
enum { UART_BAUDRATE = 0x524, UART_ERROR = 0x124, UART_ERRORSRC = 0x480, UART_INTENCLR = 0x308 };
enum { RXDRDY_INTERRUPT = 1 << 2 };
enum { TIMER_START = 0x000, TIMER_CAPTURE = 0x040, TIMER_BITMODE = 0x508, TIMER_PRESCALER = 0x510, TIMER_CC = 0x540 };
enum { RNG_START = 0x000, RNG_STOP = 0x004, RNG_VALRDY = 0x100, RNG_CONFIG = 0x504, RNG_VALUE = 0x508 };
enum { NVMC_READY = 0x400, NVMC_CONFIG = 0x504, NVMC_ERASEPAGE = 0x508, READ = 0, WRITE = 1, ERASE = 2 };
enum { CLOCK_HFCLKSTART = 0x000, CLOCK_HFCLKSTARTED = 0x100 };

/* From the linker script. */
extern uint8_t image_start[], image_end[], state_pages[], factory_page[];

/* Filled by the interrupt, so that nothing is lost while a signature is made. When it is full, bytes wait in the UART, and
   after six of them the line loses some: the checksum of their frame then says so. */
static struct {
    volatile uint32_t in, out;
    uint8_t bytes[RING];
} ring;

void uart_interrupt(void) {
    while (UART(UART_RXDRDY) && ring.in - ring.out < RING) {
        UART(UART_RXDRDY) = 0;
        ring.bytes[ring.in++ % RING] = (uint8_t)UART(UART_RXD);
    }
    if (ring.in - ring.out == RING) UART(UART_INTENCLR) = RXDRDY_INTERRUPT;
    UART(UART_ERROR) = 0;
    UART(UART_ERRORSRC) = UART(UART_ERRORSRC);
}

void board_start(void) {
    CLOCK(CLOCK_HFCLKSTART) = 1; /* the crystal: the internal clock is too far off for a serial line and for ranging */
    while (!CLOCK(CLOCK_HFCLKSTARTED)) {}
    TIMER(TIMER_BITMODE) = 3;   /* 32 bits */
    TIMER(TIMER_PRESCALER) = 4; /* 16 MHz / 2^4 */
    TIMER(TIMER_START) = 1;
    UART(UART_PSELTXD) = TX_PIN;
    UART(UART_PSELRXD) = RX_PIN;
    UART(UART_BAUDRATE) = BAUD_115200;
    UART(UART_ENABLE) = 4;
    UART(UART_STARTTX) = 1;
    UART(UART_STARTRX) = 1;
    UART(UART_INTENSET) = RXDRDY_INTERRUPT;
    NVIC_ENABLE = 1 << UART_IRQ;
}

const uint8_t *board_page(unsigned page) { return state_pages + page * PAGE; }

const void *board_factory(void) { return factory_page; }

static void nvmc(uint32_t mode) {
    NVMC(NVMC_CONFIG) = mode;
    while (!NVMC(NVMC_READY)) {}
}

void board_erase(unsigned page) {
    nvmc(ERASE);
    NVMC(NVMC_ERASEPAGE) = (uint32_t)(uintptr_t)board_page(page);
    while (!NVMC(NVMC_READY)) {}
    nvmc(READ);
}

void board_write(unsigned page, uint32_t offset, uint32_t word) {
    nvmc(WRITE);
    *(volatile uint32_t *)(uintptr_t)(board_page(page) + offset) = word;
    while (!NVMC(NVMC_READY)) {}
    nvmc(READ);
}

void board_random(uint8_t *out, size_t size) {
    RNG(RNG_CONFIG) = 1; /* without the bias of the source */
    RNG(RNG_START) = 1;
    for (size_t i = 0; i < size; i++) {
        RNG(RNG_VALRDY) = 0;
        while (!RNG(RNG_VALRDY)) {}
        out[i] = (uint8_t)RNG(RNG_VALUE);
    }
    RNG(RNG_STOP) = 1;
}

uint64_t board_us(void) {
    static uint64_t now;
    TIMER(TIMER_CAPTURE) = 1;
    /* The counter wraps each 71 minutes; the main loop asks each second and more often. */
    now += (uint32_t)(TIMER(TIMER_CC) - (uint32_t)now);
    return now;
}

void board_measure(uint8_t out[DIGEST_BYTES]) {
    struct sha256 hash;
    sha256_start(&hash);
    sha256_add(&hash, image_start, (size_t)(image_end - image_start));
    sha256_end(&hash, out);
}

bool board_get(uint8_t *byte) {
    if (ring.in == ring.out) return false;
    *byte = ring.bytes[ring.out % RING];
    ring.out++;
    UART(UART_INTENSET) = RXDRDY_INTERRUPT;
    return true;
}

void board_put(uint8_t byte) {
    UART(UART_TXDRDY) = 0;
    UART(UART_TXD) = byte;
    while (!UART(UART_TXDRDY)) {}
}
