// What is fuzzed: every parser of ours that reads files of others. A target takes any bytes and must either read them
// or throw an error of ours (tensor/base/error.h); anything else, a crash, another exception, a sanitizer's finding, is
// a bug.
//
// `make fuzz` runs each with libFuzzer; the tests run the seeds and mutations of them (tests/fuzz/replay.cpp).
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace terrace {

struct FuzzTarget {
  std::string name;  // its seeds are tests/fuzz/seeds/NAME/*
  std::function<void(std::span<const std::byte>)> run;
};

const std::vector<FuzzTarget>& fuzz_targets();
/// Runs one target on one input; errors of ours are what is expected of bad input.
void run_fuzz_target(const FuzzTarget& target, std::span<const std::byte> input);

}  // namespace terrace
