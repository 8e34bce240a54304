// One bit changed anywhere in a file of tensors: it is refused, or what is read is what was written.
#include "tests/flipped_bits.h"

#include <archive.h>
#include <archive_entry.h>

#include <filesystem>

#include "data/files/atomic_file.h"
#include "data/formats/open_tensor_file.h"
#include "data/formats/tensor_writer.h"
#include "data/formats/zip_archive.h"
#include "metrics/statistics_file.h"

namespace terrace {
namespace {

/// Everything that a file tells, every other tensor by its rows.
std::string everything(const TensorFile& file) {
  std::string all;
  for (const auto& [name, text] : file.metadata()) { all += cat(name, "=", text, ";"); }
  bool by_rows = false;
  for (const TensorEntry& entry : file.entries()) {
    all += cat(entry.name, entry.shape, name_of(entry.dtype), ":");
    const bool rows = by_rows && !entry.shape.empty() && entry.shape[0] > 0;
    const Tensor value = rows ? file.read_rows(entry.name, 0, 1) : file.read(entry.name);
    all.append(static_cast<const char*>(value.raw_data()), static_cast<size_t>(value.numel() * size_of(value.dtype())));
    by_rows = !by_rows;
  }
  return all;
}

std::string everything_in(const std::string& bytes) {
  return everything(open_tensor_bytes("x", std::as_bytes(std::span(bytes))));
}

std::string written(const std::string& ending) {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, Tensor>> values = {
      {"head.weight", random_tensor({5, 3}, 1)},
      {"none", Tensor::zeros({0, 3})},
      {"rows", random_tensor({4, 2}, 2)},
      {"flags", Tensor::from(std::vector<int64_t>{1, 0, 1}, {3}).to(DType::kBool)},
      {"numbers", Tensor::arange(3)}};
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : values) { entries.push_back({name, value.dtype(), value.shape()}); }
  const auto writer = create_tensor_file(folder / "x" + ending, entries, {{"config", "{\"depth\":1}"}});
  for (const auto& [name, value] : values) { writer->write(value); }
  writer->commit();
  return read_file(folder / "x" + ending);
}

/// The arrays of an .npz, deflated.
std::string deflated(const std::string& npz) {
  const TemporaryFolder folder;
  const ZipReader zip(MappedFile::lend("x", std::as_bytes(std::span(npz))));
  archive* a = archive_write_new();
  archive_write_set_format_zip(a);
  archive_write_open_filename(a, (folder / "y").c_str());
  for (size_t i = 0; i < zip.entries().size(); ++i) {
    const ZipEntry& from = zip.entries()[i];
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, from.name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, from.size);
    archive_write_header(a, entry);
    archive_write_data(a, npz.data() + from.offset, static_cast<size_t>(from.size));
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  return read_file(folder / "y");
}

TEST(FlippedBits, OfSafetensorsAreNoticed) {
  const std::string bytes = written(".safetensors");
  EXPECT_GT(expect_no_flip_to_pass(bytes, 1, everything_in), static_cast<int64_t>(bytes.size()) * 8 - 8);
}

TEST(FlippedBits, OfNpzAreNoticed) {
  const std::string stored = written(".npz");
  EXPECT_GT(expect_no_flip_to_pass(stored, 1, everything_in), 1000);
  EXPECT_GT(expect_no_flip_to_pass(deflated(stored), 1, everything_in), 1000);
}

TEST(FlippedBits, OfPthAreNoticed) {
  EXPECT_GT(expect_no_flip_to_pass(written(".pth"), 1, everything_in), 1000);
  EXPECT_GT(expect_no_flip_to_pass(read_file(GoldenFile("pth_misc.pth").path()), 11, everything_in), 1000);
}

TEST(FlippedBits, OfStatisticsAreNoticed) {
  const TemporaryFolder folder;
  const std::string path = folder / "s.npz";
  const auto gaussian = [](int64_t dim) {
    return gaussian_of(random_tensor({40, dim}, static_cast<uint64_t>(dim), -1, 1, DType::kF64));
  };
  write_statistics(path, {.features = gaussian(5), .spatial = gaussian(3)});
  const auto read = [&](const std::string& bytes) {
    put_file(path, bytes);
    const ImageStatistics s = read_statistics(path);
    std::string all = cat(s.features.count);
    for (const std::optional<Gaussian>& g : {std::optional(s.features), s.spatial}) {
      if (!g) { continue; }
      for (const Tensor& value : {g->mean, g->covariance}) {
        all.append(static_cast<const char*>(value.raw_data()), static_cast<size_t>(value.numel() * 8));
      }
    }
    return all;
  };
  EXPECT_GT(expect_no_flip_to_pass(read_file(path), 13, read), 500);
}

TEST(FlippedBits, OfATensorAreNamedWhereTheyAreReadAndHeedOnlyIt) {
  std::string bytes = written(".safetensors");
  const auto open = [&] { return open_tensor_bytes("x.safetensors", std::as_bytes(std::span(bytes))); };
  const Tensor weight = open().read("head.weight");
  const std::string first(static_cast<const char*>(weight.raw_data()), 16);
  bytes[bytes.find(first) + 5] ^= 1;
  const TensorFile file = open();
  for (int i = 0; i < 2; ++i) {
    expect_error<IoError>([&] { file.read_rows("head.weight", 4, 5); },
                          "cannot read x.safetensors: tensor \"head.weight\" is damaged: its 60 bytes are not what was "
                          "written");
    expect_error<IoError>([&] { file.read("head.weight"); }, "tensor \"head.weight\" is damaged");
  }
  EXPECT_SAME(file.read("rows"), random_tensor({4, 2}, 2));
  bytes[20] ^= 1;
  expect_error<IoError>(open, "cannot read x.safetensors: safetensors: ");
}

/// What `open` says on stderr.
template <class F>
std::string said_by(const F& open) {
  testing::internal::CaptureStderr();
  open();
  return testing::internal::GetCapturedStderr();
}

TEST(FlippedBits, CannotBeNoticedWithoutChecksumsWhichIsSaidOnce) {
  const TemporaryFolder folder;
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const uint64_t length = header.size();
  write_file(folder / "a.safetensors",
             std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(4, '\0'));
  std::filesystem::copy_file(GoldenFile("var_tiny_legacy.pth").path(), folder / "b.pth");
  for (const std::string& path : {folder / "a.safetensors", folder / "b.pth"}) {
    EXPECT_NE(said_by([&] { open_tensor_file(path); })
                  .find("note: " + path +
                        " has no checksums: damage in its numbers is not noticed; convert_weights "
                        "writes files that have them\n"),
              std::string::npos);
    EXPECT_EQ(said_by([&] { open_tensor_file(path); }), "");
  }
  write_file(folder / "c.safetensors", written(".safetensors"));
  EXPECT_EQ(said_by([&] { open_tensor_file(folder / "c.safetensors"); }), "");
}

}  // namespace
}  // namespace terrace
