// A structure in three dimensions on a plain canvas: atoms, bonds, cell, forces as arrows, deviations or charges as colour, and the
// images of a path one after the other. Positions are in Å. Whatever lies further away is drawn first (painter's
// algorithm), spheres are shaded pictures made once per colour: fast enough for thousands of atoms without WebGL.
"use strict";

(() => {
  const ATOM_SCALE = 0.46; // radius drawn in covalent radii
  const ATOM_LEAST = 0.28; // Å
  const BOND_SCALE = 1.18; // bonded below this many sums of covalent radii
  const BOND_WIDTH = 0.15; // Å
  const ARROW_LENGTH = 2.4; // Å, of the longest force
  const ARROW_COLOUR = { light: "#0b6a8f", dark: "#6cc0e5" };
  const RAMP = [[75, 127, 150], [240, 226, 190], [200, 50, 43]]; // small, middle, large deviation
  const SIGNED = [[0, 114, 178], [232, 232, 226], [213, 94, 0]]; // negative, neutral, positive
  const SPRITE_PX = 96;
  const FRAME_MS = 130;
  const STEP = 0.12; // radians per key press

  // -- small vector algebra: matrices are rows ------------------------------------------------------------------------

  const multiply = (a, b) => a.map((row) => [0, 1, 2].map((j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
  const apply = (m, v) => m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
  const turnX = (angle) => [[1, 0, 0], [0, Math.cos(angle), -Math.sin(angle)], [0, Math.sin(angle), Math.cos(angle)]];
  const turnY = (angle) => [[Math.cos(angle), 0, Math.sin(angle)], [0, 1, 0], [-Math.sin(angle), 0, Math.cos(angle)]];
  const length = (v) => Math.hypot(v[0], v[1], v[2]);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  // Rows of the inverse's transpose: the scalar product of each with a vector is that vector's fractional coordinate.
  const reciprocal = (cell) => {
    const volume = dot(cell[0], cross(cell[1], cell[2]));
    if (Math.abs(volume) < 1e-6) return null;
    return [cross(cell[1], cell[2]), cross(cell[2], cell[0]), cross(cell[0], cell[1])].map((v) => v.map((x) => x / volume));
  };

  const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const threeDigits = (value) => String(Number(value.toPrecision(3)));
  const css = (rgb) => `rgb(${rgb.map(Math.round).join(",")})`;
  const mix = (a, b, share) => a.map((x, i) => x + (b[i] - x) * share);
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  const ramp = (share, [low, middle, high] = RAMP) => (share < 0.5 ? mix(low, middle, 2 * share) : mix(middle, high, 2 * share - 1));

  // -- bonds ------------------------------------------------------------------------------------------------------------

  // Pairs closer than their covalent radii allow, with the vector from the first to the nearest image of the second.
  const findBonds = (scene, positions) => {
    const bonds = [];
    const inverse = reciprocal(scene.cell);
    const radii = scene.kinds.map((kind) => (scene.species[kind].bonds ? scene.species[kind].radius : 0));
    const able = scene.kinds.map((_, i) => i).filter((i) => radii[i] > 0);
    for (let a = 0; a < able.length; a += 1) {
      for (let b = a + 1; b < able.length; b += 1) {
        const i = able[a], j = able[b];
        const vector = [0, 1, 2].map((k) => positions[j][k] - positions[i][k]);
        let wrapped = false;
        if (inverse) {
          inverse.forEach((row, axis) => {
            const images = scene.pbc[axis] ? Math.round(dot(row, vector)) : 0;
            if (images) {
              wrapped = true;
              for (let k = 0; k < 3; k += 1) vector[k] -= images * scene.cell[axis][k];
            }
          });
        }
        const distance = length(vector);
        if (distance > 0.1 && distance < BOND_SCALE * (radii[i] + radii[j])) bonds.push({ i, j, vector, wrapped });
      }
    }
    return bonds;
  };

  class Viewer {
    constructor(root) {
      this.root = root;
      this.canvas = root.querySelector("canvas");
      this.context = this.canvas.getContext("2d");
      this.scene = JSON.parse(root.querySelector("script.scene").textContent);
      this.frame = 0;
      this.show = { forces: Boolean(this.scene.forces), bonds: true, cell: true };
      this.sprites = new Map();
      this.night = window.matchMedia("(prefers-color-scheme: dark)");
      this.largestForce = Math.max(1e-9, ...(this.scene.forces || []).map(length));
      this.largestDeviation = Math.max(1e-9, ...(this.scene.deviations || []));
      this.largestCharge = Math.max(1e-3, ...(this.scene.charges || []).map(Math.abs));
      this.measure();
      this.resize();
      this.reset();
      this.makeBar();
      this.makeLegend();
      this.listen();
    }

    // Centre and extent of everything that is drawn.
    measure() {
      const { cell, frames } = this.scene;
      const corners = [];
      if (reciprocal(cell)) {
        for (let n = 0; n < 8; n += 1) {
          corners.push([0, 1, 2].map((k) => (n & 1 ? cell[0][k] : 0) + (n & 2 ? cell[1][k] : 0) + (n & 4 ? cell[2][k] : 0)));
        }
      }
      const points = corners.concat(frames[0]);
      const low = [0, 1, 2].map((k) => Math.min(...points.map((p) => p[k])));
      const high = [0, 1, 2].map((k) => Math.max(...points.map((p) => p[k])));
      this.centre = low.map((x, k) => (x + high[k]) / 2);
      this.extent = Math.max(1.5, ...points.map((p) => length(p.map((x, k) => x - this.centre[k]))));
      this.corners = corners;
      this.outline = points;
      this.bonds = findBonds(this.scene, frames[0]);
    }

    reset() {
      // The longest lattice vector lies across, the next one upright, both tilted a little.
      const [first, second] = [...this.scene.cell].sort((a, b) => length(b) - length(a));
      const x = length(first) > 0.1 ? first.map((value) => value / length(first)) : [1, 0, 0];
      const z = cross(x, second);
      const normal = length(z) > 0.1 ? z.map((value) => value / length(z)) : [0, 0, 1];
      const base = Math.abs(dot(x, normal)) < 0.1 ? [x, cross(normal, x), normal] : [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
      this.rotation = multiply(multiply(turnX(0.42), turnY(-0.38)), base);
      this.fit();
    }

    // The zoom at which everything is seen, as large as this direction allows.
    fit() {
      this.shift = [0, 0];
      const seen = this.outline.map((point) => apply(this.rotation, point.map((x, k) => x - this.centre[k])));
      const { width, height } = this.canvas;
      const across = Math.max(...seen.map((p) => Math.abs(p[0]))) + 1, up = Math.max(...seen.map((p) => Math.abs(p[1]))) + 1;
      this.zoom = (Math.min(width / across, (0.9 * height) / up) * this.extent) / Math.min(width, height);
      this.request();
    }

    // -- drawing ------------------------------------------------------------------------------------------------------

    request() {
      if (this.pending) return;
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        this.draw();
      });
    }

    resize() {
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
      this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
      this.request();
    }

    get scale() {
      return (this.zoom * 0.46 * Math.min(this.canvas.width, this.canvas.height)) / this.extent;
    }

    project(point) {
      const [x, y, z] = apply(this.rotation, point.map((value, k) => value - this.centre[k]));
      const ratio = this.canvas.width / Math.max(1, this.canvas.clientWidth);
      return [
        this.canvas.width / 2 + x * this.scale + this.shift[0] * ratio,
        this.canvas.height / 2 - y * this.scale + this.shift[1] * ratio,
        z,
      ];
    }

    atomColour(index) {
      if (this.scene.deviations) return css(ramp(this.scene.deviations[index] / this.largestDeviation));
      if (this.scene.charges) return css(ramp((1 + this.scene.charges[index] / this.largestCharge) / 2, SIGNED));
      return this.scene.species[this.scene.kinds[index]].colour;
    }

    atomRadius(index) {
      return Math.max(ATOM_LEAST, ATOM_SCALE * this.scene.species[this.scene.kinds[index]].radius);
    }

    // A shaded sphere of that colour, made once.
    sprite(colour) {
      if (!this.sprites.has(colour)) {
        const picture = document.createElement("canvas");
        picture.width = picture.height = SPRITE_PX;
        const context = picture.getContext("2d");
        const half = SPRITE_PX / 2;
        const rgb = colour.startsWith("#") ? channels(colour) : colour.match(/\d+/g).map(Number);
        const light = context.createRadialGradient(half * 0.68, half * 0.6, half * 0.08, half, half, half);
        light.addColorStop(0, css(mix(rgb, [255, 255, 255], 0.72)));
        light.addColorStop(0.35, css(mix(rgb, [255, 255, 255], 0.12)));
        light.addColorStop(0.85, css(mix(rgb, [0, 0, 0], 0.26)));
        light.addColorStop(1, css(mix(rgb, [0, 0, 0], 0.5)));
        context.fillStyle = light;
        context.beginPath();
        context.arc(half, half, half - 0.5, 0, 2 * Math.PI);
        context.fill();
        this.sprites.set(colour, picture);
      }
      return this.sprites.get(colour);
    }

    draw() {
      const { context, canvas } = this;
      const positions = this.scene.frames[this.frame];
      const styles = getComputedStyle(this.root);
      this.paper = channels(this.hexadecimal(styles.backgroundColor));
      this.lineColour = styles.color;
      context.clearRect(0, 0, canvas.width, canvas.height);
      this.projected = positions.map((point) => this.project(point));
      const items = this.projected.map(([x, y, z], index) => ({ z, paint: () => this.paintAtom(index, x, y, z) }));
      if (this.show.bonds) this.addBonds(items, positions);
      if (this.show.cell) this.addCell(items);
      items.sort((a, b) => a.z - b.z);
      for (const item of items) item.paint();
      // Arrows lie over the atoms: hidden behind them they would tell nothing.
      if (this.show.forces && this.scene.forces) this.paintForces(positions);
      this.canvas.dataset.drawn = String(items.length);
    }

    hexadecimal(colour) {
      const parts = (colour.match(/[\d.]+/g) || ["245", "245", "242"]).slice(0, 3);
      return `#${parts.map((part) => Math.round(Number(part)).toString(16).padStart(2, "0")).join("")}`;
    }

    // How much of the background covers what is at this depth: 0 in front, less than half at the back.
    haze(z) {
      return 0.42 * Math.min(1, Math.max(0, 0.5 - z / (2 * this.extent)));
    }

    paintAtom(index, x, y, z) {
      const radius = this.atomRadius(index) * this.scale;
      const { context } = this;
      context.drawImage(this.sprite(this.atomColour(index)), x - radius, y - radius, 2 * radius, 2 * radius);
      context.globalAlpha = this.haze(z);
      context.fillStyle = css(this.paper);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
      context.globalAlpha = 1;
      if (index === this.chosen) {
        context.strokeStyle = this.lineColour;
        context.lineWidth = 2;
        context.stroke();
      }
    }

    addBonds(items, positions) {
      // Along a path atoms move: bonds are those of the image that is shown.
      const bonds = this.scene.frames.length > 1 ? findBonds(this.scene, positions) : this.bonds;
      for (const { i, j, vector, wrapped } of bonds) {
        const middle = positions[i].map((x, k) => x + vector[k] / 2);
        this.addStick(items, i, positions[i], middle);
        const other = wrapped ? positions[j].map((x, k) => x - vector[k] / 2) : middle;
        this.addStick(items, j, positions[j], other);
      }
    }

    addStick(items, index, from, to) {
      const [x0, y0, z0] = this.project(from);
      const [x1, y1, z1] = this.project(to);
      const z = (z0 + z1) / 2;
      items.push({ z: z - 0.05, paint: () => {
        const colour = this.atomColour(index);
        const rgb = colour.startsWith("#") ? channels(colour) : colour.match(/\d+/g).map(Number);
        this.line(x0, y0, x1, y1, css(mix(mix(rgb, [0, 0, 0], 0.16), this.paper, this.haze(z))), 2 * BOND_WIDTH * this.scale);
      } });
    }

    line(x0, y0, x1, y1, colour, width) {
      const { context } = this;
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    }

    addCell(items) {
      if (!this.corners.length) return;
      const width = Math.max(1, this.canvas.width / 900);
      for (let n = 0; n < 8; n += 1) {
        for (const bit of [1, 2, 4]) {
          if (n & bit) continue;
          const [x0, y0, z0] = this.project(this.corners[n]);
          const [x1, y1, z1] = this.project(this.corners[n | bit]);
          items.push({ z: Math.min(z0, z1) - 1e-3, paint: () => {
            this.context.globalAlpha = 0.55;
            this.line(x0, y0, x1, y1, this.lineColour, width);
            this.context.globalAlpha = 1;
          } });
        }
      }
    }

    paintForces(positions) {
      const colour = this.night.matches ? ARROW_COLOUR.dark : ARROW_COLOUR.light;
      const factor = ARROW_LENGTH / this.largestForce;
      this.scene.forces.forEach((force, index) => {
        const [x0, y0] = this.projected[index];
        const [x1, y1] = this.project(positions[index].map((x, k) => x + force[k] * factor));
        const along = Math.hypot(x1 - x0, y1 - y0);
        if (along < 4) return;
        const width = Math.max(1.2, 0.07 * this.scale);
        const head = Math.min(along * 0.45, 4.2 * width);
        const [ux, uy] = [(x1 - x0) / along, (y1 - y0) / along];
        this.line(x0, y0, x1 - ux * head * 0.8, y1 - uy * head * 0.8, colour, width);
        this.context.fillStyle = colour;
        this.context.beginPath();
        this.context.moveTo(x1, y1);
        this.context.lineTo(x1 - ux * head - uy * head * 0.5, y1 - uy * head + ux * head * 0.5);
        this.context.lineTo(x1 - ux * head + uy * head * 0.5, y1 - uy * head - ux * head * 0.5);
        this.context.fill();
      });
    }

    // -- controls -----------------------------------------------------------------------------------------------------

    button(word, label, action, pressed = null) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = word;
      button.setAttribute("aria-label", label);
      if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
      button.addEventListener("click", () => action(button));
      this.bar.append(button);
      return button;
    }

    toggle(word, name) {
      this.button(word, `Show ${word}`, (button) => {
        this.show[name] = !this.show[name];
        button.setAttribute("aria-pressed", String(this.show[name]));
        this.request();
      }, this.show[name]);
    }

    makeBar() {
      this.bar = this.root.querySelector(".viewer-bar");
      this.toggle("bonds", "bonds");
      if (this.corners.length) this.toggle("cell", "cell");
      if (this.scene.forces) this.toggle("forces", "forces");
      this.scene.cell.forEach((vector, axis) => {
        if (this.corners.length) this.button("abc"[axis], `Look along ${"abc"[axis]}`, () => this.lookAlong(vector));
      });
      this.button("reset", "Reset the view", () => this.reset());
      if (this.scene.frames.length > 1) this.makePlayer();
      this.told = document.createElement("span");
      this.told.setAttribute("role", "status");
      this.bar.append(this.told);
      this.tellFrame();
    }

    makePlayer() {
      this.player = this.button("play", "Play the images", () => (this.timer ? this.stop() : this.play()));
      this.slider = document.createElement("input");
      Object.assign(this.slider, { type: "range", min: 0, max: this.scene.frames.length - 1, value: 0 });
      this.slider.setAttribute("aria-label", "Image of the path");
      this.slider.addEventListener("input", () => { this.stop(); this.seek(Number(this.slider.value)); });
      this.bar.append(this.slider);
    }

    play() {
      this.direction = 1;
      this.player.textContent = "pause";
      this.timer = setInterval(() => {
        const last = this.scene.frames.length - 1;
        // To and fro: a path's end is no jump back to its beginning.
        if (this.frame + this.direction > last || this.frame + this.direction < 0) this.direction = -this.direction;
        this.seek(this.frame + this.direction);
      }, FRAME_MS);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      if (this.player) this.player.textContent = "play";
    }

    seek(frame) {
      this.frame = Math.min(Math.max(frame, 0), this.scene.frames.length - 1);
      this.slider.value = this.frame;
      this.tellFrame();
      this.request();
    }

    tellFrame() {
      if (this.scene.frames.length < 2) return;
      const energy = this.scene.energies ? `, ${this.scene.energies[this.frame].toFixed(3)} eV above the first` : "";
      this.told.textContent = `image ${this.frame + 1} of ${this.scene.frames.length}${energy}`;
    }

    makeLegend() {
      const legend = this.root.querySelector(".viewer-legend");
      const entry = (text, paint, width = 14) => {
        const span = document.createElement("span");
        const picture = document.createElement("canvas");
        picture.width = width;
        picture.height = 14;
        paint(picture.getContext("2d"));
        span.append(picture, text);
        legend.append(span);
      };
      const scaleOf = (text, stops) =>
        entry(text, (context) => {
          for (let x = 0; x < 90; x += 1) {
            context.fillStyle = css(ramp(x / 89, stops));
            context.fillRect(x, 2, 1, 10);
          }
        }, 90);
      if (this.scene.deviations) {
        scaleOf(`0 to ${threeDigits(1000 * this.largestDeviation)} meV/Å`, RAMP);
      } else if (this.scene.charges) {
        scaleOf(`−${this.largestCharge.toFixed(2)} to +${this.largestCharge.toFixed(2)} e`, SIGNED);
      } else {
        for (const species of this.scene.species) entry(species.symbol, (context) => context.drawImage(this.sprite(species.colour), 0, 0, 14, 14));
      }
      if (this.scene.forces) legend.append(`longest arrow ${threeDigits(this.largestForce)} eV/Å`);
    }

    // The lattice vector towards the viewer, another one upright as far as it can be.
    lookAlong(vector) {
      const z = vector.map((x) => x / length(vector));
      const up = this.scene.cell.find((other) => length(cross(other, z)) > 0.2 * length(other)) || [0, 1, 0];
      const x = cross(up, z).map((value, _, all) => value / length(all));
      this.rotation = [x, cross(z, x), z];
      this.fit();
    }

    turn(x, y) {
      this.rotation = multiply(multiply(turnX(y), turnY(x)), this.rotation);
      this.request();
    }

    zoomBy(factor) {
      this.zoom = Math.min(12, Math.max(0.3, this.zoom * factor));
      this.request();
    }

    listen() {
      const pointers = new Map();
      const { canvas } = this;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      const release = (event) => pointers.delete(event.pointerId);
      canvas.addEventListener("pointerup", release);
      canvas.addEventListener("pointercancel", release);
      canvas.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        if (!before) { this.point(event); return; }
        const moved = [event.clientX - before[0], event.clientY - before[1]];
        if (pointers.size === 2) {
          const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
          const spread = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
          this.zoomBy(spread([event.clientX, event.clientY]) / spread(before));
        } else if (event.shiftKey) {
          this.shift = this.shift.map((x, k) => x + moved[k]);
          this.request();
        } else {
          this.turn(moved[0] * 0.009, moved[1] * 0.009);
        }
        pointers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * 0.0012));
      }, { passive: false });
      canvas.addEventListener("dblclick", () => this.reset());
      canvas.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.resize()).observe(canvas);
      this.night.addEventListener("change", () => this.request());
    }

    key(event) {
      const actions = {
        ArrowLeft: () => this.turn(-STEP, 0), ArrowRight: () => this.turn(STEP, 0),
        ArrowUp: () => this.turn(0, -STEP), ArrowDown: () => this.turn(0, STEP),
        "+": () => this.zoomBy(1.15), "=": () => this.zoomBy(1.15), "-": () => this.zoomBy(1 / 1.15), 0: () => this.reset(),
      };
      if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      actions[event.key]();
    }

    // Tell which atom lies under the pointer: the foremost one whose disc holds it.
    point(event) {
      if (!this.projected) return;
      const place = this.canvas.getBoundingClientRect();
      const ratio = this.canvas.width / place.width;
      const x = (event.clientX - place.left) * ratio, y = (event.clientY - place.top) * ratio;
      let found = null;
      this.projected.forEach(([px, py, pz], index) => {
        const inside = Math.hypot(px - x, py - y) < this.atomRadius(index) * this.scale;
        if (inside && (found === null || pz > this.projected[found][2])) found = index;
      });
      if (found === this.chosen) return;
      this.chosen = found;
      this.request();
      if (found === null) { this.told.textContent = ""; this.tellFrame(); return; }
      const parts = [`${this.scene.species[this.scene.kinds[found]].symbol}, atom ${found + 1}`];
      if (this.scene.forces) parts.push(`force ${length(this.scene.forces[found]).toFixed(3)} eV/Å`);
      if (this.scene.deviations) parts.push(`deviation ${(1000 * this.scene.deviations[found]).toFixed(0)} meV/Å`);
      if (this.scene.charges) parts.push(`charge ${signed(this.scene.charges[found])} e`);
      this.told.textContent = parts.join(", ");
    }
  }

  for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
})();
