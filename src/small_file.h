// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace pw::detail {

// A small file as a whole, read into pages of its own: no heap, no large stack frame. Never blocks: an empty
// pipe or a terminal is an error here.
class small_file {
  public:
    small_file() = default;
    ~small_file()
    {
        if (text_ != nullptr)
            munmap(text_, mapped_);
    }
    small_file(const small_file &) = delete;
    small_file &operator=(const small_file &) = delete;

    // Once. 0, an errno, or EFBIG if there are more than `longest` bytes.
    int read(const char *path, size_t longest)
    {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
            return errno;
        int error = map(longest + 1);
        if (error == 0)
            error = fill(fd);
        close(fd);
        return error;
    }

    // The pages are zero behind it: the last string that it holds is terminated.
    std::string_view text() const { return {text_, length_}; }

  private:
    int map(size_t size)
    {
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (pages == MAP_FAILED)
            return errno;
        text_ = static_cast<char *>(pages);
        mapped_ = size;
        return 0;
    }

    int fill(int fd)
    {
        while (length_ < mapped_) {
            ssize_t got = ::read(fd, text_ + length_, mapped_ - length_);
            if (got == 0)
                return 0;
            if (got > 0)
                length_ += static_cast<size_t>(got);
            else if (errno != EINTR)
                return errno;
        }
        return EFBIG;
    }

    char *text_ = nullptr;
    size_t mapped_ = 0;
    size_t length_ = 0;
};

} // namespace pw::detail
