// SPDX-License-Identifier: MIT
// What a test reads and writes outside the process: its stderr, and a folder of its own.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <unistd.h>

// Takes what is written to stderr, from construction to text() or destruction.
class stderr_capture {
  public:
    stderr_capture()
    {
        fflush(stderr);
        saved_ = dup(STDERR_FILENO);
        dup2(fileno(file_), STDERR_FILENO);
    }
    ~stderr_capture()
    {
        restore();
        fclose(file_);
    }
    stderr_capture(const stderr_capture &) = delete;
    stderr_capture &operator=(const stderr_capture &) = delete;

    // Everything so far; ends the capture.
    std::string text()
    {
        restore();
        std::string all;
        char part[4096];
        rewind(file_);
        while (size_t got = fread(part, 1, sizeof part, file_))
            all.append(part, got);
        return all;
    }

    // Everything so far; the capture goes on.
    std::string so_far() const
    {
        fflush(stderr);
        std::string all;
        char part[4096];
        for (ssize_t got; (got = pread(fileno(file_), part, sizeof part, static_cast<off_t>(all.size()))) > 0;)
            all.append(part, static_cast<size_t>(got));
        return all;
    }

  private:
    void restore()
    {
        if (saved_ < 0)
            return;
        fflush(stderr);
        dup2(saved_, STDERR_FILENO);
        close(saved_);
        saved_ = -1;
    }

    FILE *file_ = tmpfile();
    int saved_ = -1;
};

// How often one text is in another.
inline size_t count_of(std::string_view text, std::string_view part)
{
    size_t count = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

// A temporary folder with whatever it is given; removed at the end.
class scratch_folder {
  public:
    scratch_folder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "pwlocks-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::filesystem::filesystem_error("mkdtemp", name,
                                                    std::error_code(errno, std::generic_category()));
        path_ = name;
    }
    ~scratch_folder() { std::filesystem::remove_all(path_); }
    scratch_folder(const scratch_folder &) = delete;
    scratch_folder &operator=(const scratch_folder &) = delete;

    std::string path(const std::string &name) const { return (path_ / name).string(); }

    // Writes a file, and the folders above it; returns its path.
    std::string write(const std::string &name, std::string_view text) const
    {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << text;
        return path(name);
    }

  private:
    std::filesystem::path path_;
};
