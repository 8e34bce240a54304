// PyTorch's figures for the same work, by torch_var.py in a process of its own.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tensor/base/error.h"

namespace terrace {

/// Runs torch_var.py with the interpreter that TORCH_PYTHON names; nothing where it is not set. `program` is argv[0].
inline std::optional<nlohmann::json> run_torch_peer(const std::string& arguments, const char* program) {
  const char* python = std::getenv("TORCH_PYTHON");
  if (python == nullptr || *python == 0) { return std::nullopt; }
  const auto root = std::filesystem::absolute(program).parent_path().parent_path().parent_path();
  const std::string command = cat("'", python, "' '", (root / "tests/bench/torch_var.py").string(), "' ", arguments);
  std::fflush(stdout);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> part{};
  while (pipe && std::fgets(part.data(), part.size(), pipe.get()) != nullptr) { text += part.data(); }
  auto j = nlohmann::json::parse(text, nullptr, false);
  if (j.is_discarded()) { throw Error(cat("the peer gave no result: ", command)); }
  return j;
}

}  // namespace terrace
