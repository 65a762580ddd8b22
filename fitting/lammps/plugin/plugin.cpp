// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// What LAMMPS's command `plugin load` calls (https://docs.lammps.org/Developer_plugins.html).
#include "lammps.h"
#include "pair_ionloop.h"

namespace {

struct Plugin {
  const char *version, *style, *name, *info, *author;
  union {
    void *(*v1)(void *);
    void *(*v2)(void *, int, char **);
  } creator;
  void *handle;
};

void *create(void *lammps)
{
  return new LAMMPS_NS::PairIonloop(static_cast<LAMMPS_NS::LAMMPS *>(lammps));
}

}    // namespace

extern "C" void lammpsplugin_init(void *lammps, void *handle, void *regfunc)
{
  Plugin plugin;
  plugin.version = IONLOOP_LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.name = "ionloop";
  plugin.info = "GAP and ES-GAP potentials of ionloop";
  plugin.author = "ionloop";
  plugin.creator.v1 = create;
  plugin.handle = handle;
  reinterpret_cast<void (*)(Plugin *, void *)>(regfunc)(&plugin, lammps);
}
