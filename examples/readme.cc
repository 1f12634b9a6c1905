// The program in README.md; tools/readme_test.py checks that they are the same.
#include <fulgur/database.h>

#include <iostream>

using fulgur::operator""_MiB;

int main() {
    fulgur::Options options;
    options.memory_budget = 512_MiB;
    auto database = fulgur::Database::open("media.fulgur", options).value();
    auto users = database.keyspace("users").value();

    users.put("user:1", "Ada").value();  // On the disk when it returns.

    fulgur::WriteBatch batch;
    batch.put(users, "user:2", "Grace");
    batch.erase(users, "user:1");
    database.commit(batch).value();  // Both or neither.

    fulgur::Reader reader = database.reader();
    if (auto name = reader.get(users, "user:2").value()) {
        std::cout << *name << "\n";  // A view: valid while `reader` lives.
    }
    auto cursor = reader.cursor(users, fulgur::prefix("user:"));
    for (; cursor.valid(); cursor.next()) {
        std::cout << cursor.key() << " = " << cursor.value() << "\n";
    }
    database.close().value();
}
