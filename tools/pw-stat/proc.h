// SPDX-License-Identifier: MIT
// What /proc says of one process. Everything is read through a descriptor of its folder, which stays that
// process's: when it has ended nothing is found there any more, though another one may have its id by then.
#pragma once

#include "descriptor.h"

#include <dirent.h>
#include <memory>
#include <string>
#include <string_view>

namespace pw::tool {

struct close_directory {
    void operator()(DIR *directory) const { closedir(directory); }
};
using directory = std::unique_ptr<DIR, close_directory>;

// Null, and errno, if it cannot be opened.
directory open_directory(int at, const char *path);

// The folder of a process, not valid if there is none.
descriptor open_process(int pid);

// The start of a small file in the folder; empty if it cannot be read.
std::string read_text(int folder, const char *name);

// A process's status file.
class process_status {
  public:
    explicit process_status(int folder) : text_(read_text(folder, "status")) {}
    bool empty() const { return text_.empty(); }
    // The process, where the file is of a thread. -1: there is none.
    int leader() const { return last_number(field("Tgid:")); }
    // In the process's own pid namespace.
    int innermost_pid() const { return last_number(field("NStgid:")); }
    // The leading thread has ended; others may live on.
    bool has_no_leader() const;
    // Whether it is of our user, as whom it runs.
    bool is_ours() const;

  private:
    std::string_view field(std::string_view key) const;
    static int last_number(std::string_view text);

    std::string text_;
};

// Its name as the kernel keeps it, up to 15 bytes of any kind.
std::string raw_command(int folder);

// With its arguments, each ended by a zero byte; empty for kernel threads and what has ended.
std::string raw_command_line(int folder);

// The last part of the path by which it was started.
std::string_view program_name(std::string_view raw_command_line);

} // namespace pw::tool
