// SPDX-License-Identifier: MIT
#include "options.h"

#include "report.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace pw::detail {
namespace {

constexpr std::string_view blanks = " \t\r\n\v\f";

std::string_view without_blanks(std::string_view text)
{
    size_t first = text.find_first_not_of(blanks);
    if (first == text.npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// What we quote comes from outside: a terminal must not obey it, and a message stays one line.
char printable(char c)
{
    unsigned char byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f ? '?' : c;
}

// The longest beginning of at most `size` bytes that does not end inside a UTF-8 character.
std::string_view clipped(std::string_view text, size_t size)
{
    if (text.size() <= size)
        return text;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
        --size;
    return text.substr(0, size);
}

bool parse_number(std::string_view text, int low, int high, int &number)
{
    int parsed = 0;
    const char *end = text.data() + text.size();
    auto [stopped, error] = std::from_chars(text.data(), end, parsed);
    if (error != std::errc{} || stopped != end || parsed < low || parsed > high)
        return false;
    number = parsed;
    return true;
}

// The setters return false, and leave the options alone, if the value is malformed.

bool set_strategy(std::string_view value, option_set &options)
{
    return parse_strategy(value, options.strategy);
}

bool set_cpus(std::string_view value, option_set &options)
{
    if (value == "allowed") {
        options.cpus = cpus_choice::allowed;
    } else if (value == "housekeeping") {
        options.cpus = cpus_choice::housekeeping;
    } else if (value == "isolated") {
        options.cpus = cpus_choice::isolated;
    } else {
        cpu_mask list; // not the empty one: the value is not blank
        if (!parse_cpu_list(value, list))
            return false;
        options.cpus = cpus_choice::list;
        options.cpu_list = list;
    }
    return true;
}

bool set_idle_spin(std::string_view value, option_set &options)
{
    return parse_number(value, 0, 1000000, options.idle_spin_us);
}

bool set_sched(std::string_view value, option_set &options)
{
    if (value == "other") {
        options.sched = sched_class::other;
        options.sched_value = 0;
        return true;
    }
    constexpr std::string_view nice = "nice:", fifo = "fifo:";
    if (value.starts_with(nice) && parse_number(value.substr(nice.size()), -20, 19, options.sched_value)) {
        options.sched = sched_class::nice;
        return true;
    }
    if (value.starts_with(fifo) && parse_number(value.substr(fifo.size()), 1, 99, options.sched_value)) {
        options.sched = sched_class::fifo;
        return true;
    }
    return false;
}

bool set_stats(std::string_view value, option_set &options)
{
    if (value == "on")
        options.stats = stats_choice::on;
    else if (value == "off")
        options.stats = stats_choice::off;
    else if (value == "full")
        options.stats = stats_choice::full;
    else
        return false;
    return true;
}

bool set_watchdog(std::string_view value, option_set &options)
{
    return parse_number(value, 0, 3600000, options.watchdog_ms);
}

struct key_rule {
    std::string_view name;
    bool (*set)(std::string_view value, option_set &options);
};

constexpr key_rule key_rules[] = {
    {"pwlocks", set_strategy}, {"cpus", set_cpus},   {"idle_spin_us", set_idle_spin},
    {"sched", set_sched},      {"stats", set_stats}, {"watchdog_ms", set_watchdog},
};

// One text on its way into `options`.
class option_parser {
  public:
    option_parser(std::string_view source, option_set &options, ignored_options *ignored)
        : source_(clipped(source, longest_source)), options_(options), ignored_(ignored)
    {
    }

    int problems() const { return problems_; }

    void pairs(std::string_view text)
    {
        while (!(text = without_blanks(text)).empty()) {
            size_t end = std::min(text.find_first_of(blanks), text.size());
            pair(text.substr(0, end));
            text.remove_prefix(end);
        }
    }

    void lines(std::string_view text)
    {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (text.starts_with(byte_order_mark))
            text.remove_prefix(byte_order_mark.size());
        for (unsigned number = 1; !text.empty(); ++number) {
            size_t end = std::min(text.find('\n'), text.size());
            std::string_view line = without_blanks(without_comment(text.substr(0, end)));
            text.remove_prefix(std::min(end + 1, text.size()));
            where_[0] = ':';
            *std::to_chars(where_ + 1, std::end(where_) - 1, number).ptr = '\0';
            if (!line.empty())
                pair(line);
        }
    }

  private:
    static constexpr size_t longest_source = 255;

    // A comment starts with a # at the start of the line or behind a blank.
    static std::string_view without_comment(std::string_view line)
    {
        for (size_t at = line.find('#'); at != line.npos; at = line.find('#', at + 1))
            if (at == 0 || blanks.find(line[at - 1]) != blanks.npos)
                return line.substr(0, at);
        return line;
    }

    void pair(std::string_view text)
    {
        size_t equals = text.find('=');
        std::string_view key = without_blanks(text.substr(0, equals));
        std::string_view value;
        if (equals != text.npos)
            value = without_blanks(text.substr(equals + 1));
        const key_rule *rule = std::find_if(std::begin(key_rules), std::end(key_rules),
                                            [&](const key_rule &r) { return r.name == key; });
        if (value.empty())
            problem({quoted(key), " has no value, ignored"});
        else if (rule == std::end(key_rules))
            problem({"unknown key ", quoted(key), ", ignored"});
        else if (given_[rule - key_rules])
            problem({quoted(key), " is given twice, the second is ignored"});
        else if (rule->set(value, options_))
            given_[rule - key_rules] = true;
        else
            problem({rule->name, ": invalid value ", quoted(value), ", ignored"});
    }

    void problem(std::initializer_list<std::string_view> parts)
    {
        ++problems_;
        ignored_line line;
        line.append({source_, where_, ": "});
        line.append(parts);
        line.publish(ignored_);
    }

    std::string_view source_;
    option_set &options_;
    ignored_options *ignored_;
    bool given_[std::size(key_rules)] = {}; // with a value that counts
    char where_[12] = "";                   // ":3" in a file's third line
    int problems_ = 0;
};

} // namespace

quoted::quoted(std::string_view value)
{
    std::string_view shown = clipped(value, longest);
    text_[length_++] = '"';
    shown.copy(text_ + length_, shown.size());
    length_ += shown.size();
    if (shown.size() < value.size())
        for (int dot = 0; dot < 3; ++dot)
            text_[length_++] = '.';
    text_[length_++] = '"';
}

void ignored_line::append(std::initializer_list<std::string_view> parts)
{
    for (std::string_view part : parts) {
        part = clipped(part, sizeof text_ - 1 - length_);
        std::transform(part.begin(), part.end(), text_ + length_, printable);
        length_ += part.size();
    }
}

void ignored_line::publish(ignored_options *ignored) const
{
    report("%s", text_);
    if (ignored != nullptr)
        ignored->add(text_);
}

void ignored_options::add(const char *line)
{
    if (count < capacity) {
        std::string_view whole = line;
        std::string_view kept = clipped(whole, text_size - 1);
        bool cut = kept.size() < whole.size();
        if (cut)
            kept = clipped(whole, text_size - 4);
        char *end = std::transform(kept.begin(), kept.end(), text[count], printable);
        strcpy(end, cut ? "..." : "");
    }
    ++count;
}

void option_set::fill_from(const option_set &other)
{
    if (strategy == strategy_choice::unset)
        strategy = other.strategy;
    if (cpus == cpus_choice::unset) {
        cpus = other.cpus;
        cpu_list = other.cpu_list;
    }
    if (idle_spin_us < 0)
        idle_spin_us = other.idle_spin_us;
    if (sched == sched_class::unset) {
        sched = other.sched;
        sched_value = other.sched_value;
    }
    if (stats == stats_choice::unset)
        stats = other.stats;
    if (watchdog_ms < 0)
        watchdog_ms = other.watchdog_ms;
}

bool parse_strategy(std::string_view value, strategy_choice &choice)
{
    if (value == "0" || value == "off" || value == "n")
        choice = strategy_choice::queue;
    else if (value == "1" || value == "on" || value == "y")
        choice = strategy_choice::lock;
    else if (value == "auto")
        choice = strategy_choice::automatic;
    else
        return false;
    return true;
}

int parse_options(std::string_view text, std::string_view source, bool lines, option_set &options,
                  ignored_options *ignored)
{
    option_parser parser(source, options, ignored);
    if (lines)
        parser.lines(text);
    else
        parser.pairs(text);
    return parser.problems();
}

} // namespace pw::detail
