// A stranger's program: the installed headers and library, and nothing else of ours.

#include <cstdio>

#include <fulgur/database.h>

int main() {
    auto database = fulgur::Database::in_memory();
    if (!database) {
        std::fprintf(stderr, "%s\n", database.error().message().c_str());
        return 1;
    }
    auto keyspace = database->keyspace("consumer");
    if (!keyspace) {
        std::fprintf(stderr, "%s\n", keyspace.error().message().c_str());
        return 1;
    }
    if (auto put = keyspace->put("key", "value"); !put) {
        std::fprintf(stderr, "%s\n", put.error().message().c_str());
        return 1;
    }
    auto found = keyspace->get("key");
    if (!found || !*found || **found != "value") {
        std::fprintf(stderr, "the value did not come back\n");
        return 1;
    }
    std::printf("consumer: %s\n", (*found)->c_str());
    return 0;
}
