/* Where there is no libFuzzer: runs the target once on each input of standard input (u32 size, bytes). */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(void) {
    static uint8_t data[1 << 16];
    uint32_t size;
    while (fread(&size, 1, sizeof size, stdin) == sizeof size) {
        if (size > sizeof data || fread(data, 1, size, stdin) != size) return 2;
        LLVMFuzzerTestOneInput(data, size);
    }
    return 0;
}
