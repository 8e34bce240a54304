#include "tests/reliability/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <sstream>

#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "tests/support.h"

namespace terrace {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The ends of a pipe; what comes out of it is collected.
class Collector {
 public:
  Collector() {
    if (::pipe2(ends_, O_CLOEXEC) != 0) { throw IoError(cat("torture: no pipe: ", std::strerror(errno))); }
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  ~Collector() {
    close_reader();
    close_writer();
  }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void close_writer() { close(ends_[1]); }
  void close_reader() { close(ends_[0]); }
  void collect(std::string& text) const {
    char buffer[8192];
    for (ssize_t n; ends_[0] >= 0 && (n = ::read(ends_[0], buffer, sizeof(buffer))) > 0;) {
      if (text.size() < (size_t{1} << 22)) { text.append(buffer, static_cast<size_t>(n)); }
    }
  }

 private:
  static void close(int& descriptor) {
    if (descriptor >= 0) { ::close(descriptor); }
    descriptor = -1;
  }
  int ends_[2] = {-1, -1};
};

/// What the child does between fork and exec: nothing here allocates.
[[noreturn]] void become(const std::vector<char*>& arguments, const std::string& folder, const ProcessOptions& options,
                         const Collector& out, const Collector& err, const std::vector<char*>& environment) {
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) { std::signal(number, SIG_DFL); }
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(input, 0);
  ::dup2(out.writer(), 1);
  ::dup2(err.writer(), 2);
  if (::chdir(folder.c_str()) != 0) { ::_exit(126); }
  for (const ProcessLimit& limit : options.limits) {
    const rlimit value{static_cast<rlim_t>(limit.value), static_cast<rlim_t>(limit.value)};
    ::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &value);
  }
  ::execve(arguments[0], arguments.data(), environment.data());
  ::_exit(126);
}

/// Waits for what is left of a group of processes; true where some of it lives on.
bool reap_orphans(pid_t group) {
  const auto start = Clock::now();
  for (;;) {
    const pid_t pid = ::waitpid(-group, nullptr, WNOHANG);
    if (pid < 0) { return false; }  // there are none
    if (pid == 0) {
      if (since(start) > 1) { return true; }
      ::usleep(1000);
    }
  }
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) { result.push_back(text.data()); }
  result.push_back(nullptr);
  return result;
}

/// For every program: one thread that does not spin, and files of temporary use in the folder where the program runs.
const std::vector<std::string> kEnvironment = {"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=passive", "TMPDIR=tmp",
                                               "TERRACE_CACHE=cache_by_default", "TERRACE_INCEPTION="};

std::vector<std::string> environment_of(const ProcessOptions& options) {
  std::vector<std::string> result = options.environment;
  result.insert(result.end(), kEnvironment.begin(), kEnvironment.end());
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry, name = text.substr(0, text.find('=') + 1);
    const auto same = [&](const std::string& given) { return given.starts_with(name); };
    if (std::none_of(result.begin(), result.end(), same)) { result.push_back(text); }
  }
  return result;
}

/// Lives from the start of the process to its end.
class Watch {
 public:
  Watch(pid_t pid, const ProcessOptions& options, Collector& out, Collector& err)
      : pid_(pid), options_(options), out_(out), err_(err) {}

  ProcessResult wait() {
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      act();
      pollfd ready[] = {{out_.reader(), POLLIN, 0}, {err_.reader(), POLLIN, 0}};
      ::poll(ready, 2, 1);
      if (((ready[0].revents | ready[1].revents) & POLLHUP) != 0) { ::usleep(300); }
      collect();
    }
    result_.seconds = since(start_);
    if (result_.signalled) { result_.reacted = result_.seconds - last_; }
    collect();
    result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    result_.orphans = reap_orphans(pid_);
    if (result_.orphans || result_.hung) { ::kill(-pid_, SIGKILL); }
    reap_orphans(pid_);
    return result_;
  }

 private:
  void collect() {
    out_.collect(result_.out);
    err_.collect(result_.err);
  }
  void act() {
    const double now = since(start_);
    while (sent_ < options_.signals.size() && now >= options_.signals[sent_].after) {
      ::kill(pid_, options_.signals[sent_++].number);
      last_ = now;
      result_.signalled = true;
    }
    if (options_.close_stdout_after >= 0 && now >= options_.close_stdout_after && out_.reader() >= 0) {
      out_.close_reader();
      last_ = now;
      result_.signalled = true;
    }
    if (now > options_.patience && !result_.hung) {
      result_.hung = true;
      ::kill(-pid_, SIGKILL);
    }
  }

  pid_t pid_;
  const ProcessOptions& options_;
  Collector &out_, &err_;
  Clock::time_point start_ = Clock::now();
  double last_ = 0;
  size_t sent_ = 0;
  ProcessResult result_;
};

}  // namespace

void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

ProcessResult run_process(const std::string& command, const std::filesystem::path& folder,
                          const ProcessOptions& options) {
  std::vector<std::string> words;
  std::istringstream stream(command);
  for (std::string word; stream >> word;) { words.push_back(word); }
  words.at(0) = program_path(words.at(0)).string();
  std::vector<std::string> environment = environment_of(options);
  const std::vector<char*> argument_pointers = pointers(words), environment_pointers = pointers(environment);
  Collector out, err, begun;
  const pid_t pid = ::fork();
  if (pid < 0) { throw IoError(cat("torture: cannot start a process: ", std::strerror(errno))); }
  if (pid == 0) { become(argument_pointers, folder.string(), options, out, err, environment_pointers); }
  ::setpgid(pid, pid);
  out.close_writer();
  err.close_writer();
  // The program's time begins when exec closes the child's end: until then signals would meet the harness's handlers.
  begun.close_writer();
  pollfd ended{begun.reader(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {}
  return Watch(pid, options, out, err).wait();
}

}  // namespace terrace
