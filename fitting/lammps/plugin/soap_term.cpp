// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// SOAP (Bartok, Kondor, Csanyi, Phys. Rev. B 2013, 87, 184115, 10.1103/PhysRevB.87.184115): expansion in radial
// functions and solid harmonics (recursions of Bigi, Fraux, Browning, Ceriotti, J. Chem. Phys. 2023, 159, 064802,
// 10.1063/5.0156307), power spectrum, covariances with sparse points, and the way back by the adjoint method.
#include "terms.hpp"

#include <algorithm>
#include <cmath>

#include "cutoff.hpp"

namespace ionloop {

namespace {

constexpr int MOST_LM = 25 * 25;
constexpr int MOST_L = 26;

int padded(int count)
{
  return (count + LANES - 1) / LANES * LANES;
}

inline Lanes &lanes(double *place)
{
  return *reinterpret_cast<Lanes *>(place);
}

inline const Lanes &lanes(const double *place)
{
  return *reinterpret_cast<const Lanes *>(place);
}

// Q_lm(z, r^2) at l^2 + l + m, and the real and imaginary parts of (x + iy)^m.
void polynomials(double x, double y, double z, int l_max, double *q, double *cosines, double *sines)
{
  const double r2 = x * x + y * y + z * z;
  cosines[0] = 1.0;
  sines[0] = 0.0;
  for (int m = 1; m <= l_max; m++) {
    cosines[m] = x * cosines[m - 1] - y * sines[m - 1];
    sines[m] = x * sines[m - 1] + y * cosines[m - 1];
  }
  q[0] = 1.0;
  for (int l = 1; l <= l_max; l++) {
    const int row = l * l + l, below = l * l - l, lowest = l * l - 3 * l + 2;
    q[row + l] = (2 * l - 1) * q[below + l - 1];
    q[row + l - 1] = (2 * l - 1) * z * q[below + l - 1];
    for (int m = 0; m < l - 1; m++)
      q[row + m] = ((2 * l - 1) * z * q[below + m] - (l + m - 1) * r2 * q[lowest + m]) / (l - m);
  }
}

// Calls f with the number as a constant where it is a usual one, with 0 where it is to be read at run time.
template <class F> void with_constant(int number, F f)
{
  switch (number) {
    case 4: f(std::integral_constant<int, 4>()); break;
    case 8: f(std::integral_constant<int, 8>()); break;
    case 12: f(std::integral_constant<int, 12>()); break;
    default: f(std::integral_constant<int, 0>());
  }
}

template <class F> void with_orders(int l, F f)
{
  switch (l) {
    case 0: f(std::integral_constant<int, 1>()); break;
    case 1: f(std::integral_constant<int, 3>()); break;
    case 2: f(std::integral_constant<int, 5>()); break;
    case 3: f(std::integral_constant<int, 7>()); break;
    case 4: f(std::integral_constant<int, 9>()); break;
    case 5: f(std::integral_constant<int, 11>()); break;
    case 6: f(std::integral_constant<int, 13>()); break;
    default: f(std::integral_constant<int, 0>());
  }
}

// One l of the full power spectrum, products A >= B of one atom.
template <int ORDERS>
void spectrum_of_l(const double *channels, int stride, int n_channels, int orders, const double *factors, double *out)
{
  const int n_orders = ORDERS ? ORDERS : orders;
  for (int a = 0; a < n_channels; a++) {
    for (int b = 0; b <= a; b += LANES) {
      Lanes sum = Lanes{};
      for (int m = 0; m < n_orders; m++) sum += channels[m * stride + a] * lanes(channels + m * stride + b);
      // What reaches beyond the row is written again by the next one.
      lanes(out + b) = sum * lanes(factors + b);
    }
    out += a + 1;
    factors += a + 1;
  }
}

// One l of dE/dc: rows of c times a symmetric matrix.
template <int ORDERS>
void adjoint_of_l(const double *channels, int stride, int n_channels, int orders, const double *matrix, double *out)
{
  if (ORDERS == 0) {
    for (int m = 0; m < orders; m++)
      for (int b = 0; b < stride; b += LANES) {
        Lanes sum = Lanes{};
        for (int q = 0; q < n_channels; q++) sum += channels[m * stride + q] * lanes(matrix + q * stride + b);
        lanes(out + m * stride + b) = sum;
      }
    return;
  }
  constexpr int N = ORDERS ? ORDERS : 1;
  for (int b = 0; b < stride; b += LANES) {
    Lanes sums[N];
    for (int m = 0; m < N; m++) sums[m] = Lanes{};
    for (int q = 0; q < n_channels; q++) {
      const Lanes row = lanes(matrix + q * stride + b);
      for (int m = 0; m < N; m++) sums[m] += channels[m * stride + q] * row;
    }
    for (int m = 0; m < N; m++) lanes(out + m * stride + b) = sums[m];
  }
}

double normalised(double *row, std::size_t length)
{
  double square = 0.0;
  for (std::size_t k = 0; k < length; k++) square += row[k] * row[k];
  if (square == 0.0) return 1.0;
  const double norm = std::sqrt(square), inverse = 1.0 / norm;
  for (std::size_t k = 0; k < length; k++) row[k] *= inverse;
  return norm;
}

// out = (products + constants)^exponent.
void powers(const double *products, const double *constants, std::size_t length, double exponent, double *out)
{
  const int whole = static_cast<int>(exponent);
  if (whole != exponent || whole < 1 || whole > 8) {
    for (std::size_t s = 0; s < length; s++) out[s] = std::pow(products[s] + constants[s], exponent);
    return;
  }
  for (std::size_t s = 0; s < length; s++) out[s] = products[s] + constants[s];
  for (int k = 1; k < whole; k++)
    for (std::size_t s = 0; s < length; s++) out[s] *= products[s] + constants[s];
}

}    // namespace

SoapTerm::SoapTerm(const ModelFile &file, const std::string &name)
    : factors_(file.reals(name + ".factors")), constants_(file.reals(name + ".constants")),
      weights_(file.reals(name + ".weights")), run_left_(file.integers(name + ".run_left")),
      run_right_(file.integers(name + ".run_right")), run_lengths_(file.integers(name + ".run_lengths"))
{
  const auto &shape = file.integers(name + ".shape");
  n_max_ = static_cast<int>(shape.at(0));
  l_max_ = static_cast<int>(shape.at(1));
  n_channels_ = static_cast<int>(shape.at(2));
  normalise_ = shape.at(3) != 0;
  plain_ = shape.at(4) != 0;
  mixed_ = shape.at(5) != 0;
  n_left_ = static_cast<int>(shape.at(6));
  n_right_ = static_cast<int>(shape.at(7));
  n_lm_ = (l_max_ + 1) * (l_max_ + 1);
  stride_ = padded(n_channels_);
  n_functions_ = n_max_ * (l_max_ + 1);
  function_stride_ = padded(n_functions_);
  const auto &limits = file.reals(name + ".limits");
  cutoff_ = limits.at(0);
  width_ = limits.at(1);
  pieces_per_A_ = limits.at(2);
  zeta_ = limits.at(3);
  n_components_ = factors_.size();
  n_products_ = static_cast<int>(n_components_) / (l_max_ + 1);
  n_points_ = weights_.size();
  factors_.resize(n_components_ + LANES, 0.0);
  const auto &table = file.reals(name + ".table");
  const std::size_t rows = table.size() / n_functions_;
  table_.assign(rows * function_stride_, 0.0);
  for (std::size_t row = 0; row < rows; row++)
    std::copy_n(table.begin() + row * n_functions_, n_functions_, table_.begin() + row * function_stride_);
  prefactors_ = file.reals(name + ".prefactors");
  central_parts_ = file.reals(name + ".central_parts");
  for (int number = 0; number < ALL_NUMBERS; number++) {
    central_[number] = file.integers(name + ".central").at(number) != 0;
    channel_of_[number] = static_cast<int>(file.integers(name + ".channel_of").at(number));
  }
  if (mixed_) {
    mix_left_ = file.reals(name + ".mix_left");
    mix_right_ = file.reals(name + ".mix_right");
  }
  if (file.has(name + ".second")) second_ = file.reals(name + ".second");
  const auto &points = file.reals(name + ".points");
  const std::size_t d = n_components_, n = n_points_;
  const bool varies = file.has(name + ".whitening");
  if (zeta_ == 1.0) {
    auto collapsed = [&](const std::vector<double> &weights, std::vector<double> &vector, double &constant) {
      std::vector<long double> wide(d, 0.0L);
      long double sum = 0.0L;
      for (std::size_t s = 0; s < n; s++) {
        for (std::size_t k = 0; k < d; k++) wide[k] += static_cast<long double>(weights[s]) * points[s * d + k];
        sum += static_cast<long double>(weights[s]) * constants_[s];
      }
      vector.assign(wide.begin(), wide.end());
      constant = static_cast<double>(sum);
    };
    collapsed(weights_, linear_, linear_constant_);
    if (!second_.empty()) collapsed(second_, linear_second_, linear_second_constant_);
  }
  if (zeta_ != 1.0 || varies) to_points_ = Panels(d, n, [&](std::size_t k, std::size_t s) { return points[s * d + k]; });
  if (zeta_ != 1.0) from_points_ = Panels(n, d, [&](std::size_t s, std::size_t k) { return points[s * d + k]; });
  if (varies) {
    const auto &whitening = file.reals(name + ".whitening");
    factor_ = Panels(n, n, [&](std::size_t s, std::size_t t) { return whitening[t * n + s]; });
    covariance_weights_ = file.reals(name + ".covariance_weights");
    prior_ = file.real(name + ".prior");
  }
}

void SoapTerm::expand(const Pairs &pairs, SoapWork &work) const
{
  const std::size_t n = work.atoms.size();
  work.channels.assign(n * n_lm_ * stride_ + LANES, 0.0);
  const long n_pieces = static_cast<long>(table_.size() / (6 * function_stride_));
  with_constant(n_max_, [&](auto constant) {
    constexpr int N = decltype(constant)::value;
    const int n_max = N ? N : n_max_;
    double q[MOST_LM], cosines[MOST_L], sines[MOST_L];
    std::vector<double> radial(function_stride_);
    for (std::size_t a = 0; a < n; a++) {
      const std::size_t i = work.atoms[a];
      double *coefficients = work.channels.data() + a * n_lm_ * stride_;
      std::copy_n(central_parts_.data() + pairs.numbers[i] * n_channels_, n_channels_, coefficients);
      for (std::size_t p = pairs.starts[i]; p < pairs.starts[i + 1]; p++) {
        const double r = pairs.distances[p];
        const int channel = channel_of_[pairs.second_numbers[p]];
        if (r >= cutoff_ || channel < 0) continue;
        double unused;
        const double f = cutoff_function(r, cutoff_, width_, unused);
        const double place = r * pieces_per_A_;
        const long piece = std::min(static_cast<long>(place), n_pieces - 1);
        const double t = place - piece;
        const double *row = table_.data() + 6 * piece * function_stride_;
        for (int k = 0; k < function_stride_; k += LANES) {
          Lanes h = lanes(row + 5 * function_stride_ + k);
          for (int degree = 4; degree >= 0; degree--) h = h * t + lanes(row + degree * function_stride_ + k);
          lanes(radial.data() + k) = f * h;
        }
        const double *vector = pairs.vectors.data() + 3 * p;
        polynomials(vector[0], vector[1], vector[2], l_max_, q, cosines, sines);
        double *own = coefficients + channel * n_max;
        for (int l = 0; l <= l_max_; l++) {
          const int middle = l * l + l;
          const double *part = radial.data() + l * n_max;
          for (int m = 0; m <= l; m++) {
            const double base = prefactors_[middle + m] * q[middle + m];
            const double even = base * cosines[m], odd = base * sines[m];
            double *up = own + (middle + m) * stride_, *down = own + (middle - m) * stride_;
            for (int k = 0; k < n_max; k++) up[k] += even * part[k];
            if (m)
              for (int k = 0; k < n_max; k++) down[k] += odd * part[k];
          }
        }
      }
    }
  });
}

void SoapTerm::spectrum(SoapWork &work) const
{
  const std::size_t n = work.atoms.size(), stride = n_components_ + LANES;
  work.spectrum.resize(n * stride);
  work.norms.resize(n);
  for (std::size_t a = 0; a < n; a++) {
    double *row = work.spectrum.data() + a * stride;
    const double *channels = work.channels.data() + a * n_lm_ * stride_;
    for (int l = 0; l <= l_max_; l++)
      with_orders(l, [&](auto orders) {
        spectrum_of_l<decltype(orders)::value>(channels + l * l * stride_, stride_, n_channels_, 2 * l + 1,
                                               factors_.data() + l * n_products_, row + l * n_products_);
      });
    work.norms[a] = normalise_ ? normalised(row, n_components_) : 1.0;
  }
}

void SoapTerm::mixed_spectrum(SoapWork &work) const
{
  const std::size_t n = work.atoms.size(), stride = n_components_ + LANES;
  work.left.assign(n * n_lm_ * n_left_, 0.0);
  work.right.assign(n * n_lm_ * n_right_, 0.0);
  for (std::size_t row = 0; row < n * n_lm_; row++) {
    const double *own = work.channels.data() + row * stride_;
    for (int k = 0; k < n_channels_; k++) {
      if (!mixed_) {
        work.left[row * n_left_ + k] = own[k];
        work.right[row * n_right_ + k] = own[k];
        continue;
      }
      for (int c = 0; c < n_left_; c++) work.left[row * n_left_ + c] += own[k] * mix_left_[k * n_left_ + c];
      for (int c = 0; c < n_right_; c++) work.right[row * n_right_ + c] += own[k] * mix_right_[k * n_right_ + c];
    }
  }
  work.spectrum.assign(n * stride, 0.0);
  work.norms.resize(n);
  for (std::size_t a = 0; a < n; a++) {
    double *row = work.spectrum.data() + a * stride;
    for (int l = 0; l <= l_max_; l++) {
      std::size_t place = static_cast<std::size_t>(l) * n_products_;
      for (std::size_t run = 0; run < run_left_.size(); run++) {
        for (int lm = l * l; lm < (l + 1) * (l + 1); lm++) {
          const double value = work.left[(a * n_lm_ + lm) * n_left_ + run_left_[run]];
          const double *right = work.right.data() + (a * n_lm_ + lm) * n_right_ + run_right_[run];
          for (std::int64_t b = 0; b < run_lengths_[run]; b++) row[place + b] += value * right[b];
        }
        place += run_lengths_[run];
      }
    }
    for (std::size_t k = 0; k < n_components_; k++) row[k] *= factors_[k];
    work.norms[a] = normalise_ ? normalised(row, n_components_) : 1.0;
  }
}

void SoapTerm::begin(const Pairs &pairs, double scale, SoapWork &work, double *energies, double *second) const
{
  expand(pairs, work);
  if (plain_)
    spectrum(work);
  else
    mixed_spectrum(work);
  const std::size_t n = work.atoms.size(), stride = n_components_ + LANES;
  if (to_points_.depth()) {
    work.products.resize(n * to_points_.stride());
    to_points_.multiply(work.spectrum.data(), stride, n, work.products.data(), work.packed);
  }
  for (std::size_t a = 0; a < n; a++) {
    const std::size_t i = work.atoms[a];
    const double *row = work.spectrum.data() + a * stride;
    if (zeta_ == 1.0) {
      double total = 0.0, other = 0.0;
      for (std::size_t k = 0; k < n_components_; k++) total += row[k] * linear_[k];
      energies[i] += scale * (total + linear_constant_);
      if (!second) continue;
      for (std::size_t k = 0; k < n_components_; k++) other += row[k] * linear_second_[k];
      second[i] += other + linear_second_constant_;
      continue;
    }
    const double *products = work.products.data() + a * to_points_.stride();
    double total = 0.0, other = 0.0;
    work.powers.resize(n_points_);
    powers(products, constants_.data(), n_points_, zeta_, work.powers.data());
    for (std::size_t s = 0; s < n_points_; s++) total += weights_[s] * work.powers[s];
    if (second)
      for (std::size_t s = 0; s < n_points_; s++) other += second_[s] * work.powers[s];
    energies[i] += scale * total;
    if (second) second[i] += other;
  }
}

void SoapTerm::finish(const Pairs &pairs, double scale, SoapWork &work, const double *factors, double *gradients,
                      double *variances) const
{
  const std::size_t n = work.atoms.size();
  if (variances) add_variances(scale, work, variances);
  if (zeta_ == 1.0) {
    work.spectrum_slopes.resize(n * n_components_);
    for (std::size_t a = 0; a < n; a++) {
      const double factor = factors ? factors[work.atoms[a]] / scale : 0.0;
      double *row = work.spectrum_slopes.data() + a * n_components_;
      for (std::size_t k = 0; k < n_components_; k++) row[k] = linear_[k];
      if (factors)
        for (std::size_t k = 0; k < n_components_; k++) row[k] += factor * linear_second_[k];
    }
  } else {
    const std::size_t stride = to_points_.stride();
    work.slopes.resize(n * stride);
    for (std::size_t a = 0; a < n; a++) {
      const double factor = factors ? factors[work.atoms[a]] / scale : 0.0;
      const double *products = work.products.data() + a * stride;
      double *row = work.slopes.data() + a * stride;
      powers(products, constants_.data(), n_points_, zeta_ - 1.0, row);
      if (factors)
        for (std::size_t s = 0; s < n_points_; s++) row[s] *= zeta_ * (weights_[s] + factor * second_[s]);
      else
        for (std::size_t s = 0; s < n_points_; s++) row[s] *= zeta_ * weights_[s];
    }
    work.spectrum_slopes.resize(n * from_points_.stride());
    from_points_.multiply(work.slopes.data(), stride, n, work.spectrum_slopes.data(), work.packed);
  }
  if (plain_)
    adjoint(work);
  else
    mixed_adjoint(work);
  pair_gradients(pairs, scale, work, gradients);
}

void SoapTerm::add_variances(double scale, SoapWork &work, double *variances) const
{
  const std::size_t n = work.atoms.size(), stride = to_points_.stride();
  work.slopes.resize(n * stride);
  for (std::size_t a = 0; a < n; a++) {
    double *row = work.slopes.data() + a * stride;
    powers(work.products.data() + a * stride, constants_.data(), n_points_, zeta_, row);
    for (std::size_t s = 0; s < n_points_; s++) row[s] *= covariance_weights_[s];
  }
  std::vector<double> whitened(n * factor_.stride());
  factor_.multiply(work.slopes.data(), stride, n, whitened.data(), work.packed);
  for (std::size_t a = 0; a < n; a++) {
    double explained = 0.0;
    const double *row = whitened.data() + a * factor_.stride();
    for (std::size_t s = 0; s < n_points_; s++) explained += row[s] * row[s];
    variances[work.atoms[a]] += scale * scale * (prior_ - explained);
  }
}

namespace {

// dE/dp of the spectrum before it was normalised, times the factors of its components.
void denormalised(const double *slopes, const double *spectrum, double norm, bool normalise, const double *factors,
                  std::size_t length, double *out)
{
  double along = 0.0;
  if (normalise)
    for (std::size_t k = 0; k < length; k++) along += slopes[k] * spectrum[k];
  const double inverse = 1.0 / norm;
  for (std::size_t k = 0; k < length; k++) out[k] = factors[k] * (slopes[k] - along * spectrum[k]) * inverse;
}

}    // namespace

void SoapTerm::adjoint(SoapWork &work) const
{
  const std::size_t n = work.atoms.size(), stride = n_components_ + LANES;
  const std::size_t slope_stride = zeta_ == 1.0 ? n_components_ : from_points_.stride();
  work.adjoint.resize(n * n_lm_ * stride_);
  std::vector<double> scaled(n_components_), matrix(static_cast<std::size_t>(stride_) * stride_, 0.0);
  for (std::size_t a = 0; a < n; a++) {
    denormalised(work.spectrum_slopes.data() + a * slope_stride, work.spectrum.data() + a * stride, work.norms[a],
                 normalise_, factors_.data(), n_components_, scaled.data());
    const double *part = scaled.data();
    const double *channels = work.channels.data() + a * n_lm_ * stride_;
    double *out = work.adjoint.data() + a * n_lm_ * stride_;
    for (int l = 0; l <= l_max_; l++) {
      for (int left = 0; left < n_channels_; left++) {
        for (int b = 0; b < left; b++) {
          matrix[left * stride_ + b] = part[b];
          matrix[b * stride_ + left] = part[b];
        }
        matrix[left * stride_ + left] = 2.0 * part[left];
        part += left + 1;
      }
      with_orders(l, [&](auto orders) {
        adjoint_of_l<decltype(orders)::value>(channels + l * l * stride_, stride_, n_channels_, 2 * l + 1,
                                              matrix.data(), out + l * l * stride_);
      });
    }
  }
}

void SoapTerm::mixed_adjoint(SoapWork &work) const
{
  const std::size_t n = work.atoms.size(), stride = n_components_ + LANES;
  const std::size_t slope_stride = zeta_ == 1.0 ? n_components_ : from_points_.stride();
  work.adjoint.assign(n * n_lm_ * stride_, 0.0);
  std::vector<double> scaled(n_components_);
  std::vector<double> of_left(n_lm_ * n_left_), of_right(n_lm_ * n_right_);
  for (std::size_t a = 0; a < n; a++) {
    denormalised(work.spectrum_slopes.data() + a * slope_stride, work.spectrum.data() + a * stride, work.norms[a],
                 normalise_, factors_.data(), n_components_, scaled.data());
    std::fill(of_left.begin(), of_left.end(), 0.0);
    std::fill(of_right.begin(), of_right.end(), 0.0);
    for (int l = 0; l <= l_max_; l++) {
      std::size_t place = static_cast<std::size_t>(l) * n_products_;
      for (std::size_t run = 0; run < run_left_.size(); run++) {
        for (int lm = l * l; lm < (l + 1) * (l + 1); lm++) {
          const double *left = work.left.data() + (a * n_lm_ + lm) * n_left_ + run_left_[run];
          const double *right = work.right.data() + (a * n_lm_ + lm) * n_right_ + run_right_[run];
          double total = 0.0;
          double *target = of_right.data() + lm * n_right_ + run_right_[run];
          for (std::int64_t b = 0; b < run_lengths_[run]; b++) {
            total += scaled[place + b] * right[b];
            target[b] += scaled[place + b] * *left;
          }
          of_left[lm * n_left_ + run_left_[run]] += total;
        }
        place += run_lengths_[run];
      }
    }
    for (int lm = 0; lm < n_lm_; lm++) {
      double *out = work.adjoint.data() + (a * n_lm_ + lm) * stride_;
      for (int k = 0; k < n_channels_; k++) {
        if (!mixed_) {
          out[k] = of_left[lm * n_left_ + k] + of_right[lm * n_right_ + k];
          continue;
        }
        for (int c = 0; c < n_left_; c++) out[k] += of_left[lm * n_left_ + c] * mix_left_[k * n_left_ + c];
        for (int c = 0; c < n_right_; c++) out[k] += of_right[lm * n_right_ + c] * mix_right_[k * n_right_ + c];
      }
    }
  }
}

void SoapTerm::pair_gradients(const Pairs &pairs, double scale, const SoapWork &work, double *gradients) const
{
  const std::size_t n = work.atoms.size();
  const long n_pieces = static_cast<long>(table_.size() / (6 * function_stride_));
  with_constant(n_max_, [&](auto constant) {
    constexpr int N = decltype(constant)::value;
    const int n_max = N ? N : n_max_;
    double q[MOST_LM], cosines[MOST_L], sines[MOST_L];
    std::vector<double> radial(function_stride_), slope(function_stride_);
    for (std::size_t a = 0; a < n; a++) {
      const std::size_t i = work.atoms[a];
      for (std::size_t p = pairs.starts[i]; p < pairs.starts[i + 1]; p++) {
        const double r = pairs.distances[p];
        const int channel = channel_of_[pairs.second_numbers[p]];
        if (r >= cutoff_ || channel < 0) continue;
        double df;
        const double f = cutoff_function(r, cutoff_, width_, df);
        const double place = r * pieces_per_A_;
        const long piece = std::min(static_cast<long>(place), n_pieces - 1);
        const double t = place - piece, steep = f * pieces_per_A_;
        const double *row = table_.data() + 6 * piece * function_stride_;
        for (int k = 0; k < function_stride_; k += LANES) {
          Lanes h = lanes(row + 5 * function_stride_ + k), dh = Lanes{};
          for (int degree = 4; degree >= 0; degree--) {
            dh = dh * t + h;
            h = h * t + lanes(row + degree * function_stride_ + k);
          }
          lanes(radial.data() + k) = f * h;
          lanes(slope.data() + k) = df * h + steep * dh;
        }
        const double *vector = pairs.vectors.data() + 3 * p;
        const double x = vector[0], y = vector[1], z = vector[2];
        polynomials(x, y, z, l_max_, q, cosines, sines);
        const double *own = work.adjoint.data() + a * n_lm_ * stride_ + channel * n_max;
        double along = 0.0, gx = 0.0, gy = 0.0, gz = 0.0;
        for (int l = 0; l <= l_max_; l++) {
          const int middle = l * l + l, below = l * l - l;
          const double *values = radial.data() + l * n_max, *changes = slope.data() + l * n_max;
          for (int m = 0; m <= l; m++) {
            double even = 0.0, even_slope = 0.0, odd = 0.0, odd_slope = 0.0;
            const double *up = own + (middle + m) * stride_, *down = own + (middle - m) * stride_;
            for (int k = 0; k < n_max; k++) {
              even += up[k] * values[k];
              even_slope += up[k] * changes[k];
            }
            if (m)
              for (int k = 0; k < n_max; k++) {
                odd += down[k] * values[k];
                odd_slope += down[k] * changes[k];
              }
            const double factor = prefactors_[middle + m];
            const double value = factor * q[middle + m];
            along += value * (even_slope * cosines[m] + odd_slope * sines[m]);
            const double turned = factor * (even * cosines[m] + odd * sines[m]);
            if (m) {
              gx += value * m * (even * cosines[m - 1] + odd * sines[m - 1]);
              gy += value * m * (odd * cosines[m - 1] - even * sines[m - 1]);
            }
            if (m + 1 < l) {
              gx -= x * q[below + m + 1] * turned;
              gy -= y * q[below + m + 1] * turned;
            }
            if (m < l) gz += (l + m) * q[below + m] * turned;
          }
        }
        along /= r;
        gradients[3 * p] += scale * (gx + along * x);
        gradients[3 * p + 1] += scale * (gy + along * y);
        gradients[3 * p + 2] += scale * (gz + along * z);
      }
    }
  });
}

}    // namespace ionloop
