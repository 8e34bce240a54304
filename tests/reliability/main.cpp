// torture: harms the files and the runs of the programs beside it, and counts what comes of it (docs/reliability.md).
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "tensor/base/error.h"
#include "tests/reliability/torture.h"

namespace terrace {
namespace {

void print_help() {
  std::printf(
      "torture: harms files and runs of the programs beside it and counts what comes of it.\n\n"
      "  --time N           seconds, divided among the classes, each at least its least tries; 0: the tries of the "
      "tests [0]\n"
      "  --seed N           of all that is chosen by chance [1]\n"
      "  --classes A,B,..   some of the classes [all]\n"
      "  --only CLASS:N     one try, the folder as the program found it kept in FAILURES\n"
      "  --jobs N           tries at once [2]\n"
      "  --failures FOLDER  for the folders of failed tries [none]\n\nClasses:\n");
  for (const AttackClass& attack : attack_classes()) {
    std::printf("  %-14s %s (%lld tries at least)\n", attack.name, attack.about,
                static_cast<long long>(attack.minimum));
  }
}

TortureOptions parse(int argc, char** argv) {
  TortureOptions options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 >= argc) { throw Error(cat("torture: ", name, " needs a value; see --help")); }
    const std::string value = argv[i + 1];
    if (name == "--time") {
      options.seconds = std::atof(value.c_str());
    } else if (name == "--seed") {
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "--jobs") {
      options.jobs = std::max(1, std::atoi(value.c_str()));
    } else if (name == "--failures") {
      options.failures = value;
    } else if (name == "--classes") {
      std::istringstream stream(value);
      for (std::string part; std::getline(stream, part, ',');) { options.classes.push_back(part); }
    } else if (name == "--only" && value.find(':') != std::string::npos) {
      options.only_class = value.substr(0, value.find(':'));
      options.only = std::atoll(value.c_str() + value.find(':') + 1);
    } else {
      throw Error(cat("torture: unknown ", name, " ", value, "; see --help"));
    }
  }
  return options;
}

int run(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    print_help();
    return 0;
  }
  const TortureOptions options = parse(argc, argv);
  std::signal(SIGINT, [](int) { stop_torture(); });
  std::signal(SIGTERM, [](int) { stop_torture(); });
  const TortureTable table = torture(options);
  std::printf("\n%s\n%s%lld failures\n", table.markdown().c_str(), table.interrupted ? "interrupted; " : "",
              static_cast<long long>(table.failed()));
  return table.failed() > 0 ? 1 : table.interrupted ? 130 : 0;
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  try {
    return terrace::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
