// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#ifndef IONLOOP_CUTOFF_HPP
#define IONLOOP_CUTOFF_HPP

#include <cmath>

namespace ionloop {

// 1 below cutoff - width, falling as a cosine to 0 at the cutoff; and its derivative.
inline double cutoff_function(double r, double cutoff, double width, double &slope)
{
  slope = 0.0;
  if (r <= cutoff - width) return 1.0;
  if (r >= cutoff) return 0.0;
  const double phase = M_PI * (r - cutoff + width) / width;
  slope = -0.5 * M_PI / width * std::sin(phase);
  return 0.5 * (1.0 + std::cos(phase));
}

}    // namespace ionloop

#endif
