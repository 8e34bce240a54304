#include "tests/reliability/command_lines.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "data/files/atomic_file.h"
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

/// A value for an option of that kind, mostly; of another, or none that makes sense, now and then. A mild one may well be
/// taken, so that the program goes on with it.
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

std::string read_or_empty(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) ? read_file(path) : "";
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

std::string internals_in(const std::string& text) {
  for (const char* part : {"std::",
                           "basic_string",
                           "vector::",
                           "stoll",
                           "stoul",
                           "stoi",
                           "stod",
                           "json.exception",
                           "filesystem error",
                           "what():",
                           "terminate called",
                           "CLI::",
                           "nlohmann",
                           "HDF5-DIAG",
                           "bad_alloc",
                           "_M_",
                           "map::at",
                           "::at:",
                           "regex_error",
                           "primitive descriptor",
                           "libgomp",
                           "Assertion",
                           "error while loading",
                           "OpenBLAS",
                           "iostream error",
                           "bad_optional",
                           "bad_variant",
                           "bad_function",
                           "Required",
                           "required N",
                           "not convertible"}) {
    if (text.find(part) != std::string::npos) { return part; }
  }
  return "";
}

namespace {

/// What the folder holds beside what its runs list, and half-written files; "" where all is accounted for.
std::string stray_files(const std::string& folder, const CommandLine& line) {
  std::set<fs::path> listed;
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) { continue; }
    found.push_back(entry.path());
    if (entry.path().filename() != "run.json") { continue; }
    const Json record = parse_json_if_valid(read_file(entry.path().string()));
    listed.insert(entry.path());
    if (!record.is_object() || !record.contains("files")) { continue; }
    for (const Json& file : record["files"]) { listed.insert(entry.path().parent_path() / file.get<std::string>()); }
  }
  // Outputs that are files by themselves, and what the run was given.
  const std::set<std::string> known = {
      "note.txt",    "empty.h5",        "stdout",        "stderr",
      "config.json", "tokens-train.h5", "tokens-test.h5"};  // caches, which outlive their run
  for (const fs::path& path : found) {
    const std::string name = path.filename().string();
    if (name.find(".partial-") != std::string::npos) { return path.string() + " is left, half-written"; }
    const bool in_run = path.parent_path() != folder && fs::exists(path.parent_path() / "run.json");
    if (in_run && !listed.contains(path) && !known.contains(name)) { return path.string() + " is in no list of a run"; }
  }
  (void)line;
  return "";
}

pid_t start(const CommandLine& line, const std::string& programs, const std::string& folder) {
  std::vector<std::string> texts = {programs + "/" + line.program};
  texts.insert(texts.end(), line.arguments.begin(), line.arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) { pointers.push_back(text.data()); }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  const std::string out = folder + "/stdout", err = folder + "/stderr";
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  pid_t process = 0;
  const int error = posix_spawn(&process, texts[0].c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) { throw Error(cat("cannot start ", texts[0], ": ", std::strerror(error))); }
  return process;
}

/// Waits until it ends or the time is over; whether it has ended.
bool wait_for(pid_t process, double seconds, int& status) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  while (waitpid(process, &status, WNOHANG) == 0) {
    if (std::chrono::duration<double>(Clock::now() - begin).count() > seconds) { return false; }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string mistake_of(const CommandOutcome& outcome, const CommandLine& line, const std::string& folder) {
  if (outcome.hung) { return "did not end within two seconds after SIGINT"; }
  const bool fits = outcome.status == 0 || outcome.status == 2 || outcome.status == 130 ||
                    (outcome.status == 1 && line.program == "run_fixture");
  if (!fits) { return cat("exit code ", outcome.status); }
  if (const std::string part = internals_in(outcome.errors); !part.empty()) {
    return cat("a text of a library's internals: ", part);
  }
  const std::string head = line.program + ": error: ";
  int64_t errors = 0;
  std::string last;
  std::istringstream lines(outcome.errors);
  for (std::string text; std::getline(lines, text);) {
    if (text.starts_with(head)) { ++errors; }
    last = text;
  }
  if (outcome.status == 2 && (errors != 1 || !last.starts_with(head))) { return "not one line of error at the end"; }
  if (outcome.status == 0 && errors != 0) { return "an error, and exit code 0"; }
  if (last.size() > 2000) { return cat("a line of ", last.size(), " bytes"); }
  return stray_files(folder, line);
}

}  // namespace

CommandOutcome run_command_line(const CommandLine& line, const std::string& programs, const std::string& folder) {
  fs::create_directories(folder + "/folder");
  write_file(folder + "/note.txt", "a text\n");
  write_file(folder + "/empty.h5", "");
  mkfifo((folder + "/pipe").c_str(), 0600);
  for (const auto& [name, content] : line.files) { write_file(folder + "/" + name, content); }
  constexpr double kPatience = 5, kAfterSignal = 2;
  const auto begin = std::chrono::steady_clock::now();
  const pid_t process = start(line, programs, folder);
  CommandOutcome outcome;
  int status = 0;
  if (!wait_for(process, kPatience, status)) {
    kill(process, SIGINT);
    if (!wait_for(process, kAfterSignal, status)) {
      outcome.hung = true;
      kill(process, SIGKILL);
      waitpid(process, &status, 0);
    }
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.errors = read_or_empty(folder + "/stderr");
  outcome.mistake = mistake_of(outcome, line, folder);
  fs::remove_all(folder);
  return outcome;
}

}  // namespace terrace
