// SPDX-License-Identifier: MIT
// Files that pw-stat replaces while another program reads them.
#include "catch.h"

#include "../tools/pw-stat/textfile.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace pw::tool;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

// A folder of our own, gone at the end.
class scratch_folder {
  public:
    scratch_folder()
    {
        std::string name = (fs::temp_directory_path() / "pw-stat-test-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()));
        path = name;
    }
    ~scratch_folder() { fs::remove_all(path); }
    scratch_folder(const scratch_folder &) = delete;
    scratch_folder &operator=(const scratch_folder &) = delete;

    size_t entries() const
    {
        return static_cast<size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
    }
    std::string operator/(const char *name) const { return (path / name).string(); }

    fs::path path;
};

std::string content(const std::string &path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("a file is replaced whole and is readable by everybody")
{
    scratch_folder folder;
    mode_t before = umask(077);
    write_textfile(folder.path, "one\n");
    write_textfile(folder.path, "two\n");
    umask(before);
    CHECK(content(folder / "pwlocks.prom") == "two\n");
    struct stat made;
    REQUIRE(stat((folder / "pwlocks.prom").c_str(), &made) == 0);
    CHECK((made.st_mode & 07777) == 0644);
    CHECK(folder.entries() == 1);
}

TEST_CASE("whoever has an older file open goes on reading all of it")
{
    scratch_folder folder;
    replace_file(folder / "report", "old\n");
    std::ifstream open_before(folder / "report");
    replace_file(folder / "report", "new\n");
    CHECK(std::string(std::istreambuf_iterator<char>(open_before), {}) == "old\n");
}

TEST_CASE("a file without a folder in its name is written here")
{
    scratch_folder folder;
    fs::path before = fs::current_path();
    fs::current_path(folder.path);
    replace_file("report", "text\n");
    fs::current_path(before);
    CHECK(content(folder / "report") == "text\n");
}

TEST_CASE("what cannot be written is said, and nothing is left behind")
{
    scratch_folder folder;
    CHECK_THROWS_WITH(write_textfile(folder / "no", "text"),
                      Contains("/no: cannot create a file there: No such file or directory"));
    CHECK_THROWS_WITH(replace_file("", "text"), Contains("not a file's name"));
    CHECK_THROWS_WITH(replace_file(folder / "a\x1b[31m/b", "text"), Contains("/a?[31m: cannot create"));
    CHECK(folder.entries() == 0);

    SECTION("in the place of something else")
    {
        fs::create_directory(folder.path / "pwlocks.prom");
        CHECK_THROWS_WITH(write_textfile(folder.path, "text"),
                          Contains("/pwlocks.prom: is not a regular file, not replaced"));
        fs::create_symlink("/dev/null", folder.path / "link");
        CHECK_THROWS_WITH(replace_file(folder / "link", "text"), Contains("not a regular file"));
        CHECK_THROWS_WITH(replace_file("/dev/null", "text"), Contains("not a regular file"));
        CHECK(folder.entries() == 2);
    }

    SECTION("beyond the limit of file sizes")
    {
        replace_file(folder / "report", "old\n");
        rlimit limit = {}, small = {};
        REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
        small = {100, limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
        CHECK_THROWS_WITH(replace_file(folder / "report", std::string(1000, 'x')),
                          Contains("/report: cannot write: File too large"));
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK(content(folder / "report") == "old\n");
        CHECK(folder.entries() == 1);
    }

    SECTION("without permission")
    {
        if (geteuid() == 0)
            return; // everything is permitted
        fs::permissions(folder.path, fs::perms::owner_read | fs::perms::owner_exec);
        CHECK_THROWS_WITH(write_textfile(folder.path, "text"), Contains("Permission denied"));
        fs::permissions(folder.path, fs::perms::owner_all);
    }
}

TEST_CASE("writing a file leaves the signal mask as it was")
{
    scratch_folder folder;
    sigset_t hangup, before, behind;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &hangup, &before) == 0);
    replace_file(folder / "report", "text\n");
    REQUIRE(pthread_sigmask(SIG_SETMASK, &before, &behind) == 0);
    CHECK(sigismember(&behind, SIGHUP) == 1);
    CHECK(sigismember(&behind, SIGTERM) == 0);
}
