// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "terms.hpp"

#include <algorithm>
#include <cmath>

#include "cutoff.hpp"

namespace ionloop {

PairTerm::PairTerm(const ModelFile &file, const std::string &name) : table_(file.reals(name + ".table"))
{
  const auto &numbers = file.integers(name + ".numbers");
  const auto &limits = file.reals(name + ".limits");
  first_ = static_cast<int>(numbers.at(0));
  second_ = static_cast<int>(numbers.at(1));
  cutoff_ = limits.at(0);
  width_ = limits.at(1);
  tail_exponent_ = limits.at(2);
  tail_range_ = limits.at(3);
  pieces_per_A_ = limits.at(4);
}

void PairTerm::add(const Pairs &pairs, double scale, Sums &sums) const
{
  const long n_pieces = static_cast<long>(table_.size() / 6);
  for (std::size_t i = 0; i < pairs.size(); i++) {
    const int a = pairs.numbers[i];
    const bool forward = first_ == 0 || first_ == a, backward = second_ == 0 || second_ == a;
    if (!forward && !backward) continue;
    double energy = 0.0;
    for (std::size_t p = pairs.starts[i]; p < pairs.starts[i + 1]; p++) {
      const double r = pairs.distances[p];
      const int b = pairs.second_numbers[p];
      const bool matches = (forward && (second_ == 0 || second_ == b)) || (backward && (first_ == 0 || first_ == b));
      if (r >= cutoff_ || !matches) continue;
      double df;
      double f = cutoff_function(r, cutoff_, width_, df);
      if (tail_exponent_ != 0.0) {
        const double ratio = std::erf(tail_range_ * r) / r;
        const double bell = 2.0 * tail_range_ / std::sqrt(M_PI) * std::exp(-tail_range_ * r * tail_range_ * r);
        const double factor = std::pow(ratio, tail_exponent_);
        df = df * factor + f * tail_exponent_ * factor / ratio * (bell - ratio) / r;
        f *= factor;
      }
      const double place = r * pieces_per_A_;
      const long piece = std::min(static_cast<long>(place), n_pieces - 1);
      const double t = place - piece;
      const double *c = table_.data() + 6 * piece;
      const double g = c[0] + t * (c[1] + t * (c[2] + t * (c[3] + t * (c[4] + t * c[5]))));
      const double dg = c[1] + t * (2.0 * c[2] + t * (3.0 * c[3] + t * (4.0 * c[4] + t * 5.0 * c[5])));
      // Both orders of a pair count, and each is shared by its two atoms: a whole one for every atom.
      energy += f * g;
      const double pull = scale * (df * g + f * dg * pieces_per_A_) / r;
      for (int axis = 0; axis < 3; axis++) sums.gradients[3 * p + axis] += pull * pairs.vectors[3 * p + axis];
    }
    sums.energies[i] += scale * energy;
  }
}

GlueTerm::Spline GlueTerm::read(const ModelFile &file, const std::string &name)
{
  Spline spline;
  spline.exists = true;
  spline.cutoff = file.real(name + ".cutoff");
  spline.pieces = file.reals(name + ".pieces");
  return spline;
}

double GlueTerm::Spline::value(double x, double &slope) const
{
  // The last piece that starts at x or before; the first where none does.
  std::size_t low = 0, high = pieces.size() / 5 - 1;
  while (low < high) {
    const std::size_t middle = (low + high + 1) / 2;
    if (pieces[5 * middle] <= x)
      low = middle;
    else
      high = middle - 1;
  }
  const double *piece = pieces.data() + 5 * low;
  const double t = x - piece[0];
  slope = piece[2] + t * (2.0 * piece[3] + t * 3.0 * piece[4]);
  return piece[1] + t * (piece[2] + t * (piece[3] + t * piece[4]));
}

GlueTerm::GlueTerm(const ModelFile &file)
    : pairs_(ALL_NUMBERS * ALL_NUMBERS), densities_(ALL_NUMBERS), embeddings_(ALL_NUMBERS)
{
  const auto &pairs = file.integers("glue.pairs");
  for (std::size_t index = 0; 2 * index < pairs.size(); index++) {
    const int a = static_cast<int>(pairs[2 * index]), b = static_cast<int>(pairs[2 * index + 1]);
    const Spline spline = read(file, "glue.pair" + std::to_string(index));
    pairs_.at(a * ALL_NUMBERS + b) = spline;
    pairs_.at(b * ALL_NUMBERS + a) = spline;
  }
  for (const auto number : file.integers("glue.densities"))
    densities_.at(number) = read(file, "glue.density" + std::to_string(number));
  for (const auto number : file.integers("glue.embeddings")) {
    embeddings_.at(number) = read(file, "glue.embedding" + std::to_string(number));
    embeds_ = true;
  }
}

void GlueTerm::add(const Pairs &pairs, Sums &sums) const
{
  for (std::size_t i = 0; i < pairs.size(); i++) {
    double density = 0.0;
    const Spline &embedding = embeddings_[pairs.numbers[i]];
    for (std::size_t p = pairs.starts[i]; p < pairs.starts[i + 1]; p++) {
      const double r = pairs.distances[p];
      const Spline &pair = pairs_[pairs.numbers[i] * ALL_NUMBERS + pairs.second_numbers[p]];
      double slope;
      if (pair.exists && r < pair.cutoff) {
        sums.energies[i] += 0.5 * pair.value(r, slope);
        const double pull = 0.5 * slope / r;
        for (int axis = 0; axis < 3; axis++) sums.gradients[3 * p + axis] += pull * pairs.vectors[3 * p + axis];
      }
      const Spline &other = densities_[pairs.second_numbers[p]];
      if (embeds_ && other.exists && r < other.cutoff) density += other.value(r, slope);
    }
    if (!embedding.exists) continue;
    double embedding_slope;
    sums.energies[i] += embedding.value(density, embedding_slope);
    for (std::size_t p = pairs.starts[i]; p < pairs.starts[i + 1]; p++) {
      const double r = pairs.distances[p];
      const Spline &other = densities_[pairs.second_numbers[p]];
      if (!other.exists || r >= other.cutoff) continue;
      double slope;
      other.value(r, slope);
      const double pull = embedding_slope * slope / r;
      for (int axis = 0; axis < 3; axis++) sums.gradients[3 * p + axis] += pull * pairs.vectors[3 * p + axis];
    }
  }
}

}    // namespace ionloop
