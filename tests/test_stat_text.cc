// SPDX-License-Identifier: MIT
// Text for a terminal from what another process chose.
#include "catch.h"

#include "../tools/pw-stat/text.h"

#include <string>

TEST_CASE("printable text keeps valid UTF-8 and nothing that steers a terminal")
{
    using pw::tool::printable;
    CHECK(printable("naïve → 日本 🙂") == "naïve → 日本 🙂");
    CHECK(printable("a\tb\x7f") == "a?b?");
    CHECK(printable("\xc2\x9b"
                    "2J") == "?2J"); // CSI as one C1 control
    CHECK(printable("\xe2\x80\xae"
                    "abc") == "?abc");              // right-to-left override
    CHECK(printable("\xc0\xaf") == "??");           // overlong
    CHECK(printable("\xed\xa0\x80") == "???");      // a surrogate
    CHECK(printable("\xf4\x90\x80\x80") == "????"); // beyond Unicode
    CHECK(printable("caf\xc3") == "caf?");          // cut off
    CHECK(printable(std::string_view("a\0b", 3)) == "a?b");
    CHECK(pw::tool::width("naïve →") == 7);
}

TEST_CASE("symbols are demangled unless that could explode")
{
    using pw::tool::readable_symbol;
    CHECK(readable_symbol("drain") == "drain");
    CHECK(readable_symbol("_ZN5cache5drainEP9pw_struct") == "cache::drain");
    CHECK(readable_symbol("_ZN5cache5drainEi") == "cache::drain(int)");
    CHECK(readable_symbol("_Znonsense") == "_Znonsense");
    // Each MS_S_-like step doubles the text: two to the power of 30.
    std::string bomb = "_Z1fM1aS_";
    for (int i = 0; i < 30; ++i) {
        char digit = static_cast<char>(i < 10 ? '0' + i : 'A' + i - 10);
        bomb += std::string("MS") + digit + "_S" + digit + "_";
    }
    CHECK(readable_symbol(bomb) == bomb);
}

TEST_CASE("CPU lists and durations are short")
{
    using pw::tool::cpu_list;
    using pw::tool::duration;
    CHECK(cpu_list({}).empty());
    CHECK(cpu_list({5}) == "5");
    CHECK(cpu_list({0, 1, 2, 3, 8}) == "0-3,8");
    CHECK(cpu_list({32, 96, 97}) == "32,96-97");
    CHECK(duration(0) == "0s");
    CHECK(duration(59) == "59s");
    CHECK(duration(185) == "3m05s");
    CHECK(duration(2 * 3600 + 10 * 60 + 59) == "2h10m");
    CHECK(duration(3 * 86400 + 4 * 3600) == "3d04h");
}
