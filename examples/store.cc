// The store: the same program on the embedded engine and on any other driver, chosen by a URL.
#include <fulgur/store.h>

#include <iostream>
#include <optional>
#include <string>

using fulgur::Result;
using fulgur::StoreTransaction;

int main(int argc, char** argv) {
    const char* const url = argc > 1 ? argv[1] : "portable:";  // Or fulgur:accounts.fulgur
    auto store = fulgur::Store::open(url).value();

    // May run several times, and takes place once.
    const auto sign_up = [](StoreTransaction& transaction) -> Result<void> {
        auto name = transaction.get("user/1");
        if (!name) return name.error();
        if (*name) return {};  // It was there before.
        if (auto put = transaction.put("user/1", "Ada"); !put) return put;
        return transaction.atomic_add("users", 1);
    };
    store->run(sign_up).value();

    // A page at a time, each in a transaction of its own: no scan is too long.
    fulgur::RangeOptions options{.limit = 100};
    do {
        std::string text;
        std::optional<std::string> next;  // Set anew each time the function runs, as `text` is.
        const auto read_page = [&](StoreTransaction& transaction) -> Result<void> {
            auto page = transaction.range(fulgur::prefix("user/"), options);
            if (!page) return page.error();
            text.clear();
            for (const auto& [key, value] : page->rows) {
                text.append(key).append(" = ").append(value).append("\n");
            }
            next = page->continuation;
            return {};
        };
        store->run(read_page).value();
        std::cout << text;
        options.continuation = next;
    } while (options.continuation);
    store->close().value();
}
