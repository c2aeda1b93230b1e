// SPDX-License-Identifier: MIT
// Loads the module that is its first argument, uses it and unloads it, some times over; the second argument, 0 or 1, is whether the module
// stops the runtime each time. This program is not linked with the library.
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <thread>

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    for (int round = 0; round < 5; ++round) {
        void *module = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        if (!module) {
            std::printf("round %d: %s\n", round, dlerror());
            return 1;
        }
        auto use = reinterpret_cast<int (*)(int)>(dlsym(module, "plugin_use"));
        int failed = use ? use(std::atoi(arguments[2])) : -1;
        // A thread that knows the library, and ends when the module is gone.
        int failed_too = 0;
        if (use && !std::atoi(arguments[2]))
            std::thread([&] { failed_too = use(0); }).join();
        std::printf("round %d: %d %d\n", round, failed, failed_too);
        if (dlclose(module) != 0)
            return 1;
    }
    std::printf("ends\n");
}
