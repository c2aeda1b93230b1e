// SPDX-License-Identifier: MIT
#include "textfile.h"

#include "text.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace pw::tool {
namespace {

[[noreturn]] void fail(const std::string &path, const char *doing, int error)
{
    throw cannot_write(printable(path) + ": " + doing + ": " + strerror(error));
}

// While it exists, what ends the program on a terminal or from a service manager waits: no temporary file is
// left behind. Nor does a limit on the size of files end it: that is an error like a full disk.
class undisturbed {
  public:
    undisturbed()
    {
        sigset_t set;
        sigemptyset(&set);
        for (int each : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM})
            sigaddset(&set, each);
        pthread_sigmask(SIG_BLOCK, &set, &before_);
        too_large_ = signal(SIGXFSZ, SIG_IGN);
    }
    ~undisturbed()
    {
        signal(SIGXFSZ, too_large_);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    undisturbed(const undisturbed &) = delete;
    undisturbed &operator=(const undisturbed &) = delete;

  private:
    sigset_t before_;
    sighandler_t too_large_;
};

// Beside the file that it is to become, under a name that no collector takes; gone unless it was moved there.
class temporary_file {
  public:
    explicit temporary_file(const std::string &folder, const std::string &name)
        : path_(folder + "/." + name + ".XXXXXX")
    {
        fd_ = mkostemp(path_.data(), O_CLOEXEC);
        if (fd_ < 0)
            fail(folder, "cannot create a file there", errno);
    }
    ~temporary_file()
    {
        if (fd_ >= 0)
            close(fd_);
        if (!path_.empty())
            unlink(path_.c_str());
    }
    temporary_file(const temporary_file &) = delete;
    temporary_file &operator=(const temporary_file &) = delete;

    // 0 or an error number.
    int write_all(std::string_view text)
    {
        while (!text.empty()) {
            ssize_t written = write(fd_, text.data(), text.size());
            if (written < 0 && errno != EINTR)
                return errno;
            if (written > 0)
                text.remove_prefix(static_cast<size_t>(written));
        }
        // Before the file gets its name: a crash behind that must not leave the name without the text.
        if (fchmod(fd_, 0644) != 0 || fsync(fd_) != 0)
            return errno;
        return close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
    }
    int move_to(const std::string &path)
    {
        if (rename(path_.c_str(), path.c_str()) != 0)
            return errno;
        path_.clear();
        return 0;
    }

  private:
    std::string path_;
    int fd_;
};

} // namespace

void replace_file(const std::string &path, std::string_view text)
{
    struct stat there;
    if (lstat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
        throw cannot_write(printable(path) + ": is not a regular file, not replaced");
    size_t slash = path.rfind('/');
    std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name.empty())
        throw cannot_write("\"" + printable(path) + "\": not a file's name");
    undisturbed until_it_is_there;
    temporary_file fresh(folder, name);
    if (int error = fresh.write_all(text))
        fail(path, "cannot write", error);
    if (int error = fresh.move_to(path))
        fail(path, "cannot replace", error);
}

void write_textfile(const std::string &folder, std::string_view text)
{
    replace_file(folder + "/pwlocks.prom", text);
}

} // namespace pw::tool
