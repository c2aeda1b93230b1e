// SPDX-License-Identifier: MIT
// pw-stat's reader against segments that a hostile or broken process could show it.
#include "capture.h"
#include "catch.h"
#include "forged_segment.h"

#include "../tools/pw-stat/segment.h"

#include <cstring>
#include <fcntl.h>
#include <functional>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tuple>
#include <vector>

using namespace pw::detail;
using Catch::Matchers::Contains;
using pw::tool::bad_segment;
using pw::tool::segment;

namespace {

std::string refusal(int fd)
{
    try {
        segment reader(fd);
        return "accepted";
    } catch (const bad_segment &bad) {
        return bad.what();
    }
}

std::string labels(const segment &reader)
{
    std::string text;
    for (const auto &each : reader.read().workqueues)
        text += (text.empty() ? "" : ", ") + each.name + (each.high ? " high" : " normal");
    return text;
}

} // namespace

TEST_CASE("an unchanged copy is readable, so that each refusal below has its own reason")
{
    forgery forged;
    segment reader(forged.file());
    CHECK(reader.read().cpus[1].queued == 6);
    auto runs = reader.read().cpus[2].caller_running;
    REQUIRE(runs.size() == 1);
    CHECK(runs[0].name == "0x4000");
    CHECK(labels(reader) == "flusher normal, urgent high");
}

TEST_CASE("a segment cut off anywhere is refused")
{
    forgery forged;
    std::vector<char> whole = forged.bytes;
    size_t rows_end = forged.header().caller_offset + 4 * forged.header().caller_stride;
    for (size_t size : {size_t{1}, sizeof(pw::stat::header) - 1, sizeof(pw::stat::header),
                        size_t{4096}, whole.size() / 2, rows_end - 1}) {
        forged.bytes.assign(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
        CAPTURE(size);
        CHECK_THAT(refusal(forged.file()), Contains("malformed"));
    }
    forged.bytes.assign(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(rows_end));
    CHECK(refusal(forged.file()) == "accepted");
}

TEST_CASE("a wrong magic number, an unfinished segment and a later version are told apart")
{
    forgery forged;
    std::vector<char> whole = forged.bytes;
    forged.bytes.clear();
    CHECK_THAT(refusal(forged.file(no_seal)), Contains("not finished"));
    forged.bytes = whole;
    forged.header().magic = 0;
    CHECK_THAT(refusal(forged.file(no_seal)), Contains("not finished"));
    CHECK_THAT(refusal(forged.file()), Contains("not finished"));
    forged.header().magic = pw::stat::magic + 1;
    CHECK_THAT(refusal(forged.file()), Contains("wrong magic"));
    forged.header().magic = pw::stat::magic;
    forged.header().version = 7;
    CHECK_THAT(refusal(forged.file()), Contains("version 7") && Contains("reads 1"));
    forged.header().version = 1;
    forged.header().header_size = sizeof(pw::stat::header) - 8;
    CHECK_THAT(refusal(forged.file()), Contains("header too short"));
}

TEST_CASE("fields that a later library added behind the known ones do not matter")
{
    forgery forged;
    auto &header = forged.header();
    header.header_size += 512;
    // Rows at twice their distance, with cells twice as large.
    size_t start = header.caller_offset, old_stride = header.caller_stride;
    std::vector<char> rows(forged.bytes.begin() + static_cast<ptrdiff_t>(start), forged.bytes.end());
    forged.bytes.resize(start + 4 * old_stride * 2);
    std::fill(forged.bytes.begin() + static_cast<ptrdiff_t>(start), forged.bytes.end(), '\0');
    auto &moved = forged.header();
    moved.caller_stride = static_cast<uint32_t>(old_stride * 2);
    moved.cell_stride *= 2;
    moved.cell_offset += 8;
    uint64_t queued = 6;
    memcpy(&forged.bytes[start + 3 * moved.caller_stride + moved.cell_offset + 1 * moved.cell_stride],
           &queued, 8);
    CHECK(segment(forged.file()).read().cpus[1].queued == 6);
}

TEST_CASE("workqueues that grew, and none at all")
{
    forgery forged;
    // At twice their distance, at the end of the file.
    size_t end = forged.bytes.size() / 8 * 8;
    forged.bytes.resize(end + 128 * 3);
    memcpy(&forged.bytes[end + 128], &forged.workqueue(2), 64);
    forged.header().workqueue_offset = end;
    forged.header().workqueue_stride = 128;
    forged.header().workqueue_capacity = 3;
    CHECK(labels(segment(forged.file())) == "urgent high");
    forged.header().workqueue_capacity = 0;
    CHECK(labels(segment(forged.file())).empty());
}

TEST_CASE("the name of a workqueue is bounded, and shown only while the workqueue exists")
{
    forgery forged;
    memset(forged.workqueue(0).name, 'x', sizeof forged.workqueue(0).name); // no zero at its end
    memcpy(forged.workqueue(2).name, "\x1b[2J\xff\n\0behind", 14);
    forged.workqueue(2).high = 0xdeadbeef;
    CHECK(labels(segment(forged.file())) == std::string(48, 'x') + " normal, ?[2J?? high");
    forged.workqueue(0).state = 2; // what a later library may mean by that
    CHECK(labels(segment(forged.file())) == "?[2J?? high");
    forged.workqueue(2).state = 0;
    CHECK(labels(segment(forged.file())).empty());

    // One name over the whole table, without an end.
    auto &header = forged.header();
    forged.workqueue(0).state = 1;
    memset(forged.workqueue(0).name, 'y',
           header.workqueue_stride * header.workqueue_capacity - offsetof(pw::stat::workqueue, name));
    header.workqueue_stride *= header.workqueue_capacity;
    header.workqueue_capacity = 1;
    CHECK(labels(segment(forged.file())) == std::string(255, 'y') + " normal");
}

TEST_CASE("more cancelled and executed than queued is nothing pending")
{
    forgery forged;
    auto &header = forged.header();
    uint64_t cancelled = 4, huge = ~uint64_t{0};
    size_t cell = header.caller_offset + 3 * header.caller_stride + header.cell_offset + header.cell_stride;
    memcpy(&forged.bytes[cell + offsetof(pw::stat::caller_cell, cancelled)], &cancelled, 8);
    auto seen = segment(forged.file()).read().cpus[1];
    CHECK((seen.queued == 6 && seen.cancelled == 4 && seen.pending == 2));
    memcpy(&forged.bytes[cell + offsetof(pw::stat::caller_cell, cancelled)], &huge, 8);
    seen = segment(forged.file()).read().cpus[1];
    CHECK((seen.cancelled == huge && seen.pending == 0));
}

TEST_CASE("no offset, stride or count can point out of the file")
{
    struct attack {
        const char *what;
        std::function<void(pw::stat::header &, uint64_t size)> change;
    };
    const std::vector<attack> attacks = {
        {"ignored at the end", [](auto &h, uint64_t size) { h.ignored_count = 1, h.ignored_offset = size; }},
        {"ignored stride 0", [](auto &h, uint64_t) { h.ignored_stride = 0; }},
        {"too many ignored", [](auto &h, uint64_t) { h.ignored_count = h.ignored_capacity = 65; }},
        {"functions beyond", [](auto &h, uint64_t size) { h.function_offset = size + 8; }},
        {"functions wrap", [](auto &h, uint64_t) { h.function_offset = ~uint64_t{7}; }},
        {"function stride 8", [](auto &h, uint64_t) { h.function_stride = 8; }},
        {"function stride huge", [](auto &h, uint64_t) { h.function_stride = 0xfffffff8; }},
        {"function capacity", [](auto &h, uint64_t) { h.function_capacity = 0xffffffff; }},
        {"functions unaligned", [](auto &h, uint64_t) { h.function_offset += 4; }},
        {"workqueues beyond", [](auto &h, uint64_t size) { h.workqueue_offset = size - 64; }},
        {"workqueues wrap", [](auto &h, uint64_t) { h.workqueue_offset = ~uint64_t{7}; }},
        {"workqueues unaligned", [](auto &h, uint64_t) { h.workqueue_offset += 4; }},
        {"workqueue stride 0", [](auto &h, uint64_t) { h.workqueue_stride = 0; }},
        {"workqueue stride 8", [](auto &h, uint64_t) { h.workqueue_stride = 8; }},
        {"workqueue stride unaligned", [](auto &h, uint64_t) { h.workqueue_stride = 68; }},
        {"workqueue stride huge", [](auto &h, uint64_t) { h.workqueue_stride = 0xfffffff8; }},
        {"workqueue capacity", [](auto &h, uint64_t) { h.workqueue_capacity = 0xffffffff; }},
        {"CPUs beyond", [](auto &h, uint64_t size) { h.cpu_offset = size - 64; }},
        {"CPUs wrap", [](auto &h, uint64_t) { h.cpu_offset = 0xffffffffffffff80; }},
        {"CPU stride short", [](auto &h, uint64_t) { h.cpu_stride = 16; }},
        {"CPU stride unaligned", [](auto &h, uint64_t) { h.cpu_stride = 129; }},
        {"too many CPUs", [](auto &h, uint64_t) { h.cpu_count = 0xffffffff; }},
        {"more cells than row", [](auto &h, uint64_t) { h.cpu_count = 5; }},
        {"no CPUs", [](auto &h, uint64_t) { h.cpu_count = 0; }},
        {"CPU stride without wakes_sent", [](auto &h, uint64_t) { h.cpu_stride = 160; }},
        {"histograms beyond", [](auto &h, uint64_t size) { h.histogram_offset = size - 8; }},
        {"histograms wrap", [](auto &h, uint64_t) { h.histogram_offset = ~uint64_t{7}; }},
        {"histograms unaligned", [](auto &h, uint64_t) { h.histogram_offset += 4; }},
        {"histogram stride short", [](auto &h, uint64_t) { h.histogram_stride = 376; }},
        {"histogram stride huge", [](auto &h, uint64_t) { h.histogram_stride = 0xfffffff8; }},
        {"too many histograms", [](auto &h, uint64_t) { h.histogram_count = 65; }},
        {"histograms that overflow", [](auto &h, uint64_t) { h.histogram_count = 0xffffffff; }},
        {"tallies beyond", [](auto &h, uint64_t size) { h.tally_offset = size - 64; }},
        {"tallies wrap", [](auto &h, uint64_t) { h.tally_offset = ~uint64_t{7}; }},
        {"tallies unaligned", [](auto &h, uint64_t) { h.tally_offset += 1; }},
        {"tally stride short", [](auto &h, uint64_t) { h.tally_stride = 56; }},
        {"tally stride unaligned", [](auto &h, uint64_t) { h.tally_stride = 68; }},
        {"too many tallies", [](auto &h, uint64_t) { h.tally_capacity = 0xffffffff; }},
        {"places beyond", [](auto &h, uint64_t size) { h.place_offset = size; }},
        {"places wrap", [](auto &h, uint64_t) { h.place_offset = ~uint64_t{7}; }},
        {"place stride 0", [](auto &h, uint64_t) { h.place_stride = 0; }},
        {"place stride short", [](auto &h, uint64_t) { h.place_stride = 24; }},
        {"fewer places than CPUs", [](auto &h, uint64_t) { h.place_count = 3; }},
        {"more places than CPUs", [](auto &h, uint64_t) { h.place_count = 0xffffffff; }},
        {"rows beyond", [](auto &h, uint64_t size) { h.caller_offset = size; }},
        {"rows wrap", [](auto &h, uint64_t) { h.caller_offset = ~uint64_t{127}; }},
        {"too many rows", [](auto &h, uint64_t) { h.caller_count = 0xffffffff; }},
        {"row stride 0", [](auto &h, uint64_t) { h.caller_stride = 0; }},
        {"row stride huge", [](auto &h, uint64_t) { h.caller_stride = 0x80000000; }},
        {"cell offset huge", [](auto &h, uint64_t) { h.cell_offset = 0xfffffff8; }},
        {"cell offset in row head", [](auto &h, uint64_t) { h.cell_offset = 0; }},
        {"cell offset unaligned", [](auto &h, uint64_t) { h.cell_offset = 33; }},
        {"cell stride huge", [](auto &h, uint64_t) { h.cell_stride = 0xfffffff8; }},
        {"cell stride 0", [](auto &h, uint64_t) { h.cell_stride = 0; }},
    };
    for (const attack &each : attacks) {
        forgery forged;
        each.change(forged.header(), forged.bytes.size());
        CAPTURE(each.what);
        CHECK_THAT(refusal(forged.file()), Contains("malformed"));
    }
    forgery forged;
    int32_t number = 8192;
    memcpy(&forged.bytes[forged.header().cpu_offset], &number, sizeof number);
    CHECK_THAT(refusal(forged.file()), Contains("CPU number"));
    number = -1;
    memcpy(&forged.bytes[forged.header().cpu_offset], &number, sizeof number);
    CHECK_THAT(refusal(forged.file()), Contains("CPU number"));
    forged.block(0).cpu = forged.block(2).cpu;
    CHECK_THAT(refusal(forged.file()), Contains("two blocks of CPU 41"));
}

TEST_CASE("whatever a header says, reading stays inside the file")
{
    std::mt19937 random(20240607);
    forgery forged;
    const std::vector<char> original = forged.bytes;
    const std::vector<uint64_t> values = {
        0,          1,          8,          128,          4096,         original.size() - 8, original.size(),
        0x7fffffff, 0xffffffff, 0xfffffff8, ~uint64_t{0}, ~uint64_t{7}, uint64_t{1} << 63};
    // The geometry: everything behind the texts of the header.
    size_t first = offsetof(pw::stat::header, ignored_count);
    int refused = 0, accepted = 0;
    for (int round = 0; round < 1500; ++round) {
        forged.bytes = original;
        for (unsigned change = 0; change <= random() % 3; ++change) {
            size_t place = first + random() % (sizeof(pw::stat::header) - first - 8) / 4 * 4;
            uint64_t value = values[random() % values.size()] + (random() % 4 == 0 ? random() % 256 : 0);
            memcpy(&forged.bytes[place], &value, random() % 2 ? 4 : 8);
        }
        int fd = forged.file();
        try {
            segment reader(fd);
            pw::tool::snapshot seen = reader.read();
            REQUIRE((!seen.cpus.empty() && seen.cpus.size() <= 8192));
            REQUIRE(seen.workqueues.size() <= 65536);
            ++accepted;
        } catch (const bad_segment &) {
            ++refused;
        }
    }
    CHECK(refused > 100);
    CHECK(accepted > 10); // or the rounds would have tested one early refusal only
}

TEST_CASE("a file that could shrink under the reader is refused")
{
    forgery forged;
    CHECK_THAT(refusal(forged.file(no_seal)), Contains("not sealed"));
    CHECK_THAT(refusal(forged.file(F_SEAL_GROW | F_SEAL_WRITE)), Contains("not sealed"));

    // What cannot be sealed at all.
    scratch_folder folder;
    std::string path = folder.write("segment", {forged.bytes.data(), forged.bytes.size()});
    int plain = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    CHECK_THAT(refusal(plain), Contains("not sealed"));
    close(plain);
    int pair[2];
    REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
    CHECK_THAT(refusal(pair[0]), Contains("not a regular file"));
    close(pair[0]);
    close(pair[1]);
}

TEST_CASE("a sparse file of ten gigabytes costs no more than its header is worth")
{
    constexpr size_t ten_gigabytes = size_t{10} << 30;
    forgery forged;
    struct stat before, after;
    int fd = forged.file(F_SEAL_SHRINK, ten_gigabytes);
    REQUIRE(fstat(fd, &before) == 0);
    CHECK(segment(fd).read().cpus[1].queued == 6);
    REQUIRE(fstat(fd, &after) == 0);
    CHECK(after.st_blocks == before.st_blocks);

    // As many rows as may be, all of them in what was never written.
    auto [offset, stride, count] = std::tuple(forged.header().caller_offset, forged.header().caller_stride,
                                              forged.header().caller_count.load());
    forged.header().caller_offset = size_t{64} << 20;
    forged.header().caller_stride = 256;
    forged.header().caller_count = (192 << 20) / 256 - 1;
    fd = forged.file(F_SEAL_SHRINK, ten_gigabytes);
    CHECK(segment(fd).read().cpus[1].queued == 0);
    REQUIRE(fstat(fd, &after) == 0);
    CHECK(after.st_blocks <= (256 << 20) / 512);
    forged.header().caller_count = (192 << 20) / 256 + 1;
    CHECK_THAT(refusal(forged.file(F_SEAL_SHRINK, ten_gigabytes)), Contains("callers out of range"));
    forged.header().caller_offset = offset;
    forged.header().caller_stride = stride;
    forged.header().caller_count = count;

    forged.header().workqueue_capacity = 65537; // of which there is room for each
    forged.header().workqueue_stride = 16;
    forged.header().workqueue_offset = size_t{64} << 20;
    CHECK_THAT(refusal(forged.file(F_SEAL_SHRINK, ten_gigabytes)), Contains("too many workqueues"));
    forged.header().workqueue_capacity = 0;
    forged.header().workqueue_stride = sizeof(pw::stat::workqueue);

    forged.header().caller_count = 30'000'000;
    CHECK_THAT(refusal(forged.file(F_SEAL_SHRINK, ten_gigabytes)), Contains("too many callers"));
    forged.header().caller_count = 1'000'000;
    forged.header().caller_stride *= 4;
    CHECK_THAT(refusal(forged.file(F_SEAL_SHRINK, ten_gigabytes)), Contains("callers out of range"));
    forged.header().caller_stride /= 4;
    forged.header().caller_count = 4;
    forged.header().caller_offset = size_t{9} << 30;
    CHECK_THAT(refusal(forged.file(F_SEAL_SHRINK, ten_gigabytes)), Contains("callers out of range"));
}

TEST_CASE("no text of a segment reaches the terminal as a command")
{
    sample_facts facts;
    facts.source = "\x1b[2Jclear\r\n\xff\xfe";
    facts.ignored.add("PWLOCKS: \x1b]0;title\x07");
    forgery forged(facts);
    auto &header = forged.header();
    auto &name = forged.name_of(0x4000).name;
    memset(name, '\x1b', sizeof name); // no zero at its end either
    segment reader(forged.file());
    CHECK(reader.facts().source == "?[2Jclear????");
    REQUIRE(reader.facts().ignored.size() == 1);
    CHECK_THAT(reader.facts().ignored[0], Contains("]0;title?"));
    CHECK_THAT(reader.facts().ignored[0], !Contains("\x1b"));
    CHECK(reader.read().cpus[2].caller_running.at(0).name ==
          std::string(sizeof(pw::stat::function::name), '?'));
    memset(header.source, 'A', sizeof header.source);
    CHECK(segment(forged.file()).facts().source == std::string(sizeof header.source, 'A'));
}
