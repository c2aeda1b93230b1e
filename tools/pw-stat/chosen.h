// SPDX-License-Identifier: MIT
// Which processes the user means.
#pragma once

#include "processes.h"

#include <string>
#include <vector>

namespace pw::tool {

// What was found, after complaining of what could not be read.
survey complained_of(survey found);

// What to add to a message where a process was not found, since it may be among those that are not ours.
std::string unseen(const survey &found);

// Of a process id, that; of a name, those of all processes that find_named() finds, by rising number, one
// or more. Throws misuse or cannot_show, whose text names them.
std::vector<int> pids_of(const std::string &who);

// The same where there must be one. Throws misuse, naming them, if there are several.
int only_pid_of(const std::string &who);

} // namespace pw::tool
