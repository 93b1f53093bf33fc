"use strict";
(async () => {
  const page = JSON.parse(document.getElementById("content").textContent);
  const $ = (id) => document.getElementById(id);
  const NO_ESTIMATE = [230, 230, 230, 255], PALE = 95, MINUTES_PER_DAY = 1440;
  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;  // never as HTML: names are a stranger's
    if (kind) made.className = kind;
    return made;
  };

  /* ---- Contents: differences of steps, deflated; see packing.py. ---- */

  async function unpacked(parcel) {
    const bytes = Uint8Array.from(atob(parcel.text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const size = planes.length / parcel.bytes;
    const values = new { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[parcel.bytes](size);
    for (let at = 0; at < size; at++) {
      let folded = 0;
      for (let plane = parcel.bytes - 1; plane >= 0; plane--) folded = (folded << 8) | planes[plane * size + at];
      values[at] = (folded >>> 1) ^ -(folded & 1);
    }
    for (const axis of parcel.axes) accumulate(values, parcel.shape, axis);
    return values;
  }

  function accumulate(values, shape, axis) {
    const stride = shape.slice(axis + 1).reduce((product, side) => product * side, 1);
    const span = stride * shape[axis];
    for (let begin = 0; begin < values.length; begin += span)
      for (let at = begin + stride; at < begin + span; at++) values[at] += values[at - stride];
  }

  async function load(name) {
    const layer = page.layers[name];
    if (!layer.steps) {
      layer.steps = await unpacked(layer.values);
      layer.values = null;
      layer.places = layer.steps.length / layer.frames;
      if (layer.palette || layer.classes) layer.lookup = lookupOf(layer);
    }
    return layer;
  }

  /* ---- Values ---- */

  const numberAt = (layer, step) => {
    const scaled = layer.low + (step * (layer.high - layer.low)) / layer.levels;
    return layer.root ? scaled * scaled : scaled;
  };
  const stepOf = (layer, frame, place) => layer.steps[(layer.frames === 1 ? 0 : frame) * layer.places + place];
  const valueOf = (layer, frame, place) => {
    const step = stepOf(layer, frame, place);
    return step === layer.missing ? null : layer.classes ? step : numberAt(layer, step);
  };

  /** Both ends of the interval of a pollutant, or null: of quantiles, or of median and error. */
  function intervalOf(variable, frame, place) {
    const how = page.intervals[variable];
    if (!how) return null;
    const [first, second] = (how.low ? [how.low, how.high] : [how.median, how.error]).map((name) => valueOf(page.layers[name], frame, place));
    if (first === null || second === null) return null;
    if (how.low) return [first, second];
    if (first < 0) return null;  // such as a difference, which has no root
    const total = 2 * first + Math.sqrt(4 * first * first + how.quartic * second * second);
    const spread = total > 0 ? Math.sqrt((second * second) / total) : 0;
    return [-1, 1].map((side) => Math.max(Math.sqrt(first) + side * how.quantile * spread, 0) ** 2);
  }

  const written = (value, layer) => {
    if (layer.kind === "probability") return `${Math.round(100 * value)} %`;
    const size = Math.abs(value);
    return (size >= 99.95 ? value.toFixed(0) : size >= 9.995 ? value.toFixed(1) : value.toFixed(2)).replace("-", "−");
  };
  const withUnits = (text, layer) => (layer.units ? `${text} ${layer.units}` : text);

  /* ---- Colours ---- */

  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const colourOf = (layer, value) => {
    if (layer.classes) return layer.classes[value].colour;
    const share = (value - layer.limits[0]) / (layer.limits[1] - layer.limits[0]);
    return layer.palette[Math.max(0, Math.min(layer.palette.length - 1, Math.floor(share * layer.palette.length)))];
  };

  /** Pixels by step, in the order of bytes of this machine. */
  function lookupOf(layer) {
    const count = layer.missing + 1;
    const bytes = new Uint8ClampedArray(4 * count);
    for (let step = 0; step < count; step++) {
      const known = layer.classes ? step < layer.classes.length : step < layer.missing;
      const colour = known ? [...rgb(colourOf(layer, layer.classes ? step : numberAt(layer, step))), 255] : NO_ESTIMATE;
      bytes.set(colour, 4 * step);
    }
    return new Uint32Array(bytes.buffer);
  }

  /* ---- Time ---- */

  const clock = page.clock, frames = clock ? clock.begin.length : 1;
  const stamp = (minutes) => new Date(minutes * 60000).toISOString();
  const dayOf = (minutes) => stamp(minutes).slice(0, 10);
  const hourOf = (minutes) => stamp(minutes).slice(11, 16);
  const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

  function period(begin, end) {
    if (end - begin < MINUTES_PER_DAY) return `${dayOf(begin)} ${hourOf(begin)}–${hourOf(end)}`;
    if (begin % MINUTES_PER_DAY || end % MINUTES_PER_DAY) return `${dayOf(begin)} ${hourOf(begin)} to ${dayOf(end)} ${hourOf(end)}`;
    return end - begin === MINUTES_PER_DAY ? dayOf(begin) : `${dayOf(begin)} to ${dayOf(end - 1)}`;
  }

  /** Local time beside UTC: the date only where it is another one. */
  function localPeriod(begin, end, day) {
    if (end - begin >= MINUTES_PER_DAY) return period(begin, end);
    const weekday = WEEKDAYS[new Date(begin * 60000).getUTCDay()];
    return `${weekday} ${dayOf(begin) === day ? "" : `${dayOf(begin)} `}${hourOf(begin)}–${hourOf(end)}`;
  }

  function showClock() {
    if (!clock) return;
    const begin = clock.begin[state.frame], end = clock.end[state.frame], offset = clock.offset[state.frame];
    $("utc").textContent = `${period(begin, end)} UTC`;
    $("local").textContent = clock.zone ? `${localPeriod(begin + offset, end + offset, dayOf(begin))} (${clock.zone})` : "";
    $("slider").value = state.frame;
    $("slider").setAttribute("aria-valuetext", $("utc").textContent);
  }

  /* ---- The map ---- */

  const [west, east, south, north] = page.region;
  const bounds = L.latLngBounds([south, west], [north, east]);
  const plane = page.plane;  // metres of a projection, instead of degrees in the web's Mercator
  const map = L.map("map", { crs: plane ? L.CRS.Simple : L.CRS.EPSG3857, minZoom: plane ? -40 : 0, attributionControl: false, keyboard: false, zoomSnap: 0.25, zoomDelta: 0.5, wheelPxPerZoomLevel: 90, maxZoom: 13, maxBoundsViscosity: 0.7, inertiaMaxSpeed: 1500, zoomAnimation: false });
  map.fitBounds(bounds, { padding: [6, 6] });
  const around = page.surroundings.around;
  map.setMaxBounds([[around[2], around[0]], [around[3], around[1]]]);
  map.setMinZoom(map.getZoom() - 1);
  if (plane) map.setMaxZoom(map.getZoom() + 7);
  L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
  for (const [name, level] of [["lines", 410], ["marks", 420], ["names", 430]]) {
    map.createPane(name).style.zIndex = level;
    map.getPane(name).style.pointerEvents = "none";
  }

  const CanvasOverlay = L.ImageOverlay.extend({
    _initImage() {
      this._image = this._url;
      L.DomUtil.addClass(this._image, "leaflet-image-layer");
    },
  });
  const grid = page.grid, field = document.createElement("canvas");
  let picture = null, pixels = null;

  function drawLines() {
    const renderer = L.canvas({ pane: "lines", padding: 0.3 });
    const styles = {
      state: { color: "#444", weight: 0.5 }, lake: { color: "#222", weight: 0.7 }, coastline: { color: "#111", weight: 1 },
      border: { color: "#111", weight: 1.1 }, disputed: { color: "#111", weight: 1.1, dashArray: "4 3" },
    };
    for (const [kind, lines] of Object.entries(page.surroundings.lines)) {
      const places = lines.map((steps) => {
        const line = [];
        let x = 0, y = 0;
        for (let at = 0; at < steps.length; at += 2) {
          x += steps[at]; y += steps[at + 1];
          line.push([y * page.surroundings.step, x * page.surroundings.step]);
        }
        return line;
      });
      if (places.length) L.polyline(places, { ...styles[kind], interactive: false, renderer, pane: "lines", smoothFactor: 0.5 }).addTo(map);
    }
  }

  const names = L.layerGroup([], { pane: "names" }).addTo(map);
  function drawCities() {
    names.clearLayers();
    const size = map.getSize(), taken = [];
    for (const [name, across, up] of page.surroundings.cities) {
      const at = map.latLngToContainerPoint([up, across]);
      const box = [at.x - 6, at.y - 9, at.x + 8 + 6.4 * name.length, at.y + 9];
      if (box[0] < 0 || box[1] < 0 || box[2] > size.x || box[3] > size.y) continue;
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      const icon = L.divIcon({ html: element("span", name), className: "city", iconSize: null, iconAnchor: [-5, 6] });
      L.marker([up, across], { icon, interactive: false, keyboard: false, pane: "names" }).addTo(names);
      if (taken.length >= 40) break;
    }
  }

  /* Stations: those of the product, or measured ones over a grid. */
  const stations = page.stations || page.measured, circles = [];
  const isHidden = (at) => Boolean(page.measured && page.measured.hidden[at]);
  const Diamond = L.CircleMarker.extend({
    _updatePath() {
      if (!this._renderer._drawing || this._empty()) return;
      const context = this._renderer._ctx, { x, y } = this._point, reach = 1.25 * this._radius;
      context.beginPath();
      context.moveTo(x, y - reach);
      for (const [across, up] of [[1, 0], [0, 1], [-1, 0]]) context.lineTo(x + across * reach, y + up * reach);
      context.closePath();
      this._renderer._fillStroke(context, this);
    },
  });
  function drawCircles() {
    if (!stations) return;
    const renderer = L.canvas({ pane: "marks", padding: 0.3 });
    const radius = Math.max(3.2, Math.min(7, 90 / Math.sqrt(stations.id.length)));
    stations.id.forEach((_, at) => {
      const spot = plane ? [stations.y[at], stations.x[at]] : [stations.latitude[at], stations.longitude[at]];
      const style = { radius, color: "#111", weight: 1, fillOpacity: 1, interactive: false, renderer, pane: "marks" };
      circles.push(new (isHidden(at) ? Diamond : L.CircleMarker)(spot, style).addTo(map));
    });
  }

  /** The value of a station on the map: of the product, or what it measured. */
  function stationValue(at, layer = state.layer) {
    if (page.stations) return valueOf(layer, state.frame, at);
    return layer.name === layer.variable ? measuredAt(layer.variable, state.frame, at) : null;
  }
  const measuredRows = (variable) => page.measured && page.measured.values[variable];
  function measuredAt(variable, frame, at) {
    const rows = measuredRows(variable);
    return rows ? rows[rows.length === 1 ? 0 : frame][at] : null;
  }

  function drawFrame() {
    const layer = state.layer;
    if (grid) {
      const flag = layer.name === layer.variable ? state.flag : null;
      const base = (layer.frames === 1 ? 0 : state.frame) * grid.cells;
      const flagBase = flag && (flag.layer.frames === 1 ? 0 : state.frame) * grid.cells;
      for (let at = 0; at < pixels.length; at++) {
        const cell = grid.cell[at];
        if (cell === grid.cells) continue;
        let colour = layer.lookup[layer.steps[base + cell]];
        if (flag && flag.doubtful[flag.layer.steps[flagBase + cell]]) colour = pale(colour);
        pixels[at] = colour;
      }
      field.getContext("2d").putImageData(picture, 0, 0);
    }
    circles.forEach((circle, at) => {
      const value = stationValue(at);
      const known = value !== null;
      circle.setStyle({ fillColor: known ? colourOf(layer, value) : "#fff", fillOpacity: known ? 1 : 0, color: known ? "#111" : "#666" });
    });
    showClock();
    if (state.pointer) showReadout(state.pointer);
    if (state.plot) showHour();
  }
  /* Towards white, without transparency: lines below would show through. */
  const paleOf = new Map();
  function pale(colour) {
    if (!paleOf.has(colour)) {
      const bytes = new Uint8ClampedArray(new Uint32Array([colour]).buffer);
      for (let part = 0; part < 3; part++) bytes[part] = 255 - ((255 - bytes[part]) * PALE) / 255;
      paleOf.set(colour, new Uint32Array(bytes.buffer)[0]);
    }
    return paleOf.get(colour);
  }

  /* ---- Places ---- */

  const ordinate = (up) => (plane ? up : Math.asinh(Math.tan((up * Math.PI) / 180)));
  const lowest = ordinate(south), highest = ordinate(north);

  /** The cell or the station at a place of the map, or null. */
  function placeAt(latlng, reach) {
    const at = map.latLngToContainerPoint(latlng);
    let nearest = null, distance = page.stations ? 2 * reach : reach;
    circles.forEach((circle, index) => {
      const apart = map.latLngToContainerPoint(circle.getLatLng()).distanceTo(at);
      if (apart <= distance) [nearest, distance] = [index, apart];
    });
    const cell = grid ? cellAt(nearest === null ? latlng : circles[nearest].getLatLng()) : null;
    if (nearest === null && cell === null) return null;
    return { station: nearest, cell, latlng: nearest === null ? latlng : circles[nearest].getLatLng() };
  }
  function cellAt(latlng) {
    const column = Math.floor(((latlng.lng - west) / (east - west)) * grid.columns);
    const row = Math.floor(((highest - ordinate(latlng.lat)) / (highest - lowest)) * grid.rows);
    if (column < 0 || row < 0 || column >= grid.columns || row >= grid.rows) return null;
    const cell = grid.cell[row * grid.columns + column];
    return cell === grid.cells ? null : cell;
  }
  const indexOf = (place) => (page.stations ? place.station : place.cell);
  const degrees = ({ station, cell, latlng }) => {
    let { lat, lng } = latlng;
    if (plane) [lat, lng] = station !== null ? [stations.latitude[station], stations.longitude[station]] : [grid.latitude[cell] / 100 - 90, grid.longitude[cell] / 100 - 180];
    const turned = ((((lng + 180) % 360) + 360) % 360) - 180;
    return `${Math.abs(lat).toFixed(2)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(turned).toFixed(2)}° ${turned < 0 ? "W" : "E"}`;
  };
  const nameOf = (place) => {
    if (place.station === null) return `Cell at ${degrees(place)}`;
    const name = stations.name[place.station], id = stations.id[place.station];
    return name === id ? name : `${name} (${id})`;
  };

  function lines(place) {
    const layer = state.layer, at = indexOf(place), owner = page.layers[layer.variable], result = [];
    const value = at === null ? null : valueOf(layer, state.frame, at);
    const shown = value === null ? "no estimate" : layer.classes ? layer.classes[value].name : withUnits(written(value, layer), layer);
    if (at !== null) {
      result.push([shown, "value"]);
      const estimate = layer === owner ? value : valueOf(owner, state.frame, at);
      if (layer !== owner && estimate !== null) result.push([`${owner.title}: ${withUnits(written(estimate, owner), owner)}`]);
      const ends = intervalOf(layer.variable, state.frame, at);
      if (ends && estimate !== null) result.push([`90 %: ${written(ends[0], owner)} to ${withUnits(written(ends[1], owner), owner)}`]);
    }
    if (measuredRows(layer.variable) && place.station !== null) {
      const measured = measuredAt(layer.variable, state.frame, place.station);
      result.push([measured === null ? "not measured" : `measured: ${withUnits(written(measured, owner), owner)}`]);
    }
    if (place.station !== null && isHidden(place.station)) result.push(["hidden from the method"]);
    const flag = state.flag;
    if (flag && flag.layer !== layer && at !== null) {
      const kind = valueOf(flag.layer, state.frame, at);
      if (kind !== null && flag.doubtful[kind]) result.push([flag.layer.classes[kind].name]);
    }
    return result;
  }

  function showReadout(place) {
    const box = $("readout"), where = element("p", undefined, "where");
    where.append(element("bdi", nameOf(place)));
    box.replaceChildren(where, ...lines(place).map(([text, kind]) => element("p", text, kind)));
    box.hidden = false;
  }

  function point(latlng, reach) {
    const place = placeAt(latlng, reach) || state.place;
    state.pointer = place;
    if (place) showReadout(place);
    else $("readout").hidden = true;
  }
  map.on("mousemove", (event) => point(event.latlng, 9));
  map.on("mouseout", () => {
    state.pointer = state.place;
    if (state.place) showReadout(state.place);
    else $("readout").hidden = true;
  });
  map.on("click", (event) => choose(placeAt(event.latlng, 14)));

  /* ---- The series of a place ---- */

  const ring = L.circleMarker([0, 0], { radius: 9, color: "#0072b2", weight: 3, fill: false, interactive: false, pane: "names" });
  function chooseStation(by) {
    if (!circles.length) return;
    const last = state.place ? state.place.station : null;
    const next = last === null ? (by > 0 ? 0 : circles.length - 1) : (last + by + circles.length) % circles.length;
    const latlng = circles[next].getLatLng();
    map.panInside(latlng, { padding: [40, 40], animate: false });
    choose({ station: next, cell: grid ? cellAt(latlng) : null, latlng });
  }
  function choose(place) {
    if (!place) return;
    state.place = state.pointer = place;
    ring.setLatLng(place.latlng).addTo(map);
    showReadout(place);
    if (frames > 1) {
      $("panel").hidden = false;
      document.body.classList.add("open");
      $("name").textContent = nameOf(place);
      $("where").textContent = place.station === null ? "" : degrees(place);
      map.invalidateSize({ animate: false });
      map.panInside(place.latlng, { padding: [40, 40], animate: false });
      drawSeries();
    }
  }
  function close() {
    state.place = state.pointer = null;
    ring.remove();
    document.body.classList.remove("open");
    $("panel").hidden = $("readout").hidden = true;
    if (state.plot) state.plot.destroy();
    state.plot = null;
    map.invalidateSize({ animate: false });
  }

  function seriesOf(place) {
    const own = state.layer.kind === "classes" || state.layer.frames === 1 ? page.layers[state.layer.variable] : state.layer;
    const layer = page.intervals[own.variable] && page.intervals[own.variable].error === own.name ? page.layers[own.variable] : own;
    const at = indexOf(place), every = Array.from({ length: frames }, (_, frame) => frame);
    const rows = [every.map((frame) => clock.begin[frame] * 60)];
    const ends = at === null || layer.name !== layer.variable ? every.map(() => null) : every.map((frame) => intervalOf(layer.variable, frame, at));
    const interval = ends.some((pair) => pair);
    if (interval) rows.push(ends.map((pair) => pair && pair[0]), ends.map((pair) => pair && pair[1]));
    rows.push(every.map((frame) => (at === null ? null : valueOf(layer, frame, at))));
    const measured = measuredRows(layer.variable) && place.station !== null && layer.name === layer.variable;
    if (measured) rows.push(every.map((frame) => measuredAt(layer.variable, frame, place.station)));
    return { layer, rows, interval, measured };
  }

  function drawSeries() {
    if (state.plot) state.plot.destroy();
    const { layer, rows, interval, measured } = seriesOf(state.place);
    const text = (_, value) => (value === null || value === undefined ? "–" : written(value, layer));
    const edge = { stroke: "transparent", points: { show: false }, value: text };
    const what = page.stations && !page.intervals[layer.variable] ? layer.title : "estimate";
    const options = {
      width: $("series").clientWidth, height: 175,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: (_, low, high) => (high === null ? [0, 1] : layer.root ? [0, high * 1.06 || 1] : [low, high > low ? high : low + 1]) } },
      axes: [{ values: hoursOf, space: 58 }, { label: layer.units || (layer.kind === "probability" ? "probability" : ""), labelSize: 18, size: 52, labelGap: 0 }],
      series: [
        { label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...(interval ? [{ ...edge, label: "low (5 %)" }, { ...edge, label: "high (95 %)" }] : []),
        { label: layer === page.layers[layer.variable] ? what : layer.title, stroke: "#0072b2", width: 1.8, value: text, points: { show: false } },
        ...(measured ? [{ label: "measured", stroke: "#111", width: 0, value: text, points: { show: true, size: 5, fill: "#111" } }] : []),
      ],
      bands: interval ? [{ series: [2, 1], fill: "rgb(0 114 178 / 20%)" }] : [],
      hooks: { draw: [markHour] },
    };
    state.plot = new uPlot(options, rows, $("series"));
    showHour();
    state.plot.over.addEventListener("mouseleave", showHour);
    state.plot.over.addEventListener("click", () => {
      const at = state.plot.cursor.idx;
      if (at !== null && at !== undefined) go(at);
    });
  }
  /** Mark the hour, and write its values below unless the pointer chooses others. */
  function showHour() {
    state.plot.redraw(false);
    requestAnimationFrame(() => {
      if (state.plot && state.plot.cursor.left < 0) state.plot.setLegend({ idx: state.frame });
    });
  }
  /** Labels of the axis: hours, and the date where a day begins. */
  function hoursOf(_, splits) {
    return splits.map((seconds, at) => {
      const minutes = seconds / 60, begins = minutes % MINUTES_PER_DAY === 0;
      const date = dayOf(minutes).slice(at && seconds - splits[0] < 300 * 86400 ? 5 : 0);
      return begins ? date : at ? hourOf(minutes) : `${hourOf(minutes)}\n${date}`;
    });
  }
  function markHour(plot) {
    const x = Math.round(plot.valToPos(clock.begin[state.frame] * 60, "x", true));
    const { left, top, width, height } = plot.bbox;
    if (x < left || x > left + width) return;
    plot.ctx.save();
    plot.ctx.fillStyle = "#b35c00";
    plot.ctx.fillRect(x - 1, top, 2, height);
    plot.ctx.restore();
  }

  /* ---- Legend and choice of layers ---- */

  function showLegend() {
    const layer = state.layer, box = $("legend"), list = element("ul");
    const entry = (text, colour, kind) => {
      const line = element("li"), patch = element("i", undefined, kind);
      patch.style.background = colour;
      line.append(patch, element("span", text));
      list.append(line);
    };
    const parts = [element("p", layer.units && layer.kind === "number" ? `${layer.title} (${layer.units})` : layer.title)];
    if (layer.classes) layer.classes.forEach(({ name, colour }) => entry(name, colour));
    else {
      const bar = element("div", undefined, "bar"), ticks = element("div", undefined, "ticks");
      bar.style.background = `linear-gradient(to right, ${layer.palette.join(", ")})`;
      const [low, high] = layer.limits;
      layer.ticks.forEach((tick, at) => {
        const sign = tick === low && ["min", "both"].includes(layer.extend) ? "≤ " : tick === high && ["max", "both"].includes(layer.extend) ? "≥ " : "";
        const mark = element("span", sign + (layer.kind === "probability" ? `${Math.round(100 * tick)} %` : String(+tick.toPrecision(6)).replace("-", "−")));
        mark.style.left = `${(100 * (tick - low)) / (high - low)}%`;
        if (at === 0 && tick === low) mark.style.transform = "none";
        if (at && tick === high) mark.style.transform = "translateX(-100%)";
        ticks.append(mark);
      });
      parts.push(bar, ticks);
      if (layer.gaps && grid) entry("no estimate", `rgb(${NO_ESTIMATE.slice(0, 3)})`);
    }
    if (grid && state.flag && layer.name === layer.variable && state.flag.any) entry("pale: far from stations, or few report", "linear-gradient(to right, #f3d9b0, #e9b9a0)");
    if (!page.stations && measuredRows(layer.variable) && layer.name === layer.variable) entry("measured at a station", "#e9b05a", "round");
    if (page.measured && page.measured.hidden.some(Boolean)) entry("station hidden from the method", "#e9b05a", "diamond");
    if (stations && circles.some((_, at) => stationValue(at) === null)) entry("station without a value", "none", "round empty");
    box.replaceChildren(...parts, list);
    let free = Infinity;  // from the right, since the last number says whether the scale goes on
    for (const mark of [...box.querySelectorAll(".ticks span")].reverse()) {
      const { left, right } = mark.getBoundingClientRect();
      if (right + 4 > free) mark.style.visibility = "hidden";
      else free = left;
    }
    map.invalidateSize({ animate: false });  // on a phone the legend lies below the map
  }

  async function choseLayer(name) {
    const wanted = [name, page.layers[name].variable];
    const how = page.intervals[page.layers[name].variable];
    if (how) wanted.push(...(how.low ? [how.low, how.high] : [how.median, how.error]));
    const flag = page.flags[page.layers[name].variable];
    if (flag) wanted.push(flag.layer);
    for (const each of wanted) await load(each);
    state.layer = page.layers[name];
    state.flag = null;
    if (flag) {
      const layer = page.layers[flag.layer], doubtful = new Uint8Array(256);
      flag.doubtful.forEach((kind) => { doubtful[kind] = 1; });
      state.flag = { layer, doubtful, any: layer.steps.some((kind) => doubtful[kind]) };
    }
    if (state.layer.gaps === undefined) state.layer.gaps = state.layer.steps.includes(state.layer.missing);
    $("layer").value = name;
    showLegend();
    drawFrame();
    if (state.place && frames > 1) drawSeries();
  }

  /* ---- Steps ---- */

  const state = { frame: 0, layer: null, flag: null, place: null, pointer: null, plot: null, timer: null };
  function go(frame) {
    state.frame = Math.max(0, Math.min(frames - 1, frame));
    drawFrame();
  }
  function play(on) {
    clearInterval(state.timer);
    state.timer = on ? setInterval(() => go((state.frame + 1) % frames), 200) : null;
    $("play").classList.toggle("playing", on);
    $("play").setAttribute("aria-label", on ? "pause" : "play");
  }
  const steps = clock ? Math.max(1, Math.round(MINUTES_PER_DAY / (clock.end[0] - clock.begin[0]))) : 1;
  $("slider").max = frames - 1;
  $("slider").addEventListener("input", () => go(Number($("slider").value)));
  $("back").addEventListener("click", () => go(state.frame - 1));
  $("on").addEventListener("click", () => go(state.frame + 1));
  $("play").addEventListener("click", () => play(!state.timer));
  $("close").addEventListener("click", close);
  $("about").addEventListener("click", () => $("notes").showModal());
  $("layer").addEventListener("change", () => choseLayer($("layer").value));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT" || $("notes").open) return;
    const moves = { ArrowLeft: -(event.shiftKey ? steps : 1), ArrowRight: event.shiftKey ? steps : 1, Home: -frames, End: frames };
    if (event.key in moves) go(state.frame + moves[event.key]);
    else if (event.key === " " && event.target.tagName !== "BUTTON") play(!state.timer);
    else if (event.key === "Escape") close();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") chooseStation(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter" && !event.target.closest("button, a")) choose(placeAt(map.getCenter(), page.stations ? Infinity : 14));
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => {
    map.invalidateSize({ animate: false });
    if (state.plot) state.plot.setSize({ width: $("series").clientWidth, height: 175 });
  }).observe($("map"));

  /* ---- Begin ---- */

  if (typeof DecompressionStream === "undefined") {
    $("message").textContent = "This page needs a browser of 2023 or later.";
    return;
  }
  if (!clock) $("clock").remove();
  if (frames === 1) $("times").hidden = true;
  for (const name of page.shown) {
    const option = element("option", page.layers[name].title);
    option.value = name;
    $("layer").append(option);
  }
  if (grid) {
    grid.cell = await unpacked(grid.cell);
    if (plane) for (const name of ["longitude", "latitude"]) grid[name] = await unpacked(grid[name]);
    field.width = grid.columns;
    field.height = grid.rows;
    field.className = "field";
    picture = field.getContext("2d").createImageData(grid.columns, grid.rows);
    pixels = new Uint32Array(picture.data.buffer);
    new CanvasOverlay(field, bounds).addTo(map);
  }
  drawLines();
  drawCircles();
  drawCities();
  map.on("moveend resize", drawCities);
  await choseLayer(page.shown[0]);
  $("message").remove();
  window.viewer = { map, state, page, valueOf, intervalOf, placeAt };  // for whoever goes on from here
  document.body.dataset.ready = "yes";
})();
