// Harm to files that programs read: single bits, and cuts, additions, zeroed sectors, exchanged blocks, other files.
#include <algorithm>

#include "data/files/atomic_file.h"
#include "tensor/base/error.h"
#include "tests/reliability/file_kinds.h"

namespace terrace {
namespace {

std::vector<std::vector<Expected>> g_expected;  // of every kind and reader; made before the workers are forked

/// Another file that is whole is not damaged: where it serves, its values are taken.
constexpr const char* kInItsPlace = " in its place";

/// Harms the file of the kind that the index chooses, runs one of its readers, and judges.
template <class Harm>
Verdict try_harm(const Place& place, int64_t index, Chance& chance, const Harm& harm) {
  const size_t kinds = file_kinds().size(), which = static_cast<size_t>(index) % kinds;
  const FileKind& kind = file_kinds()[which];
  const size_t reader = (static_cast<size_t>(index) / kinds) % kind.readers.size();
  Verdict verdict;
  {
    const Sandbox sandbox(place.scratch / "try", place.fixture, kind.needs);
    const std::filesystem::path file = sandbox / file_of(kind, sandbox.path());
    const std::string before = read_file(file);
    std::string bytes = before;
    const std::string what = harm(bytes, chance);
    put_bytes(file, bytes);
    if (!place.keep.empty()) { sandbox.keep(place.keep); }
    FileKind judged = kind;
    judged.checked = kind.checked && !what.ends_with(kInItsPlace);
    verdict = judge_reader(judged, kind.readers[reader], g_expected[which][reader], sandbox);
    verdict.detail = cat(kind.file, ": ", what, ": ", verdict.detail);
  }
  return verdict;
}

std::string flip_bit(std::string& bytes, Chance& chance) {
  const int64_t bit = chance.below(8 * static_cast<int64_t>(bytes.size()));
  bytes[static_cast<size_t>(bit / 8)] = static_cast<char>(bytes[static_cast<size_t>(bit / 8)] ^ (1 << (bit % 8)));
  return cat("bit ", bit % 8, " of byte ", bit / 8);
}

/// A length near the beginning, anywhere, or a few bytes less than the whole.
size_t cut_length(size_t size, Chance& chance) {
  const int64_t all = static_cast<int64_t>(size);
  switch (chance.below(4)) {
    case 0:
      return 0;
    case 1:
      return static_cast<size_t>(chance.below(std::min<int64_t>(all, 600)));
    case 2:
      return static_cast<size_t>(chance.below(all));
    default:
      return static_cast<size_t>(std::max<int64_t>(0, all - 1 - chance.below(64)));
  }
}

std::string zero_sector(std::string& bytes, Chance& chance) {
  const size_t sector = chance.below(2) == 0 ? 512 : 4096;
  const size_t begin = sector * static_cast<size_t>(chance.below(static_cast<int64_t>(bytes.size() / sector + 1)));
  const size_t end = std::min(bytes.size(), begin + sector);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(std::min(begin, end)),
            bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  return cat("zeros from ", begin, " to ", end);
}

std::string exchange_blocks(std::string& bytes, Chance& chance) {
  const size_t block = 512, blocks = bytes.size() / block;
  if (blocks < 2) {
    std::reverse(bytes.begin(), bytes.end());
    return "bytes in reverse";
  }
  const size_t a = static_cast<size_t>(chance.below(static_cast<int64_t>(blocks)));
  const size_t b = (a + 1 + static_cast<size_t>(chance.below(static_cast<int64_t>(blocks) - 1))) % blocks;
  std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(a * block),
                   bytes.begin() + static_cast<std::ptrdiff_t>((a + 1) * block),
                   bytes.begin() + static_cast<std::ptrdiff_t>(b * block));
  return cat("blocks ", a, " and ", b, " of 512 bytes exchanged");
}

std::string cut(const Place& place, std::string& bytes, Chance& chance) {
  switch (chance.below(5)) {
    case 0: {
      const size_t length = cut_length(bytes.size(), chance);
      bytes.resize(length);
      return cat("cut to ", length, " bytes");
    }
    case 1: {
      const int64_t more = 1 + chance.below(chance.below(2) == 0 ? 8 : 5000);
      for (int64_t i = 0; i < more; ++i) { bytes.push_back(static_cast<char>(chance.bits())); }
      return cat(more, " bytes appended");
    }
    case 2:
      return zero_sector(bytes, chance);
    case 3:
      return exchange_blocks(bytes, chance);
    default: {
      const FileKind& other = chance.of(file_kinds());
      bytes = read_file(place.fixture / file_of(other, place.fixture));
      return cat(other.name, kInItsPlace);
    }
  }
}

}  // namespace

void prepare_flips(const Place& place) {
  if (!g_expected.empty()) { return; }
  for (const FileKind& kind : file_kinds()) { g_expected.push_back(expected_of(kind, place)); }
}

Verdict try_flip(const Place& place, int64_t index, Chance& chance) { return try_harm(place, index, chance, flip_bit); }

Verdict try_cut(const Place& place, int64_t index, Chance& chance) {
  return try_harm(place, index, chance, [&](std::string& bytes, Chance& c) { return cut(place, bytes, c); });
}

}  // namespace terrace
