// SPDX-License-Identifier: MIT
// Prints samples of processes that do not exist. Usage: format_samples json|line|openmetrics|prometheus
#include "stat_samples.h"

#include "../tools/pw-stat/json.h"
#include "../tools/pw-stat/openmetrics.h"

#include <cstdio>
#include <nlohmann/json.hpp>

using namespace pw::tool;

int main(int argc, char **argv)
{
    std::string format = argc == 2 ? argv[1] : "";
    sample_set samples = all_samples();
    std::string text;
    if (format == "json" || format == "line")
        text = document_text(process_document(samples), format == "line");
    else if (format == "openmetrics" || format == "prometheus")
        text = metrics_text(samples.processes,
                            format == "prometheus" ? dialect::prometheus : dialect::openmetrics);
    else
        return 2;
    return fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0 ? 0 : 1;
}
