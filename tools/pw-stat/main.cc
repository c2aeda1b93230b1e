// SPDX-License-Identifier: MIT
// pw-stat: looks into running programs that use pwlocks.
#include "commands.h"
#include "print.h"
#include "text.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <csignal>
#include <fcntl.h>
#include <functional>
#include <string>
#include <unistd.h>

namespace {

using namespace pw::tool;

constexpr char statuses_help[] = R"(
Exit status: 0; 1 if a process cannot be shown or the output cannot be written; 2 for a usage error;
3 if the process that is watched has ended.)";

// A file that we open must not become standard output because that was closed.
void open_standard_descriptors()
{
    for (int fd = 0; fd <= STDERR_FILENO; ++fd)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDWR);
}

// The parser: an application with a subcommand for each command that has a name.
class command_line {
  public:
    command_line() : app_(commands().front().what, "pw-stat")
    {
        app_.set_version_flag("--version", "pw-stat " PWLOCKS_VERSION, "Print the version and exit");
        app_.require_subcommand(0, 1);
        set_up(app_, commands().front());
        for (const command &each : commands().subspan(1))
            set_up(*app_.add_subcommand(each.name, each.what), each);
    }

    // What the user asked for; `asked` is filled in. Throws CLI's exceptions and misuse.
    const command &parse(int argc, char **argv)
    {
        app_.parse(argc, argv);
        for (const command &each : commands().subspan(1)) {
            const CLI::App &chosen = *app_.get_subcommand(each.name);
            if (chosen.parsed()) {
                require_same_options(chosen);
                if (each.options & option_shell)
                    asked.offered = offered();
                return each;
            }
        }
        return commands().front();
    }

    std::string help() const { return app_.help(); }

    request asked;

  private:
    static std::function<void(std::string)> not_empty(const char *option)
    {
        return [option](const std::string &given) {
            if (given.empty())
                throw misuse(fmt::format("{}: \"\": not a name", option));
        };
    }

    void set_up(CLI::App &app, const command &each)
    {
        app.footer(fmt::format("{}\n{}", each.help, statuses_help));
        if (each.options & option_color)
            app.add_option("--color", asked.color,
                           "Colours: on a terminal without NO_COLOR, always, or never")
                ->check(CLI::IsMember({"auto", "always", "never"}));
        if (each.options & option_shell)
            app.add_option("SHELL", asked.shell, "Which shell")
                ->required()
                ->check(CLI::IsMember({"bash", "zsh"}));
        if (each.options & option_cpus)
            app.add_option("-P", asked.cpus, "CPUs to show by themselves: a list such as 0-3,8, or ALL")
                ->type_name("CPUS");
        if (each.options & option_explain)
            app.add_flag("--explain", asked.explain, "Say in sentences what a second's looking tells");
        set_up_formats(app, each);
        if (each.about == subject::none)
            return;
        CLI::Option *who = app.add_option("PID|NAME", asked.who, "A process's id or name");
        who->required(each.about == subject::required);
        who->each([](const std::string &given) {
            if (given.empty())
                throw misuse("\"\": not a process id");
        });
        if (each.options & option_interval) {
            app.add_option("INTERVAL", asked.interval, "Show rates every so many seconds");
            app.add_option("COUNT", asked.count, "How many times; without it until the process ends");
        }
    }

    void set_up_formats(CLI::App &app, const command &each)
    {
        if (each.options & option_json)
            app.add_flag("--json", asked.json, "Write a JSON document, for other programs");
        if (each.options & option_metrics) {
            app.add_flag("--openmetrics", asked.openmetrics, "Write OpenMetrics text");
            app.add_option("--textfile", asked.textfile,
                           "Write DIR/pwlocks.prom, whole, for node_exporter's textfile collector")
                ->type_name("DIR")
                ->each(not_empty("--textfile"));
        }
        if (each.options & option_watch_file)
            app.add_option("--watch-file", asked.watch_file,
                           "Write to FILE, whole, at each interval, instead of rates on standard output")
                ->type_name("FILE")
                ->each(not_empty("--watch-file"));
    }

    // What can be asked for, as the parser knows it.
    std::vector<offered_command> offered()
    {
        std::vector<offered_command> all;
        for (const command &each : commands()) {
            CLI::App &app = each.name ? *app_.get_subcommand(each.name) : app_;
            offered_command one{each.name ? each.name : "", each.what, each.about != subject::none, {}, {}};
            for (const CLI::Option *option : app.get_options()) {
                if (!option->get_positional())
                    one.options.push_back(offered_as(*option));
                else if (!one.about_process)
                    one.words = words_of(*option);
            }
            all.push_back(std::move(one));
        }
        return all;
    }

    static offered_option offered_as(const CLI::Option &option)
    {
        using value = offered_option::value;
        offered_option one;
        for (const std::string &name : option.get_snames())
            one.names.push_back("-" + name);
        for (const std::string &name : option.get_lnames())
            one.names.push_back("--" + name);
        one.what = option.get_description();
        one.words = words_of(option);
        if (option.get_expected_max() == 0 || option.get_type_size() == 0)
            one.takes = value::none;
        else if (!one.words.empty())
            one.takes = value::word;
        else if (option.get_type_name() == "FILE")
            one.takes = value::file;
        else
            one.takes = option.get_type_name() == "DIR" ? value::folder : value::any;
        return one;
    }

    // CLI::IsMember's, which stand in the name of the type: "TEXT:{bash,zsh}".
    static std::vector<std::string> words_of(const CLI::Option &option)
    {
        std::string type = option.get_type_name();
        size_t begin = type.find('{'), end = type.find('}');
        if (begin == std::string::npos || end == std::string::npos)
            return {};
        return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
    }

    // What stands before a subcommand must be something that it has, too.
    void require_same_options(const CLI::App &chosen) const
    {
        for (const CLI::Option *option : app_.get_options())
            if (option->count() > 0 && chosen.get_option_no_throw(option->get_name()) == nullptr)
                throw misuse(
                    fmt::format("{}: not together with \"{}\"", option->get_name(), chosen.get_name()));
    }

    CLI::App app_;
};

int run(int argc, char **argv)
{
    command_line line;
    try {
        const command &wanted = line.parse(argc, argv);
        return wanted.run(line.asked);
    } catch (const CLI::CallForHelp &) {
        print(line.help());
    } catch (const CLI::CallForVersion &version) {
        print(fmt::format("{}\n", version.what()));
    } catch (const CLI::ParseError &error) {
        throw misuse(printable(error.what()));
    }
    return success;
}

} // namespace

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    open_standard_descriptors();
    try {
        return run(argc, argv);
    } catch (const cannot_print &end) {
        return end.status;
    } catch (const misuse &error) {
        complain(error.what());
        complain("see pw-stat --help");
        return usage_error;
    } catch (const std::exception &error) {
        complain(error.what());
        return failure;
    }
}
