// Shows the row of a node: the figure was drawn in Python, and only what depends on the row is changed here.
"use strict";
(() => {
  const DECADES = 4;
  const SCALES = {
    rising: [[0, "#e4e4ea"], [0.03, "#fde0ae"], [0.35, "#f79540"], [0.7, "#c2285f"], [1, "#3a0e52"]],
    signed: [[0, "#173f7a"], [0.25, "#5b9bd5"], [0.5, "#e4e4ea"], [0.75, "#f08a5d"], [1, "#a3133a"]],
  };
  const KINDS = { float32: Float32Array, int32: Int32Array, int16: Int16Array, uint16: Uint16Array };
  const find = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(find(id).textContent);

  function decode(packed) {
    const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
    return new KINDS[packed.type](bytes.buffer);
  }

  const page = read("data"), figure = read("figure"), plot = find("plot");
  const pos = decode(page.pos), pins = decode(page.pins), axes = page.axes, numNodes = pos.length / axes;
  const masks = page.masks.map((mask) => {
    const found = { ...mask };
    for (const name of ["nodes", "ptr", "col", "value", "scale", "own"]) found[name] = decode(mask[name]);
    found.signed = found.own.some((x) => x < 0) || found.value.some((x) => x < 0);
    return found;
  });
  const state = { mask: 0, node: page.node, head: page.head, logarithmic: page.logarithmic };
  const view = { show, state };  // for whoever drives the page; `ready` is a promise that what was asked for is drawn
  const place = Object.fromEntries(figure.data.map((trace, number) => [trace.name, number]));

  // The place of a node among those whose rows are here: nodes rise.
  function rowOf(mask, node) {
    let low = 0, high = mask.nodes.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (mask.nodes[middle] === node) return middle;
      if (mask.nodes[middle] < node) low = middle + 1; else high = middle - 1;
    }
    return -1;
  }

  function nearestWithRow(mask, node) {
    let best = -1, least = Infinity;
    for (let row = 0; row < mask.nodes.length; row++) {
      let distance = 0;
      for (let axis = 0; axis < axes; axis++) distance += (pos[mask.nodes[row] * axes + axis] - pos[node * axes + axis]) ** 2;
      if (distance < least) { least = distance; best = row; }
    }
    return best;
  }

  function entriesOf(mask, row, head) {
    const begin = mask.ptr[row], end = mask.ptr[row + 1], total = mask.col.length, rows = mask.nodes.length;
    const unit = mask.scale[head * rows + row] / 32767, found = [];
    for (let entry = begin; entry < end; entry++) {
      const share = mask.value[head * total + entry];
      if (share !== 0) found.push([mask.col[entry], share * unit]);
    }
    return found;
  }

  function levelOf(weight, largest) {
    let share = largest > 0 ? Math.min(Math.abs(weight) / largest, 1) : 0;
    if (state.logarithmic) share = share > 0 ? Math.max(0, 1 + Math.log10(share) / DECADES) : 0;
    return Math.sign(weight) * share;
  }

  const short = (weight) => (weight === 0 ? "0" : Number(weight.toPrecision(3)).toString());

  function ticks(largest, signed) {
    const shares = [];
    for (let step = 0; step <= 4; step++) {
      shares.push(state.logarithmic ? [step / 4, largest * 10 ** (step * DECADES / 4 - DECADES)] : [step / 4, largest * step / 4]);
    }
    const negative = signed ? shares.slice(1).reverse().map(([level, weight]) => [-level, -weight]) : [];
    const all = negative.concat(shares);
    return { vals: all.map((each) => each[0]), text: all.map((each) => short(Number(each[1].toPrecision(2)))) };
  }

  function call(node) {
    const name = page.names ? page.names[node] : "";
    return name && name !== String(node) ? `${node} (${name})` : String(node);
  }

  const escape = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

  function placesOf(nodes, places) {
    const column = (axis) => Float32Array.from(nodes, (node) => places[node * axes + axis]);
    return Object.fromEntries([..."xyz"].slice(0, axes).map((name, axis) => [name, [column(axis)]]));
  }

  function update(mask, node, entries, own, largest) {
    const { vals, text } = ticks(largest, mask.signed);
    const bar = (prefix) => ({
      [`${prefix}colorscale`]: [mask.signed ? SCALES.signed : SCALES.rising],
      [`${prefix}cmin`]: mask.signed ? -1 : 0,
      [`${prefix}colorbar.tickvals`]: [vals],
      [`${prefix}colorbar.ticktext`]: [text],
    });
    const nodes = entries.map((entry) => entry[0]);
    let change;
    if (page.surface) {
      const intensity = new Float32Array(numNodes), texts = new Array(numNodes).fill("0");
      for (const [other, weight] of entries) { intensity[other] = levelOf(weight, largest); texts[other] = short(weight); }
      intensity[node] = 1;
      texts[node] = short(own);
      change = { intensity: [intensity], text: [texts], ...bar("") };
    } else {
      const levels = entries.map((entry) => levelOf(entry[1], largest));
      const texts = entries.map(([other, weight]) => `${page.names ? escape(page.names[other]) : ""}<br>weight ${short(weight)}`);
      change = { ...placesOf(nodes, pos), customdata: [Int32Array.from(nodes)], text: [texts], "marker.color": [levels], ...bar("marker.") };
    }
    const title = `${mask.name}${mask.heads > 1 ? `, head ${state.head} of ${mask.heads}` : ""}: row of node ${call(node)}`;
    return Plotly.restyle(plot, change, [place.row])
      .then(() => Plotly.restyle(plot, { ...placesOf([node], pins), customdata: [[node]], text: [[escape(call(node))]] }, [place.chosen]))
      .then(() => Plotly.relayout(plot, { "title.text": escape(title) }));
  }

  function list(mask, asked, node, entries, own) {
    const total = entries.reduce((sum, entry) => sum + Math.abs(entry[1]), Math.abs(own));
    const part = (weight) => (total > 0 ? `${(100 * Math.abs(weight) / total).toFixed(1)} %` : "");
    const moved = asked === node ? "" : `Node ${asked} has no row on this page; the nearest that has one is shown.<br>`;
    const lead = entries.length ? "" : "<br>No other node has a weight in this row.";
    find("status").innerHTML =
      `${moved}<b>node ${escape(call(node))}</b><br>own entry ${short(own)} (${part(own)} of the row)<br>${entries.length} other entries${lead}`;
    const largest = [...entries].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 15);
    find("entries").replaceChildren(...largest.map(([other, weight]) => {
      const line = document.createElement("tr");
      line.className = "entry";
      line.innerHTML = `<td>${escape(call(other))}</td><td>${short(weight)}</td><td>${part(weight)}</td>`;
      line.onclick = () => show(other);
      return line;
    }));
  }

  function show(asked) {
    const mask = masks[state.mask];
    state.head = Math.min(state.head, mask.heads - 1);
    let row = rowOf(mask, asked);
    if (row < 0) row = nearestWithRow(mask, asked);
    const node = mask.nodes[row], entries = entriesOf(mask, row, state.head), own = mask.own[state.head * mask.nodes.length + row];
    const largest = entries.reduce((most, entry) => Math.max(most, Math.abs(entry[1])), 0);
    state.node = node;
    find("node").value = node;
    find("head").max = mask.heads - 1;
    find("head").value = state.head;
    find("head-name").textContent = `${state.head} of ${mask.heads}`;
    find("head-field").hidden = mask.heads === 1;
    find("about").textContent = mask.about;
    list(mask, asked, node, entries, own);
    view.ready = update(mask, node, entries, own, largest).then(() => null);
    return view.ready;
  }

  find("mask").replaceChildren(...masks.map((mask, number) => new Option(mask.name, number)));
  find("mask-field").hidden = masks.length === 1;
  find("node").max = numNodes - 1;
  find("log").checked = state.logarithmic;
  find("mask").onchange = (event) => { state.mask = Number(event.target.value); show(state.node); };
  find("head").oninput = (event) => { state.head = Number(event.target.value); show(state.node); };
  find("log").onchange = (event) => { state.logarithmic = event.target.checked; show(state.node); };
  find("node").onchange = (event) => {
    const node = Math.round(Number(event.target.value));
    if (node >= 0 && node < numNodes) show(node);
  };

  const config = { responsive: true, displaylogo: false, scrollZoom: true };
  view.ready = Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
    plot.on("plotly_click", (event) => {
      const point = event.points[0];
      // Restyling while the click is being told of confuses the scene that tells of it.
      setTimeout(() => show(point.customdata ?? point.pointNumber), 0);
    });
    return show(state.node);
  });
  window.graphmaskView = view;
})();
