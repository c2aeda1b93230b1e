// SPDX-License-Identifier: MIT
// What the fuzzer does, for every compiler. Usage:
//
//   fuzz_replay [FILE...]            shows the seeds, 20000 changed ones, and those files
//   fuzz_replay --rewrite SECONDS    shows segments that are rewritten all the time while they are read
//   fuzz_replay --write FOLDER       writes the seeds, for libFuzzer
#include "fuzz_segment.h"

#include "stat_layout.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace {

using random_numbers = std::mt19937_64;

// Values at which something happens, as often as any.
uint64_t interesting(random_numbers &random, size_t size)
{
    const uint64_t values[] = {0,        1,        2,          3,          8,
                               64,       128,      8191,       8192,       size - 8,
                               size,     size + 8, 0x7fffffff, 0x80000000, 0xffffffff,
                               ~0ull,    ~7ull,    1ull << 62, 1ull << 63, random() % (size + 1),
                               random(), random()};
    return values[random() % std::size(values)];
}

void change(std::vector<uint8_t> &bytes, random_numbers &random)
{
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
        // Half of them in the header, which is a small part.
        size_t length = random() % 2 == 0 ? sizeof(pw::stat::header) : bytes.size();
        size_t width = random() % 2 == 0 ? 8 : 4, place = random() % (length / width) * width;
        uint64_t value = interesting(random, bytes.size());
        memcpy(&bytes[place], &value, width);
    }
    if (random() % 16 == 0)
        bytes.resize(random() % bytes.size());
}

bool show_bytes(const std::vector<uint8_t> &bytes, unsigned first_view, unsigned last_view)
{
    int fd = segment_file(bytes.data(), bytes.size());
    bool shown = false;
    for (unsigned view = first_view; view <= last_view; ++view)
        shown = show_segment(fd, view);
    close(fd);
    return shown;
}

int replay(int files, char **names)
{
    std::vector<seed> seeds = make_seeds();
    for (const seed &each : seeds)
        if (!show_bytes(each.bytes, 0, views - 1)) {
            fprintf(stderr, "fuzz_replay: the seed %s is refused\n", each.name.c_str());
            return 1;
        }
    random_numbers random(20261130);
    int shown = 0, refused = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::vector<uint8_t> bytes = seeds[random() % seeds.size()].bytes;
        change(bytes, random);
        unsigned view = static_cast<unsigned>(random());
        ++(show_bytes(bytes, view, view) ? shown : refused);
    }
    for (int i = 0; i < files; ++i) {
        std::ifstream file(names[i], std::ios::binary);
        std::vector<uint8_t> bytes(std::istreambuf_iterator<char>(file), {});
        if (!file) {
            fprintf(stderr, "fuzz_replay: %s: cannot be read\n", names[i]);
            return 1;
        }
        show_bytes(bytes, 0, views - 1);
    }
    printf("%zu seeds, %d files; of changed seeds %d shown, %d refused\n", seeds.size(), files, shown,
           refused);
    return shown > 100 && refused > 100 ? 0 : 1; // or only one of the two would have been tried
}

// One thread writes all over the file, as its process may; this one reads it.
int rewrite(int seconds)
{
    std::vector<seed> seeds = make_seeds();
    size_t size = 0;
    for (const seed &each : seeds)
        size = std::max(size, each.bytes.size());
    std::vector<uint8_t> first = seeds.back().bytes;
    first.resize(size);
    int fd = segment_file(first.data(), first.size());
    void *mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "fuzz_replay: cannot map: %s\n", strerror(errno));
        return 1;
    }
    std::atomic<bool> enough = false;
    std::thread writer([&] {
        random_numbers random(1);
        auto *bytes = static_cast<uint8_t *>(mapped);
        while (!enough) {
            const std::vector<uint8_t> &whole = seeds[random() % seeds.size()].bytes;
            memcpy(bytes, whole.data(), whole.size());
            // What stands in the tables for longer than what says where they are: nobody reads on if that is
            // wrong.
            for (int i = 0; i < 50; ++i) {
                size_t place = random() % (size / 8) * 8;
                uint64_t value = interesting(random, size), before;
                memcpy(&before, bytes + place, 8);
                memcpy(bytes + place, &value, 8);
                if (place < sizeof(pw::stat::header))
                    memcpy(bytes + place, &before, 8);
            }
        }
    });
    uint64_t shown = 0, refused = 0;
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    for (unsigned view = 0; std::chrono::steady_clock::now() < end; ++view)
        ++(show_segment(fd, view) ? shown : refused);
    enough = true;
    writer.join();
    munmap(mapped, size);
    close(fd);
    printf("%lu times shown, %lu refused\n", shown, refused);
    return shown > 0 && refused > 0 ? 0 : 1;
}

int write_seeds(const std::string &folder)
{
    for (const seed &each : make_seeds()) {
        std::ofstream file(folder + '/' + each.name, std::ios::binary);
        file.write(reinterpret_cast<const char *>(each.bytes.data()),
                   static_cast<std::streamsize>(each.bytes.size()));
        if (!file.flush()) {
            fprintf(stderr, "fuzz_replay: cannot write to %s\n", folder.c_str());
            return 1;
        }
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    std::string mode = argc == 3 ? argv[1] : "";
    if (mode == "--rewrite")
        return rewrite(atoi(argv[2]));
    if (mode == "--write")
        return write_seeds(argv[2]);
    return replay(argc - 1, argv + 1);
}
