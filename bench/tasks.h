// The pieces that workloads are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/workload.h"

namespace fulgur::bench {

std::vector<Workload> db_bench_workloads();
std::vector<Workload> ycsb_workloads();
std::vector<Workload> more_workloads();

/// Rows on their way into one commit.
class Batch {
public:
    Batch(Session& session, const Rows& rows, std::size_t size);
    /// Commits when it is full.
    void put(std::uint64_t row, std::uint64_t salt);
    void erase(std::uint64_t row);
    void commit();

private:
    struct Item {
        Row row;
        std::vector<char> value;
    };
    void added();

    Session& session_;
    const Rows& rows_;
    std::vector<Item> items_;
    std::vector<Write> writes_;
    std::size_t used_ = 0;
};

/// Shares of the operations of a mixed workload, in per cent.
struct Shares {
    unsigned read = 0, update = 0, insert = 0, scan = 0, modify = 0, erase = 0;
    unsigned scan_rows_max = 100;
    Choice choice = Choice::kZipf;
};

using MakeTask = std::function<std::unique_ptr<Task>(const TaskContext&)>;

/// Puts this thread's share of the rows, ascending or in random order, `batch` a commit.
MakeTask fill(bool random);
/// Overwrites random rows, `batch` a commit.
MakeTask overwrite();
/// Erases this thread's share, ascending or in random order.
MakeTask erase(bool random);
/// One get an operation.
MakeTask get(Choice choice);
/// Gets of keys that are not there, between those that are.
MakeTask get_missing();
/// One key an operation, 32 keys a call.
MakeTask get_many();
/// One row an operation, in order, round and round.
MakeTask read_all();
/// A seek to a random key and `rows` rows from there.
MakeTask seek(unsigned rows);
MakeTask mixed(Shares shares);

}  // namespace fulgur::bench
