// SPDX-License-Identifier: MIT
// What libFuzzer calls.
#include "fuzz_segment.h"

#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    // The view depends on all bytes: most changes try another one, and the same bytes the same one again.
    uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (size_t i = 0; i < size; ++i)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    int fd = segment_file(bytes, size);
    show_segment(fd, static_cast<unsigned>(hash >> 32));
    close(fd);
    return 0;
}
