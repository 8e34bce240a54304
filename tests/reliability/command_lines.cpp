#include "tests/reliability/command_lines.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <sstream>

#include "data/files/json.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;
using Random = std::mt19937_64;

template <class T>
const T& one_of(const std::vector<T>& all, Random& random) {
  return all[random() % all.size()];
}

bool happens(double share, Random& random) { return static_cast<double>(random() >> 11) * 0x1p-53 < share; }

std::string list_of(const std::string& item, size_t count) {
  std::string text = item;
  text.reserve(count * (item.size() + 1));
  for (size_t i = 1; i < count; ++i) { text += "," + item; }
  return text;
}

const std::vector<std::string>& numbers() {
  static const std::vector<std::string> all = {"",
                                               "-1",
                                               "0",
                                               "1",
                                               "2",
                                               "3",
                                               "7",
                                               "64",
                                               "1000",
                                               "1e6",
                                               "1e9",
                                               "1e15",
                                               "1e400",
                                               "-1e400",
                                               "1e-400",
                                               "inf",
                                               "-inf",
                                               "nan",
                                               "0x10",
                                               "0.5",
                                               "-0.5",
                                               "1.5",
                                               "2147483648",
                                               "4294967297",
                                               "9223372036854775807",
                                               "9223372036854775808",
                                               "-9223372036854775808",
                                               "18446744073709551615",
                                               "18446744073709551616",
                                               " 1",
                                               "1 ",
                                               "+1",
                                               "++1",
                                               "1,2,3",
                                               ",",
                                               "1,,2",
                                               "abc",
                                               "--",
                                               "1_000",
                                               "\xff\xfe",
                                               "1\n2",
                                               "%s%n",
                                               "true",
                                               list_of("1", 3000),
                                               list_of("1e9", 20)};
  return all;
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = {"",
                                               ".",
                                               "..",
                                               "missing",
                                               "missing/x",
                                               "note.txt",
                                               "empty.h5",
                                               "folder",
                                               "pipe",
                                               "/dev/zero",
                                               "/dev/null",
                                               "/proc/self/mem",
                                               "\xff.h5",
                                               "a\nb",
                                               "%s%n",
                                               "none",
                                               "all",
                                               "0",
                                               "cuda",
                                               "cuda:7",
                                               "cpu",
                                               "test",
                                               "train",
                                               "red",
                                               "x.h5",
                                               "x.png",
                                               "x.safetensors",
                                               "missing.h5/test/3",
                                               std::string(5000, 'a'),
                                               "\x01\x02",
                                               "{}",
                                               "learned,none,learned"};
  return all;
}

/// A value for an option of that kind, mostly; of another, or none that makes sense, now and then. A mild one may well
/// be taken, so that the program goes on with it.
std::string value_of(const std::string& kind, bool mild, Random& random) {
  static const std::vector<std::string> usual = {"0",  "1",  "2",    "3",   "4",   "5",  "8",
                                                 "16", "64", "1000", "1e6", "1e9", "0.5"};
  if (mild && (kind == "N" || kind == "X")) { return one_of(usual, random); }
  if (mild && kind.starts_with("N,")) { return one_of(usual, random) + "," + one_of(usual, random); }
  const bool numeric = kind == "N" || kind == "X" || kind.starts_with("N,");
  if (numeric != happens(0.1, random)) { return one_of(numbers(), random); }
  return one_of(texts(), random);
}

Json json_value(Random& random, int depth = 0) {
  switch (random() % (depth > 3 ? 6 : 9)) {
    case 0:
      return Json(nullptr);
    case 1:
      return Json(happens(0.5, random));
    case 2:
      return Json(static_cast<int64_t>(random()));
    case 3:
      return Json(1e300 * (happens(0.5, random) ? 1 : -1));
    case 4:
      return Json(static_cast<uint64_t>(random()) | (uint64_t{1} << 63));
    case 5:
      return Json("text");
    case 6:
      return Json::array({json_value(random, depth + 1), json_value(random, depth + 1)});
    case 7:
      return Json{{"key", json_value(random, depth + 1)}};
    default:
      return Json(static_cast<int64_t>(random() % 5) - 1);
  }
}

/// Bytes of a file of options, changed: cut off, a byte turned, a piece doubled, or something that no value is.
std::string changed_bytes(std::string text, Random& random) {
  const size_t at = text.empty() ? 0 : random() % text.size();
  switch (random() % 9) {
    case 0:
      return text.substr(0, at);
    case 1:
      text[at] = static_cast<char>(random());
      return text;
    case 2:
      return text.substr(0, at) + text.substr(at / 2);
    case 3:
      return text.insert(at, 1, '\0');
    case 4:
      return text.insert(at, "\xff\xfe");
    case 5:
      return text.insert(at, "1e999");
    case 6:
      return std::string(100000, '[');
    case 7:
      return "{\"steps\": " + std::string(3000, '[') + std::string(3000, ']') + "}";
    default:
      return "";
  }
}

/// An argument that --steps gives or takes: "--steps" or "--steps=3".
std::string misspelt(std::string name, Random& random) {
  switch (random() % 5) {
    case 0:
      return name + "x";
    case 1:
      name.erase(random() % name.size(), 1);
      return name;
    case 2:
      return "-" + name;
    case 3:
      return name + "=";
    default:
      return "--no-" + name.substr(std::min<size_t>(2, name.size()));
  }
}

/// Standard output of a program, whose mistakes end the test that asks.
std::string output_of(const std::string& command) {
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  std::string text;
  char block[4096];
  for (size_t size = 0; (size = fread(block, 1, sizeof block, pipe)) > 0;) { text.append(block, size); }
  if (pclose(pipe) != 0) { throw Error(cat(command, " failed")); }
  return text;
}

}  // namespace

std::string text_of(const CommandLine& line) {
  std::string text = line.program;
  for (const std::string& argument : line.arguments) {
    text += " '" + (argument.size() > 200 ? argument.substr(0, 200) + "..." : argument) + "'";
  }
  for (const auto& [name, content] : line.files) {
    text += cat("\n  ", name, ": ", content.size() > 400 ? content.substr(0, 400) + "..." : content);
  }
  return text;
}

CommandLines::CommandLines(std::string programs, std::string inputs)
    : programs_(std::move(programs)), inputs_(std::move(inputs)) {
  const std::string data = inputs_ + "/data.h5", vqvae = inputs_ + "/vqvae", var = inputs_ + "/var";
  const std::vector<std::string> tokenizer = {"--ch",         "8", "--ch-mult", "1,1,1,2", "--patch-nums", "1,2,4",
                                              "--z-channels", "4", "--vocab",   "16"};
  const auto with = [](std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  bases_ = {with({"train_vqvae", "--data", data, "--norm-groups", "8", "--steps", "2", "--batch", "4",
                  "--init-iterations", "1", "--evaluate-images", "8", "--grid-images", "4", "--out", "out"},
                 tokenizer),
            {"train_var", "--data",        data, "--tokenizer", vqvae, "--depth", "1", "--embed-dim",
             "16",        "--heads",       "2",  "--steps",     "2",   "--batch", "4", "--evaluate-images",
             "8",         "--grid-images", "4",  "--out",       "out"},
            {"sample", "--checkpoint", var, "--tokenizer", vqvae, "--classes", "0", "--count", "2", "--out", "out"},
            {"edit", "--image", data + "/test/1", "--checkpoint", var, "--tokenizer", vqvae, "--box", "0,0,16,16",
             "--count", "2", "--out", "out"},
            {"reconstruct", data, "--tokenizer", vqvae, "--limit", "4", "--out", "out"},
            {"evaluate", "--fake", data, "--real", data, "--limit", "8", "--self-check", "--out", "out"},
            {"convert_weights", vqvae, "x.safetensors"},
            {"prepare_data", "procedural", "--count", "8", "--test-count", "4", "--out", "made.h5"},
            {"prepare_data", "info", data},
            {"prepare_data", "preview", data, "--png", "x.png"},
            {"prepare_data", "images", "folder", "--size", "16", "--out", "made.h5"},
            {"prepare_data", "cifar100", "folder", "--out", "made.h5"},
            {"inspect_pe", var, "--out", "out"},
            with({"pe_study",
                  data,
                  "--encodings",
                  "learned,none",
                  "--seeds",
                  "0",
                  "--steps",
                  "2",
                  "--batch",
                  "4",
                  "--tokenizer-steps",
                  "2",
                  "--tokenizer-batch",
                  "4",
                  "--samples",
                  "1",
                  "--train-images",
                  "8",
                  "--held-out-images",
                  "4",
                  "--depth",
                  "1",
                  "--embed-dim",
                  "16",
                  "--heads",
                  "2",
                  "--out",
                  "out"},
                 tokenizer),
            {"run_fixture", "missing.h5", "--out", "x.h5"}};
  for (const auto& base : bases_) {
    const std::string command = base[0] == "prepare_data" ? base[1] : "";
    options_[base[0] + " " + command] = options_of(base[0], command);
  }
}

std::vector<CommandLines::Option> CommandLines::options_of(const std::string& program,
                                                           const std::string& command) const {
  std::istringstream help(output_of(cat(programs_, "/", program, " ", command, " --help")));
  std::vector<Option> options;
  for (std::string line; std::getline(help, line);) {
    const size_t dashes = line.find("--");
    if (!line.starts_with("  ") || line.starts_with("   ") || dashes == std::string::npos) { continue; }
    std::istringstream words(line.substr(dashes + 2));
    Option option;
    words >> option.name;
    // One blank before the placeholder, more before the text about the option.
    const size_t end = dashes + 2 + option.name.size();
    if (end + 1 < line.size() && line[end + 1] != ' ') { words >> option.kind; }
    if (!option.name.ends_with(',')) { options.push_back(option); }
  }
  if (options.empty()) { throw Error(cat(program, " ", command, " --help lists no options")); }
  return options;
}

CommandLine CommandLines::make(uint64_t seed, uint64_t index) const {
  Random random(seed * 1000003 + index);
  const std::vector<std::string>& base = bases_[index % bases_.size()];
  const bool has_command = base[0] == "prepare_data";
  const std::vector<Option>& options = options_.at(base[0] + " " + (has_command ? base[1] : ""));
  CommandLine line{.program = base[0], .arguments = {base.begin() + 1, base.end()}, .files = {}};
  std::vector<std::string>& arguments = line.arguments;
  const auto anywhere = [&] { return arguments.begin() + static_cast<int64_t>(random() % (arguments.size() + 1)); };
  const bool mild = happens(0.5, random);
  for (uint64_t i = 0, count = 1 + random() % (mild ? 2 : 3); i < count; ++i) {
    const Option& option = one_of(options, random);
    const std::string name = "--" + option.name;
    const double kind = static_cast<double>(random() % 100) / (mild ? 170 : 100);
    if (kind < 0.6) {
      arguments.push_back(name);
      if (!option.kind.empty()) { arguments.push_back(value_of(option.kind, mild, random)); }
    } else if (kind < 0.68) {
      arguments.push_back(name + "=" + value_of(option.kind, mild, random));
    } else if (kind < 0.74) {
      arguments.insert(anywhere(), misspelt(name, random));
    } else if (kind < 0.8) {
      arguments.insert(anywhere(), value_of("N", mild, random));
    } else if (kind < 0.85 && !arguments.empty()) {
      arguments.erase(arguments.begin() + static_cast<int64_t>(random() % arguments.size()));
    } else if (kind < 0.9 && !arguments.empty()) {
      std::swap(one_of(arguments, random) == "" ? arguments.front() : arguments[random() % arguments.size()],
                arguments[random() % arguments.size()]);
    } else if (kind < 0.93) {
      arguments.insert(anywhere(),
                       one_of(std::vector<std::string>{"--", "-", "---", "-h", "--version", "=", "-1", "--="}, random));
    } else {
      arguments.push_back(name);  // its value is missing, where it takes one
    }
  }
  if (happens(mild ? 0.1 : 0.4, random)) {
    Json config = Json::object();
    for (uint64_t i = 0, count = 1 + random() % 4; i < count; ++i) {
      config[happens(0.05, random) ? "unknown" : one_of(options, random).name] = json_value(random);
    }
    if (happens(0.1, random)) { config = Json{{"program", base[0]}, {"configuration", config}}; }
    std::string text = happens(0.05, random) ? json_text(json_value(random)) : json_text(config);
    if (happens(0.5, random)) { text = changed_bytes(text, random); }
    line.files["config.json"] = text;
    arguments.insert(arguments.end(), {"--config", happens(0.1, random) ? one_of(texts(), random) : "config.json"});
  }
  return line;
}

}  // namespace terrace
