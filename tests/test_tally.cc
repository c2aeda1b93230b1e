// SPDX-License-Identifier: MIT
#include "catch.h"
#include "counters.h"
#include "tally.h"

#include <set>
#include <thread>
#include <vector>

using namespace pw::detail;

namespace {

struct table {
    std::vector<pw::stat::tally> elements = std::vector<pw::stat::tally>(128);
    found_tally find(uint64_t function, uint64_t workqueue = 0)
    {
        return find_tally(elements, function, workqueue);
    }
};

} // namespace

TEST_CASE("a function and workqueue have one tally, which is fresh once")
{
    table all;
    auto first = all.find(0x1000);
    CHECK(first.fresh);
    CHECK(first.tally->function == 0x1000);
    CHECK(first.tally->workqueue == 0);
    auto again = all.find(0x1000);
    CHECK(again.tally == first.tally);
    CHECK_FALSE(again.fresh);
    auto other_queue = all.find(0x1000, 3);
    CHECK(other_queue.fresh);
    CHECK(other_queue.tally != first.tally);
    CHECK(other_queue.tally->workqueue == 3);
    CHECK(all.find(0x1000, 3).tally == other_queue.tally);
}

TEST_CASE("functions beyond the table share its last element")
{
    table all;
    std::set<pw::stat::tally *> own;
    uint64_t among_others = 0;
    for (uint64_t i = 1; i <= 300; ++i) {
        auto [tally, fresh] = all.find(0x400000 + i * 16);
        CHECK(fresh);
        if (tally == &all.elements.back())
            ++among_others;
        else
            own.insert(tally);
    }
    CHECK(own.size() + among_others == 300);
    CHECK(own.size() > 100);
    CHECK(own.size() <= 127);
    CHECK(all.elements.back().function == pw::stat::other_functions);
    // Those that came in time keep their places.
    auto found = all.find(0x400000 + 16);
    CHECK(own.count(found.tally) == 1);
    CHECK_FALSE(found.fresh);
}

TEST_CASE("an element that another thread is filling is passed over")
{
    table all, same;
    pw::stat::tally *place = all.find(0x1000).tally;
    same.elements[static_cast<size_t>(place - all.elements.data())].function = pw::stat::claimed;
    auto [tally, fresh] = same.find(0x1000);
    CHECK(fresh);
    CHECK(tally->function == 0x1000);
    CHECK(tally - same.elements.data() != place - all.elements.data());
}

TEST_CASE("two threads that insert at once lose no count")
{
    for (int round = 0; round < 200; ++round) {
        table all;
        auto work = [&](bool here) {
            for (uint64_t i = 0; i < 64; ++i) {
                pw::stat::tally &mine = *all.find(0x1000 + i * 16, i % 2).tally;
                count(here ? mine.here : mine.away);
            }
        };
        std::thread one(work, true), two(work, false);
        one.join();
        two.join();
        std::vector<uint64_t> here(64), away(64);
        for (const pw::stat::tally &each : all.elements) {
            if (each.function == 0)
                continue;
            REQUIRE(each.function >= 0x1000);
            uint64_t i = (each.function - 0x1000) / 16;
            REQUIRE(each.workqueue == i % 2);
            here[i] += each.here;
            away[i] += each.away;
        }
        REQUIRE(here == std::vector<uint64_t>(64, 1));
        REQUIRE(away == std::vector<uint64_t>(64, 1));
    }
}

TEST_CASE("a bucket is found by a time's bits, and the last one takes all that is longer")
{
    pw::stat::histogram drawn = {};
    auto index = [&](uint64_t ns) { return &bucket_of(drawn, ns) - drawn.buckets; };
    CHECK(index(0) == 0);
    CHECK(index(1) == 1);
    CHECK(index(2) == 2);
    CHECK(index(3) == 2);
    CHECK(index(1023) == 10);
    CHECK(index(1024) == 11);
    CHECK(index(uint64_t{1} << 46) == 47);
    CHECK(index(uint64_t{1} << 47) == 47);
    CHECK(index(~uint64_t{0}) == 47);
}
