// The number of an open file, which is closed with its owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace terrace {

class Descriptor {
 public:
  Descriptor() = default;
  /// What open() or a call like it gave: a negative number is that of no file.
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }

  int number() const { return number_; }
  bool valid() const { return number_ >= 0; }
  /// False, with the reason in errno, where the system tells only now that something could not be written.
  bool close() {
    const int number = std::exchange(number_, -1);
    return number < 0 || ::close(number) == 0;
  }

 private:
  int number_ = -1;
};

}  // namespace terrace
