// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Products of a few rows with a matrix that stays: blocks of both are held in registers (Goto, van de Geijn, ACM Trans.
// Math. Softw. 2008, 34, 12, 10.1145/1356052.1356053).
#ifndef IONLOOP_PRODUCTS_HPP
#define IONLOOP_PRODUCTS_HPP

#include <algorithm>
#include <cstring>
#include <cstddef>
#include <vector>

namespace ionloop {

#if defined(__AVX512F__)
constexpr int LANES = 8;
constexpr int ROWS = 8;
#elif defined(__AVX__)
constexpr int LANES = 4;
constexpr int ROWS = 4;
#else
constexpr int LANES = 2;
constexpr int ROWS = 4;
#endif
constexpr int VECTORS = 3;
constexpr int COLUMNS = LANES * VECTORS;
constexpr int DEPTH = 256;

typedef double Lanes __attribute__((vector_size(sizeof(double) * LANES), aligned(8), may_alias));

// A matrix [depth, columns] in panels of COLUMNS columns.
class Panels {
 public:
  Panels() = default;

  // element(k, c) gives its numbers.
  template <class Element> Panels(std::size_t depth, std::size_t columns, Element element) : depth_(depth), columns_(columns)
  {
    const std::size_t n_panels = (columns + COLUMNS - 1) / COLUMNS;
    numbers_.assign(n_panels * depth * COLUMNS, 0.0);
    for (std::size_t panel = 0; panel < n_panels; panel++)
      for (std::size_t k = 0; k < depth; k++)
        for (std::size_t c = 0; c < COLUMNS && panel * COLUMNS + c < columns; c++)
          numbers_[(panel * depth + k) * COLUMNS + c] = element(k, panel * COLUMNS + c);
  }

  std::size_t depth() const { return depth_; }
  // Of a product's rows: the columns and what fills the last panel.
  std::size_t stride() const { return (columns_ + COLUMNS - 1) / COLUMNS * COLUMNS; }

  // out[rows, stride()] = left[rows, depth], whose rows are left_stride apart. packed is working space.
  void multiply(const double *left, std::size_t left_stride, std::size_t rows, double *out,
                std::vector<double> &packed) const
  {
    const std::size_t blocks = (rows + ROWS - 1) / ROWS, width = stride();
    packed.resize(blocks * ROWS * DEPTH);
    for (std::size_t start = 0; start < depth_; start += DEPTH) {
      const std::size_t length = std::min<std::size_t>(DEPTH, depth_ - start);
      for (std::size_t block = 0; block < blocks; block++)
        for (int r = 0; r < ROWS; r++) {
          const std::size_t row = block * ROWS + r;
          double *target = packed.data() + block * ROWS * DEPTH + r;
          if (row < rows)
            for (std::size_t k = 0; k < length; k++) target[k * ROWS] = left[row * left_stride + start + k];
          else
            for (std::size_t k = 0; k < length; k++) target[k * ROWS] = 0.0;
        }
      for (std::size_t panel = 0; panel < width / COLUMNS; panel++) {
        const double *right = numbers_.data() + (panel * depth_ + start) * COLUMNS;
        for (std::size_t block = 0; block < blocks; block++)
          kernel(packed.data() + block * ROWS * DEPTH, right, length, out + block * ROWS * width + panel * COLUMNS,
                 width, std::min<std::size_t>(ROWS, rows - block * ROWS), start == 0);
      }
    }
  }

 private:
  static void kernel(const double *left, const double *right, std::size_t length, double *out, std::size_t stride,
                     std::size_t rows, bool first)
  {
    Lanes sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
      for (int v = 0; v < VECTORS; v++) sums[r][v] = Lanes{} ;
    for (std::size_t k = 0; k < length; k++) {
      Lanes columns[VECTORS];
      for (int v = 0; v < VECTORS; v++) columns[v] = *reinterpret_cast<const Lanes *>(right + k * COLUMNS + v * LANES);
      for (int r = 0; r < ROWS; r++) {
        const double factor = left[k * ROWS + r];
        for (int v = 0; v < VECTORS; v++) sums[r][v] += factor * columns[v];
      }
    }
    for (std::size_t r = 0; r < rows; r++)
      for (int v = 0; v < VECTORS; v++) {
        Lanes *target = reinterpret_cast<Lanes *>(out + r * stride + v * LANES);
        *target = first ? sums[r][v] : *target + sums[r][v];
      }
  }

  std::size_t depth_ = 0, columns_ = 0;
  std::vector<double> numbers_;
};

}    // namespace ionloop

#endif
