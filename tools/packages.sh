# The Debian packages that Fulgur needs: sourced by ./start and ./check.
# shellcheck shell=bash disable=SC2034

# To build the library and the command. g++ is 12 or newer.
build_packages=(cmake ninja-build g++ libxxhash-dev liblz4-dev libzstd-dev libfmt-dev libcli11-dev
    nlohmann-json3-dev zlib1g-dev)
# To run what ./start shows.
start_packages=(python3)
# To check.
check_packages=(python3 libgtest-dev pkg-config git ca-certificates)
# Nice to have: their absence costs time, or a check that prints that it was skipped.
optional_packages=(ccache clang python3-prometheus-client)
# The benchmark's peers: whoever is missing is left out, and said so.
peer_packages=(liblmdb-dev librocksdb-dev libleveldb-dev libwiredtiger-dev libsqlite3-dev valgrind)
# For ./check --long.
long_packages=(clang-19 libclang-rt-19-dev)
