// What every program does with errors and signals, the progress line, and run.json.
#include "experiments/cli/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <new>
#include <thread>

#include "data/files/atomic_file.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "tests/support.h"

namespace terrace {
namespace {

struct Outcome {
  int code;
  std::string errors;
};

Outcome run(const std::function<void()>& body) {
  char name[] = "/some/where/prog";
  char* arguments[] = {name};
  testing::internal::CaptureStderr();
  const int code = run_program(1, arguments, [&](int, char**) { body(); });
  return {code, testing::internal::GetCapturedStderr()};
}

TEST(Program, SuccessIsSilent) {
  const Outcome outcome = run([] {});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.errors, "");
}

TEST(Program, AnErrorIsOneLine) {
  const Outcome outcome = run([] { throw ShapeError("add: bad\nshape"); });
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.errors, "prog: error: add: bad shape\n");
  EXPECT_EQ(run([] { throw std::runtime_error("other"); }).errors, "prog: error: other\n");
}

TEST(Program, OutOfMemorySaysHowMuch) {
  const Outcome outcome = run([] { throw std::bad_alloc(); });
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.errors.find("out of memory: tensors hold"), std::string::npos) << outcome.errors;
}

TEST(Program, EarlyExitIsSilent) {
  EXPECT_EQ(run([] { throw EarlyExit{0}; }).code, 0);
}

TEST(Program, CtrlCEndsWith130AtTheNextCheck) {
  EXPECT_EXIT(
      {
        char name[] = "prog";
        char* arguments[] = {name};
        std::exit(run_program(1, arguments, [](int, char**) {
          check_interrupt();
          std::raise(SIGINT);
          check_interrupt();
          throw Error("not reached");
        }));
      },
      testing::ExitedWithCode(130), "^prog: interrupted\n$");
}

/// Ends the process as a program whose body this is.
[[noreturn]] void end_as_program(const std::function<void()>& body) {
  char name[] = "prog";
  char* arguments[] = {name};
  std::exit(run_program(1, arguments, [&](int, char**) { body(); }));
}

TEST(Program, EverySignalThatAsksForTheEndEndsWith130) {
  for (const auto& [number, said] : {std::pair{SIGTERM, "terminated"}, std::pair{SIGHUP, "the terminal was closed"},
                                     std::pair{SIGPIPE, "what is printed has no reader any more"}}) {
    const auto body = [number = number] {
      std::raise(number);
      check_interrupt();
    };
    EXPECT_EXIT(end_as_program(body), testing::ExitedWithCode(130), cat("^prog: ", said, "\n$"));
  }
}

TEST(Program, TheSecondSignalEndsItAtOnce) {
  for (const auto& [first, second] :
       {std::pair{SIGINT, SIGINT}, std::pair{SIGTERM, SIGINT}, std::pair{SIGHUP, SIGTERM}}) {
    const auto body = [first = first, second = second] {
      std::raise(first);
      usleep(300'000);
      std::raise(second);
    };
    EXPECT_EXIT(end_as_program(body), testing::KilledBySignal(second), "^$");
  }
}

/// timeout(1) signals the process and its group; ranks are signalled by a terminal and by the process that started
/// them.
TEST(Program, OneRequestMayComeAsSeveralSignals) {
  const auto at_once = [] {
    for (const int number : {SIGTERM, SIGTERM, SIGHUP}) { std::raise(number); }
    check_interrupt();
  };
  EXPECT_EXIT(end_as_program(at_once), testing::ExitedWithCode(130), "^prog: terminated\n$");
  const auto sent_on = [] {
    std::raise(SIGINT);
    usleep(300'000);
    sigqueue(getpid(), SIGINT, {});
    check_interrupt();
  };
  EXPECT_EXIT(end_as_program(sent_on), testing::ExitedWithCode(130), "^prog: interrupted\n$");
  const auto after_a_closed_pipe = [] {
    std::raise(SIGPIPE);
    usleep(300'000);
    std::raise(SIGPIPE);
    std::raise(SIGTERM);
    check_interrupt();
  };
  EXPECT_EXIT(end_as_program(after_a_closed_pipe), testing::ExitedWithCode(130), "^prog: terminated\n$");
}

TEST(Program, SignalsThatAreIgnoredStayIgnored) {
  const auto ignoring = [] {
    for (const int number : {SIGINT, SIGHUP, SIGTERM}) { std::signal(number, SIG_IGN); }
    end_as_program([] {
      for (const int number : {SIGINT, SIGHUP, SIGTERM}) { std::raise(number); }
      check_interrupt();
    });
  };
  EXPECT_EXIT(ignoring(), testing::ExitedWithCode(0), "^$") << "nohup, and background jobs of a shell";
}

TEST(Program, WithoutAReaderEndsBySigpipeWhenItsWorkIsDone) {
  EXPECT_EXIT(end_as_program([] { std::raise(SIGPIPE); }), testing::KilledBySignal(SIGPIPE), "^$");
}

TEST(Program, FindsItsProcessesWhereSigchldWasIgnored) {
  const auto ignoring = [] {
    std::signal(SIGCHLD, SIG_IGN);
    end_as_program([] {
      const pid_t process = fork();
      if (process == 0) { _exit(7); }
      int status = 0;
      if (waitpid(process, &status, 0) != process || WEXITSTATUS(status) != 7) { throw Error("lost"); }
    });
  };
  EXPECT_EXIT(ignoring(), testing::ExitedWithCode(0), "^$");
}

/// The pipe is full, so that the last flush of stdout waits for the reader, which sends the signal before it reads.
TEST(Program, ASignalDuringTheLastFlushLosesNothing) {
  const auto print = [] {
    int ends[2];
    if (pipe(ends) != 0) { std::_Exit(3); }
    const std::string before(static_cast<size_t>(fcntl(ends[1], F_GETPIPE_SZ)), 'x'), printed = "complete";
    if (write(ends[1], before.data(), before.size()) != static_cast<ssize_t>(before.size())) { std::_Exit(4); }
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    std::string got;
    std::thread reader([&, program = pthread_self()] {
      usleep(200'000);
      pthread_kill(program, SIGINT);
      usleep(100'000);
      char block[4096];
      for (ssize_t count = 0; (count = read(ends[0], block, sizeof block)) > 0;) {
        got.append(block, static_cast<size_t>(count));
      }
    });
    char name[] = "prog";
    char* arguments[] = {name};
    const int code = run_program(1, arguments, [&](int, char**) { std::fputs(printed.c_str(), stdout); });
    close(STDOUT_FILENO);
    reader.join();
    std::_Exit(code == 0 && got != before + printed ? 5 : code);
  };
  EXPECT_EXIT(print(), testing::ExitedWithCode(0), "^$");
}

/// A file that is opened later must not get what is printed.
TEST(Program, StandardDescriptorsThatAreClosedAreTaken) {
  const auto closed = [] {
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    end_as_program([] {
      const int file = open("/dev/null", O_WRONLY);
      std::printf("%d\n", file);
      if (file <= STDERR_FILENO) { throw Error("a file has the number of stdout"); }
    });
  };
  EXPECT_EXIT(closed(), testing::ExitedWithCode(2), "^prog: error: standard output cannot be written to\n$");
}

TEST(Progress, LineHasShareRateEtaAndFields) {
  Progress progress("train", 1000, "steps", stderr, LineStyle::kPlain);
  EXPECT_EQ(progress.line(250, 10, {{"loss", 4.25}}, 100),
            "train  [#####...............]  25%  250/1000 steps  10.0 steps/s  ETA 1:15  loss 4.25");
  EXPECT_EQ(progress.line(250, 10, {}, 0), "train  25%  250/1000 steps  10.0 steps/s  ETA 1:15");
  const std::string narrow = progress.line(250, 10, {{"loss", 4.25}}, 60);
  EXPECT_EQ(narrow.find('['), std::string::npos);
  EXPECT_LE(narrow.size(), 60U);
  EXPECT_EQ(Progress("read", 0, "images").line(64, 32, {}, 0), "read  64 images  32.0 images/s");
}

TEST(Progress, PlainLinesHoldNoControlCharacters) {
  TemporaryFolder folder;
  const std::string path = folder / "log";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  {
    Progress progress("work", 10, "items", file);
    for (int i = 1; i <= 10; ++i) { progress.update(i); }
    progress.message("half way");
    progress.finish();
    progress.finish();
  }
  std::fclose(file);
  const std::string text = read_file(path);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_NE(text.find("100%  10/10 items"), std::string::npos) << text;
}

TEST(Progress, TerminalLineIsRewrittenAndEnded) {
  TemporaryFolder folder;
  const std::string path = folder / "log";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  {
    Progress progress("work", 10, "items", file, LineStyle::kTerminal);
    progress.update(1);
  }
  std::fclose(file);
  const std::string text = read_file(path);
  EXPECT_EQ(text.front(), '\r');
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, TellsWhatIsBeingDoneUntilItIsDone) {
  TemporaryFolder folder;
  const std::string path = folder / "log";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  {
    Progress progress("sample", 8, "images", file, LineStyle::kTerminal);
    progress.start(4);
    EXPECT_EQ(progress.line(4, 0, {}, 0), "sample  50%  4/8 images") << "nothing was done here, so there is no rate";
    progress.doing("scale 7 of 10 (8x8)");
    EXPECT_EQ(progress.line(4, 0, {}, 0), "sample  50%  4/8 images  scale 7 of 10 (8x8)");
    progress.update(8);
    EXPECT_EQ(progress.line(8, 0.8, {}, 0), "sample  100%  8/8 images  0.80 images/s  ETA 0:00");
    progress.finish();
  }
  std::fclose(file);
  const std::string text = read_file(path);
  EXPECT_NE(text.find("4/8 images  scale 7 of 10 (8x8)"), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.rfind('\r')).find("scale"), std::string::npos) << text;
}

TEST(Progress, TheRateIsThatOfTheLastHalfMinute) {
  RecentRate rate;
  EXPECT_EQ(rate.rate(), 0);
  rate.add(0, 100);
  EXPECT_EQ(rate.rate(), 0);
  for (int64_t second = 1; second <= 1000; ++second) { rate.add(static_cast<double>(second), 100 + 10 * second); }
  EXPECT_DOUBLE_EQ(rate.rate(), 10);
  for (int64_t second = 1; second <= 31; ++second) { rate.add(static_cast<double>(1000 + second), 10100 + 2 * second); }
  EXPECT_DOUBLE_EQ(rate.rate(), 2) << "what was faster is more than half a minute ago";
  RecentRate often;
  for (int64_t i = 0; i <= 1000000; ++i) { often.add(1e-4 * static_cast<double>(i), i); }
  EXPECT_NEAR(often.rate(), 1e4, 1);
}

TEST(Progress, TheLastLineIsOneAndTellsTheTimeOfAll) {
  const TemporaryFolder folder;
  const std::string path = folder / "log";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  {
    Progress progress("work", 4, "items", file);
    progress.start(2);
    progress.set_total(3);
    progress.update(3, {{"loss", 2}});
    EXPECT_EQ(progress.line(3, 0.5, {{"loss", 2}}, 0, 61), "work  100%  3/3 items  0.50 items/s  in 1:01  loss 2");
    progress.finish();
  }
  std::fclose(file);
  const std::string text = read_file(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_NE(text.find(" in 0:"), std::string::npos) << text;
}

TEST(Progress, Formats) {
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(3725), "1:02:05");
  EXPECT_EQ(format_duration(std::nan("")), "--:--");
  EXPECT_EQ(format_bytes(640 * 1024), "640 KiB");
  EXPECT_EQ(format_bytes(1.5 * (1 << 30)), "1.5 GiB");
  EXPECT_EQ(format_number(0.0012346), "0.001235");
  EXPECT_EQ(format_number(123456), "123456");
}

TEST(RunRecord, HoldsConfigurationMachineAndResults) {
  TemporaryFolder folder;
  RunRecord record("prog", {{"steps", 3}}, 42);
  record.results()["loss"] = 1.5;
  record.write(folder.path());
  const Json json = read_json_file(folder / "run.json");
  EXPECT_EQ(json["program"], "prog");
  EXPECT_EQ(json["seed"], 42);
  EXPECT_EQ(json["configuration"]["steps"], 3);
  EXPECT_EQ(json["results"]["loss"], 1.5);
  EXPECT_GT(json["memory"]["peak_resident_bytes"], 0);
  for (const char* key : {"version", "started", "ended", "wall_seconds"}) { EXPECT_TRUE(json.contains(key)) << key; }
  for (const char* key : {"cpu", "kernels", "threads", "memory_bytes"}) {
    EXPECT_TRUE(json["machine"].contains(key)) << key;
  }
  for (const char* key : {"onednn", "openblas", "hdf5"}) { EXPECT_TRUE(json["libraries"].contains(key)) << key; }
}

TEST(RunRecord, FoldersThatCannotBe) {
  TemporaryFolder folder;
  write_file(folder / "file", "x");
  expect_error<IoError>([&] { make_folder(folder / "file"); }, "exists and is not a folder");
  expect_error<IoError>([&] { make_folder(folder / "file/below"); }, "cannot create folder");
  make_folder(folder / "a/b/c");
  make_folder(folder / "a/b/c");
}

}  // namespace
}  // namespace terrace
