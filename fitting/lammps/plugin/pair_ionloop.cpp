// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// pair_style ionloop: GAP and ES-GAP potentials of ionloop in LAMMPS.
#include "pair_ionloop.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

using namespace LAMMPS_NS;

namespace {

// Atoms whose pairs are kept at once, and those of one product with the sparse points.
constexpr int BLOCK = 1024;
constexpr std::size_t CHUNK = 192;
constexpr double METAL = 1.0;
constexpr double REAL = 23.060548012069493;    // kcal/mol in an eV

}    // namespace

struct PairIonloop::Block {
  int first = 0, count = 0;    // place in the neighbour list
  ionloop::Pairs pairs;
  ionloop::Sums sums;
  std::vector<ionloop::SoapWork> works;       // of (term, chunk), in order
  std::vector<std::size_t> terms;
};

PairIonloop::PairIonloop(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
  unit_convert_flag = 0;
  comm_forward = 1;
}

PairIonloop::~PairIonloop()
{
  memory->destroy(variance);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairIonloop::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) setflag[i][j] = 0;
}

void PairIonloop::settings(int narg, char **)
{
  if (narg) error->all(FLERR, "pair_style ionloop takes no arguments");
}

void PairIonloop::coeff(int narg, char **arg)
{
  if (!allocated) allocate();
  if (narg != 3 + atom->ntypes || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_coeff of ionloop: give * *, the potential's file and an element for each of the {} types",
               atom->ntypes);
  static const char *const symbols[] = {
      "X",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
      "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
      "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn",
      "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho",
      "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
      "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md",
      "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};
  constexpr int n_symbols = sizeof(symbols) / sizeof(symbols[0]);
  try {
    const ionloop::ModelFile file(arg[2]);
    const auto &known = file.integers("numbers");
    number_of_type.assign(atom->ntypes + 1, 0);
    for (int type = 1; type <= atom->ntypes; type++) {
      const char *symbol = arg[2 + type];
      int number = 1;
      while (number < n_symbols && strcmp(symbols[number], symbol) != 0) number++;
      if (number == n_symbols) error->all(FLERR, "pair_coeff of ionloop: {} is no chemical symbol; every type needs an element", symbol);
      if (std::find(known.begin(), known.end(), number) == known.end() &&
          std::find(known.begin(), known.end(), 0) == known.end())
        error->all(FLERR, "pair_coeff of ionloop: the potential {} knows nothing about {}", arg[2], symbol);
      number_of_type[type] = number;
    }
    pair_terms.clear();
    soap_terms.clear();
    glue.reset();
    coulomb.reset();
    for (int index = 0; index < file.integer("n_pair"); index++)
      pair_terms.emplace_back(file, "pair" + std::to_string(index));
    for (int index = 0; index < file.integer("n_soap"); index++)
      soap_terms.emplace_back(file, "soap" + std::to_string(index));
    if (file.has("glue.pairs")) glue = std::make_unique<ionloop::GlueTerm>(file);
    if (file.has("coulomb.limits")) coulomb = std::make_unique<ionloop::Coulomb>(file);
    isolated = file.reals("isolated");
    energy_scale = file.real("scale");
    cutoff = file.real("cutoff");
  } catch (const LAMMPSException &) {
    throw;
  } catch (const std::exception &problem) {
    error->all(FLERR, "pair_coeff of ionloop: {}", problem.what());
  }
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++) setflag[i][j] = 1;
}

void PairIonloop::init_style()
{
  if (strcmp(update->unit_style, "metal") == 0)
    unit_factor = METAL;
  else if (strcmp(update->unit_style, "real") == 0)
    unit_factor = REAL;
  else
    error->all(FLERR, "pair_style ionloop runs with units metal or real, not {}", update->unit_style);
  if (!force->newton_pair) error->all(FLERR, "pair_style ionloop needs newton on");
  if (!atom->tag_enable) error->all(FLERR, "pair_style ionloop needs atoms with numbers (atom_modify id yes)");
  // Not neighbor->exclude, which is set later than this.
  if (neighbor->nex_type || neighbor->nex_group || neighbor->nex_mol)
    error->all(FLERR, "pair_style ionloop sees all neighbours: neigh_modify exclude cannot be used with it");
  if (atom->nbonds && (force->special_lj[1] != 1.0 || force->special_lj[2] != 1.0 || force->special_lj[3] != 1.0))
    error->all(FLERR, "pair_style ionloop sees all neighbours: with bonds, use special_bonds lj/coul 1 1 1");
  if (coulomb && !(domain->xperiodic && domain->yperiodic && domain->zperiodic))
    error->all(FLERR, "the charges of this potential need boundary p p p");
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairIonloop::init_one(int i, int j)
{
  if (setflag[i][j] == 0 && setflag[j][i] == 0) error->all(FLERR, "pair_style ionloop: pair_coeff is missing");
  return coulomb ? std::max(cutoff, coulomb->cutoff()) : cutoff;
}

void PairIonloop::gather(int first, int count, Block &block) const
{
  block.first = first;
  block.count = count;
  ionloop::Pairs &pairs = block.pairs;
  pairs.clear();
  double **x = atom->x;
  const double square = cutoff * cutoff;
  for (int ii = first; ii < first + count; ii++) {
    const int i = list->ilist[ii];
    const int *neighbours = list->firstneigh[i];
    for (int jj = 0; jj < list->numneigh[i]; jj++) {
      const int j = neighbours[jj] & NEIGHMASK;
      const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
      const double r2 = dx * dx + dy * dy + dz * dz;
      if (r2 >= square) continue;
      pairs.second.push_back(j);
      pairs.second_numbers.push_back(number_of_type[atom->type[j]]);
      pairs.vectors.insert(pairs.vectors.end(), {dx, dy, dz});
      pairs.distances.push_back(std::sqrt(r2));
    }
    pairs.numbers.push_back(number_of_type[atom->type[i]]);
    pairs.starts.push_back(pairs.second.size());
  }
  block.sums.energies.assign(count, 0.0);
  block.sums.gradients.assign(3 * pairs.second.size(), 0.0);
}

void PairIonloop::begin(Block &block, double *second) const
{
  for (int i = 0; i < block.count; i++) block.sums.energies[i] = energy_scale * isolated[block.pairs.numbers[i]];
  for (const auto &term : pair_terms) term.add(block.pairs, energy_scale, block.sums);
  if (glue) glue->add(block.pairs, block.sums);
  // With charges everything is kept until all of them are known; without, one working space serves all.
  if (!second) return;
  block.terms.clear();
  std::size_t used = 0;
  for (std::size_t term = 0; term < soap_terms.size(); term++) {
    std::vector<std::size_t> own;
    for (int i = 0; i < block.count; i++)
      if (soap_terms[term].is_central(block.pairs.numbers[i])) own.push_back(i);
    for (std::size_t start = 0; start < own.size(); start += CHUNK) {
      if (block.works.size() <= used) block.works.emplace_back();
      ionloop::SoapWork &work = block.works[used++];
      work.atoms.assign(own.begin() + start, own.begin() + std::min(start + CHUNK, own.size()));
      soap_terms[term].begin(block.pairs, energy_scale, work, block.sums.energies.data(), second);
      block.terms.push_back(term);
    }
  }
}

void PairIonloop::finish(Block &block, const double *factors, bool with_variance)
{
  std::vector<double> variances(with_variance ? block.count : 0, 0.0);
  double *const wanted = with_variance ? variances.data() : nullptr;
  double *const gradients = block.sums.gradients.data();
  if (factors) {
    for (std::size_t index = 0; index < block.terms.size(); index++)
      soap_terms[block.terms[index]].finish(block.pairs, energy_scale, block.works[index], factors, gradients,
                                            soap_terms[block.terms[index]].has_variance() ? wanted : nullptr);
  } else {
    if (block.works.empty()) block.works.emplace_back();
    ionloop::SoapWork &work = block.works[0];
    for (const auto &term : soap_terms) {
      std::vector<std::size_t> own;
      for (int i = 0; i < block.count; i++)
        if (term.is_central(block.pairs.numbers[i])) own.push_back(i);
      for (std::size_t start = 0; start < own.size(); start += CHUNK) {
        work.atoms.assign(own.begin() + start, own.begin() + std::min(start + CHUNK, own.size()));
        term.begin(block.pairs, energy_scale, work, block.sums.energies.data(), nullptr);
        term.finish(block.pairs, energy_scale, work, nullptr, gradients, term.has_variance() ? wanted : nullptr);
      }
    }
  }
  for (std::size_t i = 0; i < variances.size(); i++) variance[list->ilist[block.first + i]] = variances[i];
}

void PairIonloop::scatter(const Block &block)
{
  double **f = atom->f;
  const ionloop::Pairs &pairs = block.pairs;
  for (int index = 0; index < block.count; index++) {
    const int i = list->ilist[block.first + index];
    const double energy = unit_factor * block.sums.energies[index];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[i] += energy;
    for (std::size_t p = pairs.starts[index]; p < pairs.starts[index + 1]; p++) {
      const int j = pairs.second[p];
      const double *r = pairs.vectors.data() + 3 * p;
      double g[3];
      for (int axis = 0; axis < 3; axis++) {
        g[axis] = unit_factor * block.sums.gradients[3 * p + axis];
        f[i][axis] += g[axis];
        f[j][axis] -= g[axis];
      }
      if (!vflag_either) continue;
      // Symmetric only as a sum over all pairs of an atom.
      const double v[6] = {-r[0] * g[0], -r[1] * g[1], -r[2] * g[2], -0.5 * (r[0] * g[1] + r[1] * g[0]),
                           -0.5 * (r[0] * g[2] + r[2] * g[0]), -0.5 * (r[1] * g[2] + r[2] * g[1])};
      if (vflag_global)
        for (int k = 0; k < 6; k++) virial[k] += v[k];
      if (vflag_atom)
        for (int k = 0; k < 6; k++) {
          vatom[i][k] += 0.5 * v[k];
          vatom[j][k] += 0.5 * v[k];
        }
    }
  }
}

void PairIonloop::charges(const std::vector<double> &second, std::vector<double> &own)
{
  own.assign(list->inum, 0.0);
  double sums[2] = {0.0, static_cast<double>(list->inum)}, total[2];
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    const int kind = coulomb->kind(number_of_type[atom->type[i]]);
    own[ii] = coulomb->constant(kind) + (second.empty() ? 0.0 : second[ii]);
    sums[0] += own[ii];
  }
  MPI_Allreduce(sums, total, 2, MPI_DOUBLE, MPI_SUM, world);
  const double mean = coulomb->follows_environment() && total[1] > 0.0 ? total[0] / total[1] : 0.0;
  charge.resize(atom->nmax);
  for (int ii = 0; ii < list->inum; ii++) {
    own[ii] -= mean;
    charge[list->ilist[ii]] = own[ii];
    if (atom->q_flag) atom->q[list->ilist[ii]] = own[ii];
  }
  comm->forward_comm(this);
}

void PairIonloop::near_field(std::vector<double> &potentials)
{
  double **x = atom->x, **f = atom->f;
  const double reach = coulomb->cutoff(), square = reach * reach;
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    const int kind = coulomb->kind(number_of_type[atom->type[i]]);
    const int *neighbours = list->firstneigh[i];
    double potential = 0.0;
    for (int jj = 0; jj < list->numneigh[i]; jj++) {
      const int j = neighbours[jj] & NEIGHMASK;
      const double d[3] = {x[j][0] - x[i][0], x[j][1] - x[i][1], x[j][2] - x[i][2]};
      const double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
      if (r2 >= square) continue;
      const double r = std::sqrt(r2);
      if (r < coulomb->shortest())
        error->one(FLERR, "pair_style ionloop: atoms {} and {} are {:.3g} A apart", atom->tag[i], atom->tag[j], r);
      double slope;
      potential += charge[j] * coulomb->pair(kind, coulomb->kind(number_of_type[atom->type[j]]), r, slope);
      // Each atom of a pair sees the other, and takes half.
      const double pull = unit_factor * charge[i] * charge[j] * slope / r;
      for (int axis = 0; axis < 3; axis++) f[i][axis] += pull * d[axis];
      if (!vflag_either) continue;
      const double v[6] = {-0.5 * pull * d[0] * d[0], -0.5 * pull * d[1] * d[1], -0.5 * pull * d[2] * d[2],
                           -0.5 * pull * d[0] * d[1], -0.5 * pull * d[0] * d[2], -0.5 * pull * d[1] * d[2]};
      for (int k = 0; k < 6; k++) {
        if (vflag_global) virial[k] += v[k];
        if (vflag_atom) vatom[i][k] += v[k];
      }
    }
    const double energy = 0.5 * unit_factor * charge[i] * potential;
    if (eflag_global) eng_coul += energy;
    if (eflag_atom) eatom[i] += energy;
    potentials[ii] += potential;
  }
}

void PairIonloop::far_field(std::vector<double> &potentials)
{
  ionloop::ChargedAtoms atoms;
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    atoms.positions.insert(atoms.positions.end(), atom->x[i], atom->x[i] + 3);
    atoms.charges.push_back(charge[i]);
    atoms.kinds.push_back(coulomb->kind(number_of_type[atom->type[i]]));
  }
  const double cell[3][3] = {{domain->xprd, 0.0, 0.0}, {domain->xy, domain->yprd, 0.0}, {domain->xz, domain->yz, domain->zprd}};
  ionloop::FarField field;
  coulomb->far(
      atoms, cell,
      [this](double *numbers, int count) { MPI_Allreduce(MPI_IN_PLACE, numbers, count, MPI_DOUBLE, MPI_SUM, world); },
      vflag_atom != 0, field);
  // Energy and virial are those of all processes: one of them hands them over.
  if (comm->me == 0) {
    if (eflag_global) eng_coul += unit_factor * field.energy;
    if (vflag_global)
      for (int k = 0; k < 6; k++) virial[k] += unit_factor * field.virial[k];
  }
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    for (int axis = 0; axis < 3; axis++) atom->f[i][axis] += unit_factor * field.forces[3 * ii + axis];
    if (eflag_atom) eatom[i] += 0.5 * unit_factor * atoms.charges[ii] * field.potentials[ii];
    if (vflag_atom)
      for (int k = 0; k < 6; k++) vatom[i][k] += unit_factor * field.virials[6 * ii + k];
    potentials[ii] += field.potentials[ii];
  }
}

void PairIonloop::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const int inum = list->inum;
  const bool with_variance = variance_flag != 0;
  if (with_variance) {
    if (soap_terms.empty() || !soap_terms[0].has_variance())
      error->all(FLERR, "pair_style ionloop: the potential's file holds no variances; write it with them");
    if (atom->nmax > variance_size) {
      variance_size = atom->nmax;
      memory->destroy(variance);
      memory->create(variance, variance_size, "pair:variance");
    }
    std::fill_n(variance, atom->nlocal, 0.0);
  }
  const bool follows = coulomb && coulomb->follows_environment();
  std::vector<double> potentials(coulomb ? inum : 0, 0.0), own;
  if (coulomb && !follows) {
    charges({}, own);
    near_field(potentials);
    far_field(potentials);
  }
  if (!follows) {
    Block block;
    for (int first = 0; first < inum; first += BLOCK) {
      gather(first, std::min(BLOCK, inum - first), block);
      begin(block, nullptr);
      finish(block, nullptr, with_variance);
      scatter(block);
    }
    return;
  }
  std::vector<Block> blocks((inum + BLOCK - 1) / BLOCK);
  std::vector<double> second(inum, 0.0);
  for (std::size_t index = 0; index < blocks.size(); index++) {
    const int first = static_cast<int>(index) * BLOCK;
    gather(first, std::min(BLOCK, inum - first), blocks[index]);
    begin(blocks[index], second.data() + first);
  }
  charges(second, own);
  near_field(potentials);
  far_field(potentials);
  // dE/du of the charges: potentials less their mean, since the mean of all charges is taken off.
  double sums[2] = {0.0, static_cast<double>(inum)}, total[2];
  for (const double potential : potentials) sums[0] += potential;
  MPI_Allreduce(sums, total, 2, MPI_DOUBLE, MPI_SUM, world);
  for (double &potential : potentials) potential -= total[0] / total[1];
  for (std::size_t index = 0; index < blocks.size(); index++) {
    finish(blocks[index], potentials.data() + blocks[index].first, with_variance);
    scatter(blocks[index]);
  }
}

int PairIonloop::pack_forward_comm(int n, int *indices, double *buffer, int, int *)
{
  for (int k = 0; k < n; k++) buffer[k] = charge[indices[k]];
  return n;
}

void PairIonloop::unpack_forward_comm(int n, int first, double *buffer)
{
  for (int k = 0; k < n; k++) charge[first + k] = buffer[k];
}

double PairIonloop::memory_usage()
{
  return Pair::memory_usage() + sizeof(double) * (charge.size() + variance_size);
}

void *PairIonloop::extract(const char *name, int &dimension)
{
  dimension = 0;
  if (strcmp(name, "variance_flag") == 0) return &variance_flag;
  return nullptr;
}

void *PairIonloop::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "variance") != 0) return nullptr;
  columns = 0;
  return variance;
}
