"use strict";
// Draws the light curves that the page carries as JSON. Every text reaches the page as text, never as markup.
const DAY_MS = 86400e3, MJD_OF_UNIX = 40587, MARGIN = { left: 62, right: 14, top: 26, bottom: 42 };
const LIMIT = 1, SUSPECT = 2, BAD = 4, REVISED = 8, NEAR = 14, NEAR_TOUCH = 28;
const dark = matchMedia("(prefers-color-scheme: dark)");

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// Outlines of the markers around (0, 0), r their half width; matplotlib's letters.
function polygon(count, turn, inner) {
  return (path, r) => {
    const steps = inner ? 2 * count : count;
    for (let step = 0; step < steps; step++) {
      const size = inner && step % 2 ? r * inner : r, angle = (2 * Math.PI * step) / steps + turn;
      path[step ? "lineTo" : "moveTo"](size * Math.sin(angle), -size * Math.cos(angle));
    }
    path.closePath();
  };
}
function strokes(turn) {
  return (path, r) => {
    for (const angle of [turn, turn + Math.PI / 2]) {
      path.moveTo(-r * Math.cos(angle), -r * Math.sin(angle));
      path.lineTo(r * Math.cos(angle), r * Math.sin(angle));
    }
  };
}
function thick(turn) {
  const corners = [[-1, -3], [1, -3], [1, -1], [3, -1], [3, 1], [1, 1], [1, 3], [-1, 3], [-1, 1], [-3, 1], [-3, -1], [-1, -1]];
  return (path, r) => {
    corners.forEach(([a, b], index) => {
      const x = (a * Math.cos(turn) - b * Math.sin(turn)) * r / 3, y = (a * Math.sin(turn) + b * Math.cos(turn)) * r / 3;
      path[index ? "lineTo" : "moveTo"](x, y);
    });
    path.closePath();
  };
}
const SHAPES = {
  o: (path, r) => path.arc(0, 0, r * 0.9, 0, 7), s: polygon(4, Math.PI / 4), D: polygon(4, 0), d: (path, r) => { path.moveTo(0, -r); path.lineTo(r * 0.6, 0); path.lineTo(0, r); path.lineTo(-r * 0.6, 0); path.closePath(); },
  "^": polygon(3, 0), v: polygon(3, Math.PI), "<": polygon(3, -Math.PI / 2), ">": polygon(3, Math.PI / 2), p: polygon(5, 0), h: polygon(6, 0), H: polygon(6, Math.PI / 6), 8: polygon(8, 0),
  "*": polygon(5, 0, 0.4), P: thick(0), X: thick(Math.PI / 4), "+": strokes(0), x: strokes(Math.PI / 4),
  limit: (path, r) => { path.moveTo(-r, 0); path.lineTo(r, 0); path.moveTo(0, 0); path.lineTo(0, 2.2 * r); path.moveTo(-0.6 * r, 1.5 * r); path.lineTo(0, 2.2 * r); path.lineTo(0.6 * r, 1.5 * r); },
};
const OPEN = new Set(["+", "x", "limit"]);

function outline(letter, r) {
  const path = new Path2D();
  (SHAPES[letter] || SHAPES.o)(path, r);
  return path;
}

// A marker drawn once, to be stamped many times.
function stamp(letter, r, colour, hollow, ratio) {
  const canvas = document.createElement("canvas"), half = Math.ceil(r * 2.6 + 2);
  canvas.width = canvas.height = 2 * half * ratio;
  const pen = canvas.getContext("2d"), path = outline(letter, r);
  pen.setTransform(ratio, 0, 0, ratio, half * ratio, half * ratio);
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = OPEN.has(letter) || hollow ? 1.3 : 0.5;
  if (!OPEN.has(letter) && !hollow) pen.fill(path);
  pen.stroke(path);
  return { canvas, half };
}

function roundTicks(low, high, most) {
  const power = 10 ** Math.floor(Math.log10((high - low) / (most + 1)));
  for (const factor of [1, 2, 2.5, 5, 10, 20, 25, 50, 100]) {
    const step = factor * power, first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
    if (count <= most) {
      const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (String(factor).startsWith("25") || factor === 2.5 ? 1 : 0));
      return Array.from({ length: Math.max(0, count) }, (_, index) => [(first + index) * step, ((first + index) * step).toFixed(Math.min(decimals, 12))]);
    }
  }
  return [];
}

function dateTicks(low, high, most) {
  const iso = (mjd, length) => new Date(Math.round((mjd - MJD_OF_UNIX) * DAY_MS)).toISOString().slice(0, length).replace("T", " ");
  const days = (high - low) / (most + 1);
  for (const months of [1, 2, 3, 4, 6, 12, 24, 60, 120, 240, 600]) {
    if (months * 30.44 < days || days < 12) continue;
    const start = new Date((low - MJD_OF_UNIX) * DAY_MS), ticks = [];
    let index = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
    for (; ; index += months) {
      const mjd = Date.UTC(Math.floor(index / 12), index % 12, 1) / DAY_MS + MJD_OF_UNIX;
      if (mjd > high) return ticks;
      if (mjd >= low) ticks.push([mjd, iso(mjd, months % 12 ? 7 : 4)]);
    }
  }
  const step = [1 / 1440, 5 / 1440, 1 / 48, 1 / 24, 1 / 8, 1 / 4, 1 / 2, 1, 2, 5, 10].find((size) => size >= days) || 10;
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high; index++) ticks.push([index * step, iso(index * step, step < 1 ? 16 : 10)]);
  return ticks;
}

class Chart {
  constructor(told, host) {
    this.told = told;
    this.folded = Boolean(told.phase);
    this.bars = true;
    this.shown = told.lines.map(() => true);
    this.build(host);
    this.arrange();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    dark.addEventListener("change", () => this.recolour());
  }

  build(host) {
    const { told } = this;
    const title = element("h1", {}, `${told.title} `);
    if (told.simulated) title.append(element("span", { class: "simulated" }, "SIMULATED DATA"));
    const counted = told.lines.reduce((sum, line) => sum + line.t.length, 0);
    this.canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": `Light curve of ${told.title}: ${counted} points in ${told.lines.length} filters` });
    this.card = element("div", { class: "point", role: "status", hidden: "" });
    this.plot = element("div", { class: "plot" });
    this.plot.append(this.canvas, this.card);
    this.tools = element("div", { class: "tools" });
    this.tool("Whole light curve", () => this.reset());
    this.tool("Zoom in", () => this.zoom(0.5)).setAttribute("aria-label", "Zoom in");
    this.tool("Zoom out", () => this.zoom(2));
    this.toggle("Error bars", true, (on) => { this.bars = on; this.draw(); });
    if (told.phase) this.toggle("Folded", true, (on) => { this.folded = on; this.arrange(); this.draw(); });
    const every = this.toggle("All filters", true, (on) => { this.shown.fill(on); for (const one of this.filters.children) one.setAttribute("aria-pressed", on); this.draw(); });
    every.dataset.every = "";
    this.filters = element("div", { class: "filters", role: "group", "aria-label": "Filters" });
    told.lines.forEach((line, index) => this.filters.append(this.filterButton(line, index)));
    const help = "Drag a box or turn the wheel to zoom, Shift and drag to move, double-click for the whole; point at a measurement, or tap it, to see where it comes from. Keys: arrows, +, −, 0.";
    host.append(title, this.tools, this.plot, this.filters, element("p", { class: "notes" }, told.notes.join("  ·  ")), element("p", { class: "help" }, help));
    this.listen();
  }

  tool(words, act) {
    const made = element("button", { type: "button" }, words);
    made.addEventListener("click", act);
    this.tools.append(made);
    return made;
  }

  toggle(words, on, act) {
    const made = this.tool(words, () => {
      const now = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", now);
      act(now);
    });
    made.setAttribute("aria-pressed", on);
    return made;
  }

  filterButton(line, index) {
    const made = element("button", { type: "button", "aria-pressed": "true" });
    const icon = stamp(line.marker, 5, this.colour(line), false, 2);
    icon.canvas.style.cssText = `width:${2 * icon.half}px;height:${2 * icon.half}px`;
    icon.canvas.setAttribute("aria-hidden", "true");
    made.append(icon.canvas, element("span", {}, line.name), element("small", {}, line.tally));
    made.addEventListener("click", () => {
      this.shown[index] = !this.shown[index];
      made.setAttribute("aria-pressed", this.shown[index]);
      this.draw();
    });
    return made;
  }

  recolour() {
    this.filters.replaceChildren(...this.told.lines.map((line, index) => this.filterButton(line, index)));
    this.filters.childNodes.forEach((one, index) => one.setAttribute("aria-pressed", this.shown[index]));
    this.draw();
  }

  colour(line) { return dark.matches ? line.night : line.day; }

  // Where every point stands on the axis: phases twice, or times with the gaps taken out.
  arrange() {
    const { phase, pieces } = this.told;
    this.places = this.told.lines.map((line) => {
      if (!this.folded) return Float64Array.from(line.t, (mjd) => this.placeOf(mjd));
      const once = line.t.map((mjd) => (((mjd - phase.epoch) / phase.period) % 1 + 1) % 1);
      return Float64Array.from([...once, ...once.map((value) => value + 1)]);
    });
    const last = pieces[pieces.length - 1], margin = 0.02 * (last[1] - last[2] - pieces[0][0]) || 0.5;
    this.whole = this.folded ? [0, 2, ...this.told.range] : [pieces[0][0] - margin, last[1] - last[2] + margin, ...this.told.range];
    this.view = [...this.whole];
  }

  placeOf(mjd) {
    const { pieces } = this.told;
    let index = pieces.length - 1;
    while (index && mjd < pieces[index][0]) index--;
    return mjd - pieces[index][2];
  }

  // The part of the picture in pixels, and what it shows.
  get area() {
    const { left, right, top, bottom } = MARGIN;
    return { left, top, width: Math.max(20, this.canvas.clientWidth - left - right), height: Math.max(20, this.canvas.clientHeight - top - bottom) };
  }

  x(place) { return this.area.left + ((place - this.view[0]) / (this.view[1] - this.view[0])) * this.area.width; }

  y(value) {
    const part = (value - this.view[2]) / (this.view[3] - this.view[2]);
    return this.area.top + (this.told.up ? 1 - part : part) * this.area.height;
  }

  // On the whole picture what lies beyond it stands on its rim; when zoomed it is left out.
  onRim(value) {
    const [low, high] = this.told.range, margin = 0.012 * (high - low);
    return this.view[2] === low && this.view[3] === high ? Math.min(Math.max(value, low + margin), high - margin) : value;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, { canvas } = this, style = getComputedStyle(document.documentElement);
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "12px system-ui, sans-serif";
    this.frame(pen, style.getPropertyValue("--ink"), style.getPropertyValue("--line"), style.getPropertyValue("--soft"));
    const { left, top, width, height } = this.area;
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    this.spots = this.told.lines.map((line, index) => (this.shown[index] ? this.spotsOf(line, this.places[index]) : null));
    if (this.told.simulated) this.watermark(pen, style.getPropertyValue("--alarm"));
    if (this.bars) this.spots.forEach((spots, index) => spots && this.drawBars(pen, this.told.lines[index], spots));
    this.order().forEach((index) => this.spots[index] && this.drawPoints(pen, this.told.lines[index], this.spots[index], ratio, style.getPropertyValue("--ink")));
    pen.restore();
    this.canvas.dataset.drawn = this.spots.reduce((sum, spots, index) => sum + (spots ? this.told.lines[index].t.length : 0), 0);
  }

  order() { return this.told.lines.map((_, index) => index).sort((a, b) => this.told.lines[b].t.length - this.told.lines[a].t.length); }

  spotsOf(line, places) {
    const count = line.t.length, x = new Float32Array(places.length), y = new Float32Array(places.length);
    const { left, top, width, height } = this.area, [x0, x1, y0, y1] = this.view, { up } = this.told;
    for (let index = 0; index < places.length; index++) {
      const part = (this.onRim(line.v[index % count]) - y0) / (y1 - y0);
      x[index] = left + ((places[index] - x0) / (x1 - x0)) * width;
      y[index] = top + (up ? 1 - part : part) * height;
    }
    return { x, y };
  }

  drawBars(pen, line, { x, y }) {
    const scale = this.area.height / (this.view[3] - this.view[2]), count = line.t.length;
    pen.beginPath();
    for (let index = 0; index < x.length; index++) {
      const error = line.e[index % count];
      if (error === null || x[index] < 0 || x[index] > this.canvas.clientWidth) continue;
      const half = Math.min(error * scale, 4000);
      if (half < 1) continue;
      pen.moveTo(x[index], y[index] - half);
      pen.lineTo(x[index], y[index] + half);
    }
    pen.globalAlpha = 0.4;
    pen.lineWidth = 1;
    pen.strokeStyle = this.colour(line);
    pen.stroke();
    pen.globalAlpha = 1;
  }

  drawPoints(pen, line, { x, y }, ratio, ink) {
    const size = Math.min(5.5, Math.max(2.2, 7 - Math.log10(line.t.length))), colour = this.colour(line), count = line.t.length;
    const full = stamp(line.marker, size, colour, false, ratio), hollow = stamp(line.marker, size, colour, true, ratio);
    const arrow = stamp("limit", 3.5, colour, true, ratio), cross = stamp("x", size * 1.2, colour, true, ratio), ring = stamp("o", size + 3, ink, true, ratio);
    const put = (mark, index) => pen.drawImage(mark.canvas, x[index] - mark.half, y[index] - mark.half, 2 * mark.half, 2 * mark.half);
    for (let index = 0; index < x.length; index++) {
      if (x[index] < -9 || x[index] > this.canvas.clientWidth + 9) continue;
      const kind = line.k[index % count];
      if (kind & LIMIT) put(arrow, index);
      else if (kind & (SUSPECT | BAD)) put(hollow, index);
      else put(full, index);
      if (kind & BAD && !(kind & LIMIT)) put(cross, index);
      if (kind & REVISED && this.told.ring) put(ring, index);
    }
  }

  watermark(pen, colour) {
    const { left, top, width, height } = this.area;
    pen.save();
    pen.translate(left + width / 2, top + height / 2);
    pen.rotate(-0.3);
    pen.globalAlpha = 0.09;
    pen.fillStyle = colour;
    pen.font = `bold ${Math.round(width / 8)}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText("SIMULATED", 0, 0);
    pen.restore();
  }

  frame(pen, ink, line, soft) {
    const { left, top, width, height } = this.area;
    const spell = (words, x, y, align, base) => { pen.textAlign = align; pen.textBaseline = base; pen.fillText(words, x, y); };
    const rule = (x0, y0, x1, y1) => { pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke(); };
    pen.lineWidth = 1;
    pen.strokeStyle = line;
    pen.fillStyle = ink;
    for (const [value, label] of roundTicks(this.view[2], this.view[3], Math.max(2, Math.floor(height / 45)))) {
      rule(left, this.y(value), left + width, this.y(value));
      spell(label, left - 6, this.y(value), "right", "middle");
    }
    const most = Math.max(2, Math.floor(width / 105));
    const below = this.folded ? roundTicks(this.view[0], this.view[1], most) : this.timeTicks(roundTicks, most);
    for (const [place, label] of below) {
      rule(this.x(place), top, this.x(place), top + height);
      spell(label, this.x(place), top + height + 6, "center", "top");
    }
    if (!this.folded) for (const [place, label] of this.timeTicks(dateTicks, most)) spell(label, this.x(place), top - 6, "center", "bottom");
    pen.strokeStyle = soft;
    pen.strokeRect(left, top, width, height);
    if (!this.folded) this.cuts(rule, pen);
    pen.fillStyle = ink;
    spell(this.folded ? this.told.phase.label : this.told.label, left + width / 2, top + height + 24, "center", "top");
    pen.save();
    pen.translate(12, top + height / 2);
    pen.rotate(-Math.PI / 2);
    spell(this.told.unit, 0, 0, "center", "middle");
    pen.restore();
  }

  // Ticks of times: as if nothing were left out, and of these the ones that stand within a piece and clear of the one before.
  timeTicks(choose, most) {
    const { pieces } = this.told, apart = (this.view[1] - this.view[0]) / this.area.width * 78;
    if (pieces.length === 1) return choose(this.view[0], this.view[1], most);
    let best = [];
    for (const finer of [1, 2, 3, 5, 8, 12]) {
      const kept = [];
      for (const [mjd, label] of choose(pieces[0][0], pieces[pieces.length - 1][1], most * finer)) {
        const place = this.placeOf(mjd), inside = pieces.some(([first, last]) => mjd >= first && mjd <= last);
        if (inside && place >= this.view[0] && place <= this.view[1] && (!kept.length || place - kept[kept.length - 1][0] > apart)) kept.push([place, label]);
      }
      if (kept.length > best.length) best = kept;
    }
    return best;
  }

  cuts(rule, pen) {
    const { pieces } = this.told, { top, height } = this.area;
    pen.setLineDash([2, 4]);
    pieces.slice(1).forEach((piece, index) => {
      const x = this.x((pieces[index][1] - pieces[index][2] + piece[0] - piece[2]) / 2);
      if (x > this.area.left && x < this.area.left + this.area.width) rule(x, top, x, top + height);
    });
    pen.setLineDash([]);
  }

  // Draw when the screen is next painted, however often that is asked for until then.
  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
  }

  reset() { this.view = [...this.whole]; this.later(); }

  zoom(factor, x = this.area.left + this.area.width / 2, y = this.area.top + this.area.height / 2) {
    const { left, top, width, height } = this.area;
    const partX = Math.min(1, Math.max(0, (x - left) / width)), down = Math.min(1, Math.max(0, (y - top) / height)), partY = this.told.up ? 1 - down : down;
    const [x0, x1, y0, y1] = this.view, atX = x0 + partX * (x1 - x0), atY = y0 + partY * (y1 - y0);
    this.look(atX - partX * (x1 - x0) * factor, atX + (1 - partX) * (x1 - x0) * factor, atY - partY * (y1 - y0) * factor, atY + (1 - partY) * (y1 - y0) * factor);
  }

  look(x0, x1, y0, y1) {
    const wide = this.whole[1] - this.whole[0], tall = this.whole[3] - this.whole[2];
    if (x1 - x0 < wide * 1e-7 || y1 - y0 < tall * 1e-6) return;
    if (x1 - x0 >= wide && y1 - y0 >= tall) { this.reset(); return; }
    this.view = [x0, x1, y0, y1];
    this.later();
  }

  pan(right, down) {
    const [x0, x1, y0, y1] = this.view, dx = (right / this.area.width) * (x1 - x0), dy = ((this.told.up ? -down : down) / this.area.height) * (y1 - y0);
    this.view = [x0 + dx, x1 + dx, y0 + dy, y1 + dy];
    this.later();
  }

  listen() {
    const { canvas } = this, held = new Map();
    let start = null, box = null, gap = 0;
    const at = (event) => { const edge = canvas.getBoundingClientRect(); return { x: event.clientX - edge.left, y: event.clientY - edge.top }; };
    const spread = () => { const [a, b] = [...held.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
    canvas.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, at(event));
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
      start = at(event);
      gap = held.size === 2 ? spread() : 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const here = at(event), before = held.get(event.pointerId);
      if (!before) { this.point(here, NEAR); return; }
      held.set(event.pointerId, here);
      if (held.size === 2) { this.pinch(gap, spread(), [...held.values()]); gap = spread(); }
      else if (event.pointerType === "touch" || event.shiftKey) this.pan(before.x - here.x, event.pointerType === "touch" ? 0 : before.y - here.y);
      else box = this.rubber(box, start, here);
    });
    const end = (event) => {
      const here = at(event);
      held.delete(event.pointerId);
      if (box) { box.remove(); this.enter(start, here); }
      else if (start && Math.hypot(here.x - start.x, here.y - start.y) < 5) this.point(here, event.pointerType === "touch" ? NEAR_TOUCH : NEAR);
      box = start = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", (event) => { held.delete(event.pointerId); box?.remove(); box = start = null; });
    canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") this.card.hidden = true; });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(event.deltaY * 0.0015), at(event).x, at(event).y); }, { passive: false });
    const keys = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
    canvas.addEventListener("keydown", (event) => {
      if (keys[event.key]) this.pan(...keys[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoom(0.5);
      else if (event.key === "-") this.zoom(2);
      else if (event.key === "0" || event.key === "Home") this.reset();
      else return;
      event.preventDefault();
    });
  }

  pinch(before, now, [a, b]) { if (before && now) this.zoom(before / now, (a.x + b.x) / 2, (a.y + b.y) / 2); }

  rubber(box, start, here) {
    if (!box && Math.hypot(here.x - start.x, here.y - start.y) < 6) return null;
    this.card.hidden = true;
    const made = box || this.plot.appendChild(element("div", { class: "box" }));
    made.style.cssText = `left:${Math.min(start.x, here.x)}px;top:${Math.min(start.y, here.y)}px;width:${Math.abs(start.x - here.x)}px;height:${Math.abs(start.y - here.y)}px`;
    return made;
  }

  enter(start, here) {
    const { left, top, width, height } = this.area, [x0, x1, y0, y1] = this.view;
    const place = (x) => x0 + Math.min(1, Math.max(0, (x - left) / width)) * (x1 - x0);
    const value = (y) => { const down = Math.min(1, Math.max(0, (y - top) / height)); return y0 + (this.told.up ? 1 - down : down) * (y1 - y0); };
    const xs = [place(start.x), place(here.x)].sort((a, b) => a - b), ys = [value(start.y), value(here.y)].sort((a, b) => a - b);
    const flat = Math.abs(start.y - here.y) < 8, narrow = Math.abs(start.x - here.x) < 8;
    this.look(...(narrow ? [x0, x1] : xs), ...(flat ? [y0, y1] : ys));
  }

  point(here, near) {
    let best = null, least = near * near;
    this.spots.forEach((spots, line) => {
      if (!spots) return;
      for (let index = 0; index < spots.x.length; index++) {
        const square = (spots.x[index] - here.x) ** 2 + (spots.y[index] - here.y) ** 2;
        if (square < least) { least = square; best = { line, index, x: spots.x[index], y: spots.y[index] }; }
      }
    });
    this.card.hidden = !best;
    if (best) this.tell(best);
  }

  tell({ line: number, index, x, y }) {
    const line = this.told.lines[number], row = index % line.t.length, list = element("dl");
    const add = (name, words) => { if (words !== "" && words !== null && words !== undefined) list.append(element("dt", {}, name), element("dd", {}, String(words))); };
    const kind = line.k[row], value = Number((line.v[row] - line.shift).toPrecision(8)), error = line.e[row];
    add("filter", line.filter);
    add(this.told.quantity, `${kind & LIMIT ? (this.told.up ? "< " : "> ") : ""}${value}${error === null ? "" : ` ± ${error}`} ${line.unit}${kind & LIMIT ? " (upper limit)" : ""}`);
    add("MJD (TDB)", line.t[row]);
    add("date", `${new Date(Math.round((line.t[row] - MJD_OF_UNIX) * DAY_MS)).toISOString().slice(0, 19).replace("T", " ")} TDB, at the barycentre`);
    add("quality", kind & BAD ? "bad" : kind & SUSPECT ? "suspect" : "good");
    for (const [name, column] of Object.entries(line.columns)) add(name, wordOf(column, row));
    this.card.replaceChildren(list);
    const { clientWidth, clientHeight } = this.plot, { offsetWidth, offsetHeight } = this.card;
    this.card.style.left = `${Math.max(4, Math.min(x + 14, clientWidth - offsetWidth - 4))}px`;
    this.card.style.top = `${y > clientHeight / 2 ? Math.max(4, y - offsetHeight - 14) : y + 14}px`;
  }
}

// A column of words comes as {words, at}: at[row] is the place of the row's word; without `at` all rows have the first.
function wordOf(column, row) {
  if (!column) return "";
  return column.at ? column.words[column.at[row]] : column.words[column.words.length > 1 ? row : 0];
}

const data = JSON.parse(document.getElementById("data").textContent), main = document.querySelector("main");
if (data.length > 1) {
  const list = element("nav", { "aria-label": "Targets" });
  data.forEach((told, index) => list.append(element("a", { href: `#target-${index}` }, told.title)));
  main.append(list);
}
window.charts = data.map((told, index) => {
  const host = element("section", { id: `target-${index}` });
  main.append(host);
  const chart = new Chart(told, host);
  chart.draw();
  return chart;
});
document.documentElement.dataset.ready = String(data.length);
