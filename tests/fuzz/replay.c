/* Runs a fuzz target on each file given, for builds without libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The target gets a copy of just the right size, so that reading past it shows. */
static int replay(const char *path)
{
    static uint8_t input[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t size = fread(input, 1, sizeof input, f);
    fclose(f);
    uint8_t *copy = malloc(size + !size);
    for (size_t i = 0; i < size; i++)
        copy[i] = input[i];
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%d inputs replayed\n", argc - 1);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
