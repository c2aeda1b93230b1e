// SPDX-License-Identifier: MIT
#include "fuzz_segment.h"

#include "../tools/pw-stat/change.h"
#include "../tools/pw-stat/explain.h"
#include "../tools/pw-stat/interval.h"
#include "../tools/pw-stat/json.h"
#include "../tools/pw-stat/openmetrics.h"
#include "../tools/pw-stat/text.h"
#include "../tools/pw-stat/top_model.h"
#include "../tools/pw-stat/views.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <unistd.h>

using namespace pw::tool;

namespace {

[[noreturn]] void fail(const char *what, std::string_view line)
{
    fprintf(stderr, "fuzz_segment: %s: %s\n", what, printable(line).c_str());
    abort();
}

// 0: lines may be of any length.
void check_lines(const char *what, std::string_view text, size_t columns = 0)
{
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        if (printable(line) != line)
            fail("steers a terminal", line);
        if (columns > 0 && width(line) > columns)
            fail(what, line);
        if (line.size() == text.size())
            fail("has a line without an end", line);
        text.remove_prefix(line.size() + 1);
    }
}

struct looks {
    process_sample first, second;
    screen to;
    void check(const char *what, std::string_view text) const { check_lines(what, text, to.columns); }
};

void show_report(const looks &at)
{
    at.check("report", process_report(at.second, at.to));
}

void show_histograms(const looks &at)
{
    at.check("histograms", histogram_report(at.second, at.second.facts.cpus, false, at.to));
    at.check("histograms of each CPU", histogram_report(at.second, at.second.facts.cpus, true, at.to));
}

void show_running(const looks &at)
{
    at.check("running", running_report(at.second, at.to));
}

void show_explanation(const looks &at)
{
    at.check("explanation", explanation(at.first, at.second.state, at.to));
}

void show_interval(const looks &at)
{
    for (const snapshot *before : {static_cast<const snapshot *>(nullptr), &at.first.state}) {
        interval between = {before, at.second.state, at.second.facts.start_monotonic_ns, 0};
        at.check("headings", interval_headings(true, at.to));
        at.check("interval", interval_rows(between, {}, at.to));
        at.check("interval of CPUs", interval_rows(between, at.second.facts.cpus, at.to));
    }
}

void show_top(const looks &at)
{
    if (at.to.columns == 0) // it is for terminals only
        return;
    top_model model(std::nullopt);
    auto draw = [&] {
        for (const screen_line &line : model.draw(at.to))
            at.check("top", line.text + '\n');
    };
    model.see({at.first}, "");
    for (int key : {int{'>'}, int{key_enter}, int{key_down}, int{key_tab}, int{key_last}}) {
        model.see({at.second}, "");
        draw();
        model.press(key);
    }
    draw();
}

void show_json(const looks &at)
{
    sample_set all = {{at.second}, {}, 0};
    check_lines("JSON", document_text(process_document(all), at.to.columns == 0));
}

void show_metrics(const looks &at)
{
    auto wanted = at.to.columns == 0 ? dialect::openmetrics : dialect::prometheus;
    check_lines("metrics", metrics_text({&at.second, 1}, wanted));
}

constexpr void (*shows[])(const looks &at) = {show_report,   show_histograms, show_running, show_explanation,
                                              show_interval, show_top,        show_json,    show_metrics};
constexpr size_t widths[] = {0, least_columns, 80, 200};
static_assert(std::size(shows) * std::size(widths) == views);

} // namespace

bool show_segment(int fd, unsigned view)
{
    try {
        segment reader(fd);
        looks at = {{4711, "target", "target --fast", reader.facts(), 1'000'000'000, reader.read()}, {}, {}};
        at.second = at.first;
        at.second.state = reader.read();
        at.to.columns = widths[view % std::size(widths)];
        at.to.lines = at.to.columns / 3;
        at.to.unicode = at.to.columns != least_columns;
        shows[view / std::size(widths) % std::size(shows)](at);
        return true;
    } catch (const bad_segment &bad) {
        check_lines("refusal", std::string(bad.what()) + '\n');
        return false;
    }
}

int segment_file(const uint8_t *bytes, size_t size)
{
    int fd = memfd_create("fuzzed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, bytes, size) != static_cast<ssize_t>(size)) {
        fprintf(stderr, "fuzz_segment: no memfd: %s\n", strerror(errno));
        abort();
    }
    // The last byte of some makes them ten gigabytes long, and sparse.
    if (size > 0 && bytes[size - 1] == 0xa5 && ftruncate(fd, off_t{10} << 30) != 0)
        abort();
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
        abort();
    return fd;
}
