"use strict";
// Builds the page from the JSON in #content. Names are put in as text and never as markup.
(() => {
  const data = JSON.parse(document.getElementById("content").textContent);
  const $ = (id) => document.getElementById(id);
  const heat = bytesOf(data.heat); // 256 colours, three bytes each
  const PAGE = 6; // rows of the gallery that one press adds

  // --- elements, numbers, bytes ---------------------------------------------------------------------------------

  /** An element with attributes (null: left out) and children, strings being text. */
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** A name from outside: set apart, so that its direction of writing does not reach its neighbours. */
  const named = (text) => el("bdi", {}, text);

  function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  }

  const percent = (fraction, digits = 0) => `${(100 * fraction).toFixed(digits)}\u00a0%`;
  const points = (fraction) => `${fraction < 0 ? "−" : "+"}${Math.abs(100 * fraction).toFixed(1)}`;
  const isNumber = (value) => typeof value === "number";
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  /** A metric's value for a table: percent without its sign, or a loss. */
  function valueText(metric, value) {
    if (!isNumber(value)) return "–";
    return metric.percent ? (100 * value).toFixed(1) : value.toFixed(metric.digits);
  }

  /** Fill a <select> with [value, text] pairs; `first`, if any, is the text of an option that chooses nothing. */
  function options(select, first, entries) {
    const pairs = first === null ? entries : [["", first], ...entries];
    select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  }

  /** A row of buttons of which one is pressed; `choose` is called with its value, and at once with `first`. */
  function oneOf(container, options, first, choose) {
    const buttons = options.map(([value, text]) => {
      const button = el("button", { type: "button" }, text);
      button.addEventListener("click", () => press(value));
      return [value, button];
    });
    function press(chosen) {
      for (const [value, button] of buttons) button.setAttribute("aria-pressed", value === chosen);
      choose(chosen);
    }
    container.replaceChildren(...buttons.map(([, button]) => button));
    press(first);
  }

  const oneBackbone = new Set(data.cells.map((cell) => cell.backbone)).size === 1;
  const shortName = (cell) => (oneBackbone ? cell.head : cell.name); // tiles and columns are narrow

  // --- the answer -----------------------------------------------------------------------------------------------

  function showAnswer() {
    const taken = data.cells.findIndex((cell) => cell.name === data.taken?.cell);
    for (const id of data.taken ? ["typical", "worst"] : []) {
      const list = data.taken[id].map((path) => data.images.findIndex((image) => image.path === path)).filter((index) => index >= 0);
      $(id).replaceChildren(...list.map((index, at) => {
        const tile = el("button", { type: "button", class: "open" }, ...answerTile(data.cells[taken], taken, index));
        tile.addEventListener("click", () => lookCloser(list, at));
        return tile;
      }));
    }
    const winner = data.cells[taken];
    const numbers = data.metrics.filter((metric) => metric.percent && metric.headline && isNumber(winner?.metrics[metric.key]));
    $("numbers")?.replaceChildren(...numbers.map((metric) => {
      const interval = winner.intervals[metric.key];
      return el("div", {}, el("dt", {}, metric.title), el("dd", {}, percent(winner.metrics[metric.key], 1),
        interval ? el("small", {}, `${interval.map((end) => valueText(metric, end)).join(" – ")}`) : ""));
    }));
    const missing = Object.entries(data.missing);
    $("missing").hidden = missing.length === 0;
    $("missing-list").replaceChildren(...missing.map(([cell, why]) => el("li", {}, el("b", {}, cell), `: ${why}`)));
    const explained = data.metrics.filter((metric) => metric.meaning);
    for (const metric of explained) $("glossary").append(el("dt", {}, metric.title), el("dd", {}, `${metric.meaning}.`));
  }

  // --- differences ----------------------------------------------------------------------------------------------

  const SURENESS = {
    clear: (better) => (better ? "✓ clearly better" : "✗ clearly worse"),
    likely: (better) => (better ? "≈ probably better" : "≈ probably worse"),
    open: () => "? may be chance",
  };

  function showDifferences() {
    const compared = data.metrics.filter((metric) => data.comparisons.some((row) => row.metric === metric.key));
    $("differences").hidden = compared.length === 0;
    if (compared.length === 0) return;
    oneOf($("difference-metric"), compared.map((metric) => [metric.key, metric.title]), data.comparedBy, (key) => {
      const rows = data.comparisons.filter((row) => row.metric === key);
      const groups = Map.groupBy(rows, (row) => (row.baseline ? `Each cell against the ${row.b}` : `${row.a} against`));
      const parts = [...groups].flatMap(([heading, some]) => {
        // A baseline can be far below: on one scale with it, cells could not be told apart.
        const alike = rows.filter((row) => row.baseline === some[0].baseline);
        const reach = Math.max(...alike.flatMap((row) => [Math.abs(row.low), Math.abs(row.high)]), 0.001) * 1.05;
        const scale = some[0] === alike[0] ? el("small", {}, ` scale: up to ${(100 * reach).toFixed(reach < 0.1 ? 1 : 0)} points`) : "";
        const title = el("h3", {}, heading, scale);
        return [title, ...some.map((row) => differenceRow(row, row.baseline ? row.a : row.b, reach))];
      });
      $("difference-list").replaceChildren(...parts);
    });
  }

  function differenceRow(row, name, reach) {
    const kind = `${row.sureness} ${row.difference < 0 ? "down" : "up"}`;
    const place = (value) => `${50 + (50 * value) / reach}%`;
    const [zero, span, dot] = ["zero", "span", "dot"].map((part) => el("i", { class: part }));
    zero.style.left = "50%";
    span.style.left = place(row.low);
    span.style.width = `${(50 * (row.high - row.low)) / reach}%`;
    dot.style.left = place(row.difference);
    return el(
      "div",
      { class: "difference" },
      el("b", {}, name),
      el("div", { class: `track ${kind}`, "aria-hidden": "true" }, zero, span, dot),
      el("span", { class: "points" }, points(row.difference), " ",
        el("small", {}, `${points(row.low)} to ${points(row.high)}`)),
      el("span", { class: `chip ${kind}` }, SURENESS[row.sureness](row.difference > 0)),
    );
  }

  // --- the grid -------------------------------------------------------------------------------------------------

  let sorting = { key: null, descending: true };

  function showGrid() {
    const all = $("all-metrics").checked;
    const metrics = data.metrics.filter((metric) => metric.headline || all);
    const cells = [...data.cells];
    if (sorting.key !== null) {
      const of = (cell) => (sorting.key === "name" ? cell.name : cell.metrics[sorting.key]);
      const sign = sorting.descending ? -1 : 1;
      cells.sort((a, b) => {
        const [x, y] = [of(a), of(b)];
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // no value: last
        return sign * (isNumber(x) ? x - y : x.localeCompare(y, "en", { numeric: true }));
      });
    }
    const heads = [header("name", "Cell", false), ...metrics.map((metric) =>
      header(metric.key, metric.title, metric.better !== "lower"))];
    const scales = new Map(metrics.map((metric) => [metric.key, scaleOf(metric)]));
    const body = cells.map((cell) => {
      const badges = [[data.best, "best"], [data.taken?.cell, data.taken?.cell === data.best ? null : "take this one"]]
        .filter(([name, text]) => name === cell.name && text).map(([, text]) => el("span", { class: "badge" }, text));
      const title = el("th", { scope: "row" }, cell.name, ...badges);
      const values = metrics.map((metric) => gridValue(metric, cell, scales.get(metric.key)));
      return el("tr", { class: cell.name === data.best ? "best" : null }, title, ...values);
    });
    const parts = [el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body)];
    const baselines = Object.entries(data.baselines).filter(([, values]) => metrics.some((metric) => isNumber(values[metric.key])));
    const feet = baselines.map(([name, values]) => el("tr", {}, el("th", { scope: "row" }, name),
      ...metrics.map((metric) => gridCell(metric, values[metric.key], valueText(metric, values[metric.key])))));
    if (feet.length) parts.push(el("tfoot", {}, ...feet));
    const focused = document.activeElement?.dataset?.sort;
    $("grid-table").replaceChildren(...parts);
    if (focused) $("grid-table").querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
  }

  function header(key, text, descendingFirst) {
    const chosen = sorting.key === key;
    const arrow = chosen ? (sorting.descending ? " ↓" : " ↑") : " ↕";
    const button = el("button", { type: "button", "data-sort": key }, text, el("span", { "aria-hidden": "true" }, arrow));
    button.addEventListener("click", () => {
      sorting = { key, descending: chosen ? !sorting.descending : descendingFirst };
      showGrid();
    });
    const order = chosen ? (sorting.descending ? "descending" : "ascending") : "none";
    return el("th", { scope: "col", "aria-sort": order }, button);
  }

  function scaleOf(metric) {
    const ends = data.cells.flatMap((cell) => cell.intervals[metric.key] ?? []);
    return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
  }

  function gridValue(metric, cell, scale) {
    const value = cell.metrics[metric.key];
    const values = data.cells.map((other) => other.metrics[metric.key]).filter(isNumber);
    const top = metric.better === "lower" ? Math.min(...values) : Math.max(...values);
    const stands = metric.percent && metric.better && value === top && values.some((other) => other !== top);
    const parts = [el(stands ? "b" : "span", {}, valueText(metric, value))];
    const interval = cell.intervals[metric.key];
    if (interval && scale) {
      parts.push(el("small", {}, interval.map((end) => valueText(metric, end)).join(" – ")));
      const span = el("i");
      const width = scale[1] - scale[0] || 1;
      span.style.left = `${(100 * (interval[0] - scale[0])) / width}%`;
      span.style.width = `${Math.max((100 * (interval[1] - interval[0])) / width, 1)}%`;
      parts.push(el("div", { class: "interval", "aria-hidden": "true" }, span));
    }
    return gridCell(metric, value, ...parts);
  }

  const gridCell = (metric, value, ...parts) =>
    el("td", { "data-title": metric.title, class: isNumber(value) ? null : "none" }, ...parts);

  // --- what erasing did -----------------------------------------------------------------------------------------

  function showErasing() {
    const most = Math.max(...data.cells.map((cell) => cell.erasing.length));
    $("erasing").hidden = most < 2;
    if (most < 2) return;
    const columns = [];
    for (let k = 0; k < most; k++) {
      const some = (key) => data.cells.some((cell) => isNumber(cell.erasing[k]?.[key]));
      if (some("object_share")) columns.push([k, "object_share", `Classifier ${k + 1}: object covered`]);
      if (k > 0 && some("added")) columns.push([k, "added", `Classifier ${k + 1}: new part`]);
    }
    const head = el("tr", {}, el("th", { scope: "col" }, "Cell"), ...columns.map(([, , text]) => el("th", { scope: "col" }, text)));
    const rows = data.cells.map((cell) =>
      el("tr", {}, el("th", { scope: "row" }, cell.name), ...columns.map(([k, key]) => shareCell(cell.erasing[k]?.[key]))));
    $("erasing-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  function shareCell(share) {
    if (!isNumber(share)) return el("td", {}, "–");
    const bar = el("i");
    bar.style.width = `${100 * share}%`;
    return el("td", {}, el("span", { class: "share", "aria-hidden": "true" }, bar), percent(share));
  }

  // --- classes --------------------------------------------------------------------------------------------------

  const MOST_CLASSES = 25; // a table of all pairs of more classes would be too large to read

  function showClasses() {
    const named = [["accuracy", "Accuracy"], ["located", "Right boxes"]];
    const kinds = named.filter(([kind]) => kind === "accuracy" || data.cells.some((cell) => cell.classes.located.some(isNumber)));
    oneOf($("class-score"), kinds, "accuracy", classTable);
    const choices = data.cells.map((cell, index) => [String(index), cell.name]);
    options($("confused-cell"), null, choices);
    $("confused-cell").value = String(Math.max(data.cells.findIndex((cell) => cell.name === data.best), 0));
    $("confused-cell").addEventListener("input", showConfusion);
    showConfusion();
  }

  const photographsOf = (cell, label) => sum(cell.classes.confusion.filter(([truth]) => truth === label).map(([, , count]) => count));
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

  function classShare(cell, label, kind) {
    if (kind === "located") return cell.classes.located[label];
    const right = cell.classes.confusion.find(([truth, answer]) => truth === label && answer === label);
    const all = photographsOf(cell, label);
    return all ? (right?.[2] ?? 0) / all : null;
  }

  function classTable(kind) {
    const heads = ["Class", "Photographs", ...data.cells.map(shortName)];
    const rows = data.classes.map((label, number) =>
      el("tr", {}, el("th", { scope: "row" }, named(label)), el("td", {}, String(photographsOf(data.cells[0], number))),
        ...data.cells.map((cell) => shareCell(classShare(cell, number, kind)))));
    const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
    $("class-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  function showConfusion() {
    const { confusion } = data.cells[$("confused-cell").value].classes;
    $("confusion-table").replaceChildren(...(data.classes.length > MOST_CLASSES ? mostConfused(confusion) : matrix(confusion)));
  }

  function matrix(confusion) {
    const counts = new Map(confusion.map(([truth, answer, count]) => [`${truth} ${answer}`, count]));
    const head = el("tr", {}, el("th", { scope: "col" }, "True class"),
      ...data.classes.map((label) => el("th", { scope: "col" }, named(label))));
    const rows = data.classes.map((label, truth) => {
      const values = data.classes.map((_, answer) => counts.get(`${truth} ${answer}`) ?? 0);
      const cells = values.map((count, answer) => {
        const cell = el("td", { class: answer === truth ? "hit" : "miss" }, count ? String(count) : "·");
        cell.style.setProperty("--share", `${count ? Math.round(12 + (28 * count) / sum(values)) : 0}%`);
        return cell;
      });
      return el("tr", {}, el("th", { scope: "row" }, named(label)), ...cells);
    });
    return [el("thead", {}, head), el("tbody", {}, ...rows)];
  }

  /** Of many classes only the pairs that are confused most often. */
  function mostConfused(confusion) {
    const wrong = confusion.filter(([truth, answer]) => truth !== answer).sort((a, b) => b[2] - a[2]).slice(0, 30);
    const head = el("tr", {}, ...["True class", "Named class", "Photographs"].map((text) => el("th", { scope: "col" }, text)));
    const rows = wrong.map(([truth, answer, count]) => el("tr", {}, el("th", { scope: "row" }, named(data.classes[truth])),
      el("td", {}, named(data.classes[answer])), el("td", {}, String(count))));
    return [el("thead", {}, head), el("tbody", {}, ...rows)];
  }

  // --- plots: drawn as SVG already ------------------------------------------------------------------------------

  function showDeltas() {
    const plots = [...document.querySelectorAll("#delta-plots figure")];
    $("deltas").hidden = plots.length === 0;
    if (plots.length === 0) return;
    const first = plots.find((plot) => !plot.hidden) ?? plots[0];
    oneOf($("delta-metric"), plots.map((plot) => [plot.dataset.key, plot.dataset.title]), first.dataset.key, (key) => {
      for (const plot of plots) plot.hidden = plot.dataset.key !== key;
    });
  }

  function showCurves() {
    $("curve-cells").replaceChildren(...data.cells.map((cell, index) => {
      const [colour, dash] = cell.look;
      const kind = DASHES[(Math.floor(colour / COLOURS) + dash) % DASHES.length];
      const swatch = el("span", { class: `swatch ${kind}`, "aria-hidden": "true" });
      swatch.style.borderColor = `var(--series-${colour % COLOURS})`;
      const button = el("button", { type: "button", "aria-pressed": "true" }, swatch, cell.name);
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", shown);
        for (const line of document.querySelectorAll(`#curve-plots .cell-${index}`)) line.classList.toggle("off", !shown);
      });
      return button;
    }));
    showCurveTable([...document.querySelectorAll("#curve-plots figure")].map(({ dataset }) => [dataset.title, dataset.key]));
  }

  const COLOURS = 10; // one for each family of recipes; its cells have different dashes
  const DASHES = ["solid", "dotted", "dashed"];

  function showCurveTable(parts) {
    const columns = parts.filter(([, column]) => data.cells.some((cell) => cell.history[`val_${column}`]));
    const heads = ["Cell", "Epoch kept", "of", ...columns.flatMap(([title]) => [`${title}, training`, `${title}, validation`])];
    const rows = data.cells.map((cell) => {
      const at = cell.history.epoch.indexOf(cell.bestEpoch);
      const values = columns.flatMap(([, column]) => ["train", "val"].map((part) => {
        const value = cell.history[`${part}_${column}`]?.[at];
        return isNumber(value) ? (["accuracy", "max_box_acc_v2"].includes(column) ? percent(value, 1) : value.toFixed(3)) : "–";
      }));
      const cells = [cell.bestEpoch ?? "–", cell.history.epoch.length, ...values].map((text) => el("td", {}, String(text)));
      return el("tr", {}, el("th", { scope: "row" }, cell.name), ...cells);
    });
    const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
    $("curve-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  }

  // --- maps and boxes -------------------------------------------------------------------------------------------

  for (const cell of data.cells) cell.maps.bytes = bytesOf(cell.maps.bytes);

  /** Classifier k's map of an image, h x w bytes; after the last classifier's comes the cell's own. */
  function mapOf(cell, image, k) {
    const [count, h, w] = cell.maps.shape;
    const start = (image * count + k) * h * w;
    return cell.maps.bytes.subarray(start, start + h * w);
  }

  /** Where the cell sees the true class: by the map that is scored. */
  const cellMap = (cell, image) => mapOf(cell, image, cell.maps.shape[0] - 1);

  /** What the classifiers before the kth erased: 1 where one of their maps is above its delta. */
  function erasedBefore(cell, image, k) {
    const maps = cell.deltas.slice(0, k).map((delta, j) => [mapOf(cell, image, j), 255 * delta]);
    return mapOf(cell, image, k).map((_, place) => (maps.some(([map, above]) => map[place] > above) ? 1 : 0));
  }

  const FINE = 96; // pixels a side of a drawn map; the browser enlarges it smoothly
  const LARGE = 288; // of one that is shown large

  /** Draw a map in colours, resized bilinearly as the library does. */
  function heatCanvas(map, h, w, erased = null, fine = FINE) {
    const canvas = el("canvas", { width: fine, height: fine, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(fine, fine);
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    for (let y = 0, at = 0; y < fine; y++) {
      const v = clamp(((y + 0.5) * h) / fine - 0.5, h - 1), top = Math.floor(v), low = Math.min(top + 1, h - 1);
      for (let x = 0; x < fine; x++, at += 4) {
        const u = clamp(((x + 0.5) * w) / fine - 0.5, w - 1), left = Math.floor(u), right = Math.min(left + 1, w - 1);
        const upper = map[top * w + left] * (1 - u + left) + map[top * w + right] * (u - left);
        const lower = map[low * w + left] * (1 - u + left) + map[low * w + right] * (u - left);
        const value = upper * (1 - v + top) + lower * (v - top);
        const entry = 3 * Math.round(value);
        pixels.data.set([heat[entry], heat[entry + 1], heat[entry + 2], 255 * data.opacity], at);
        if (erased && erased[Math.floor((y * h) / fine) * w + Math.floor((x * w) / fine)]) {
          const grey = (x + y) % (fine / 12) < fine / 48 ? 60 : 150;
          pixels.data.set([grey, grey, grey, 235], at);
        }
      }
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function svg(tag, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  /** A photograph with a map (a canvas, or null), the outline of its true mask and boxes ([kind, xyxy] each) on it. */
  function picture(image, canvas, boxes) {
    const [width, height] = image.size;
    const img = el("img", { alt: "", decoding: "async", src: `data:image/webp;base64,${image.photo}` });
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const outline of image.outlines)
      for (const part of ["halo", "true"]) drawing.append(svg("polygon", { class: part, points: outline.join(" ") }));
    for (const [kind, [x0, y0, x1, y1]] of boxes)
      for (const part of ["halo", kind]) drawing.append(svg("rect", { class: part, x: x0, y: y0, width: x1 - x0, height: y1 - y0 }));
    const frame = el("span", { class: "picture" }, img, ...(canvas ? [canvas] : []), drawing);
    frame.style.aspectRatio = `${width} / ${height}`;
    return frame;
  }

  const trueBoxes = (image) => image.boxes.map((box) => ["true", box]);
  const boxesOf = (image, answer) => [...trueBoxes(image), ...(answer.box ? [["mine", answer.box]] : [])];
  const isRight = (image, answer) => answer.named === image.label;

  function answerText(image, answer) {
    const right = isRight(image, answer);
    return el("span", {}, el("span", { class: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} `, named(answer.named)),
      ` ${isNumber(answer.probability) ? percent(answer.probability) : "?"}`);
  }

  // --- the gallery ----------------------------------------------------------------------------------------------

  const hasBoxes = data.images.some((image) => image.boxes.length > 0);
  let chosen = []; // indices into data.images
  let length = PAGE;

  const all = (test) => (image) => image.answers.every((answer) => test(image, answer));
  const none = (test) => (image) => image.answers.every((answer) => !test(image, answer));
  const some = (test) => (image) => !all(test)(image) && !none(test)(image);
  const isFound = (image, answer) => isNumber(answer.iou) && answer.iou >= data.right;
  const ANSWERS = [
    ["all", "right in every cell", all(isRight)],
    ["some", "right in some cells only", some(isRight)],
    ["none", "wrong in every cell", none(isRight)],
    ...(data.images.some((image) => image.suggested) ? [["label", "label may be wrong", (image) => image.suggested]] : []),
    ...data.cells.map((cell, c) => [`right ${c}`, `right in ${cell.name}`, (image) => isRight(image, image.answers[c])]),
    ...data.cells.map((cell, c) => [`wrong ${c}`, `wrong in ${cell.name}`, (image) => !isRight(image, image.answers[c])]),
  ];
  const BOXES = [
    ["all", "right (IoU ≥ 0.5) in every cell", all(isFound)],
    ["some", "right in some cells only", some(isFound)],
    ["none", "wrong in every cell", none(isFound)],
  ];

  function showGallery() {
    const every = data.images.length === data.tests;
    const which = every ? `All ${data.tests.toLocaleString("en")} test photographs are here.` :
      `Of ${data.tests.toLocaleString("en")} test photographs ${data.images.length.toLocaleString("en")} are here, as many ` +
      "as keep this file small. They are taken evenly from the hardest to the easiest" +
      (data.images.some((image) => image.suggested) ? ", after those whose label may be wrong." : ".");
    $("gallery-text").textContent = `${which} A photograph is hard if few cells answer it correctly. Cells disagree if their ` +
      "boxes overlap little: 0 % means the same box in every cell, 100 % means boxes that share nothing. Open a photograph to see it large.";
    options($("by-class"), "any class", data.classes.map((label, index) => [String(index), label]));
    options($("by-answer"), "any answer", ANSWERS);
    options($("by-box"), "any box", BOXES);
    $("by-box-label").hidden = !hasBoxes;
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("input", choose);
    $("filters").addEventListener("reset", () => setTimeout(choose));
    $("more").addEventListener("click", () => {
      const first = length;
      length += PAGE;
      showRows();
      $("rows").children[first]?.querySelector("button").focus();
    });
    $("show-suspects")?.addEventListener("click", () => {
      $("filters").reset();
      setTimeout(() => { // after the reset
        $("by-answer").value = "label";
        choose();
        $("by-answer").focus();
        $("gallery").scrollIntoView();
      });
    });
    for (const canvas of document.querySelectorAll(".ramp")) {
      const ramp = canvas.getContext("2d");
      for (let x = 0; x < 96; x++) {
        const entry = 3 * Math.round((255 * x) / 95);
        ramp.fillStyle = `rgb(${heat[entry]} ${heat[entry + 1]} ${heat[entry + 2]})`;
        ramp.fillRect(x, 0, 1, 1);
      }
    }
    choose();
  }

  function choose() {
    const least = Number($("differ").value) / 100;
    $("differ-value").textContent = percent(least);
    $("gallery").classList.toggle("no-map", !$("show-map").checked);
    $("gallery").classList.toggle("no-box", !$("show-box").checked);
    const tests = [[ANSWERS, "by-answer"], [BOXES, "by-box"]].flatMap(([entries, id]) =>
      entries.filter(([value]) => value === $(id).value).map(([, , test]) => test));
    const label = data.classes[$("by-class").value];
    if ($("by-class").value !== "") tests.push((image) => image.label === label);
    chosen = [...data.images.keys()].filter((index) => {
      const image = data.images[index];
      return image.differ >= least && tests.every((test) => test(image));
    });
    const by = {
      differ: (a, b) => b.differ - a.differ,
      name: (a, b) => data.classes.indexOf(a.label) - data.classes.indexOf(b.label) || (a.path < b.path ? -1 : 1),
    }[$("order").value];
    if (by) chosen.sort((a, b) => by(data.images[a], data.images[b]));
    length = PAGE;
    $("rows").replaceChildren();
    showRows();
  }

  function showRows() {
    const shown = chosen.slice(0, length);
    for (const index of shown.slice($("rows").children.length)) $("rows").append(galleryRow(index));
    $("count").textContent = chosen.length === 0 ? "No photograph matches." :
      `${plural(chosen.length, "photograph")}, ${shown.length} shown`;
    $("more").hidden = shown.length === chosen.length;
    $("more").textContent = `Show ${Math.min(PAGE, chosen.length - shown.length)} more`;
  }

  /** A cell's map and boxes on a photograph, its answer, and the IoU. */
  function answerTile(cell, c, index) {
    const image = data.images[index];
    const answer = image.answers[c];
    const canvas = heatCanvas(cellMap(cell, index), ...cell.maps.shape.slice(1));
    canvas.classList.add("gallery-map");
    const truth = isRight(image, answer) ? "" : el("small", {}, "true: ", named(image.label));
    const iou = isNumber(answer.iou) ? el("small", {}, `IoU ${answer.iou.toFixed(2)}`) : "";
    return [picture(image, canvas, boxesOf(image, answer)), answerText(image, answer), truth, iou];
  }

  function galleryRow(index) {
    const image = data.images[index];
    const open = el("button", { type: "button", class: "open" }, picture(image, null, trueBoxes(image)),
      el("span", { class: "name" }, "photograph"), el("small", {}, "look closer"), el("span", { class: "unseen" }, `at ${image.path}`));
    const tiles = data.cells.map((cell, c) => {
      const [shown, ...words] = answerTile(cell, c, index);
      return el("div", { class: "tile" }, shown, el("span", { class: "name" }, shortName(cell)), ...words);
    });
    const head = el("header", {}, el("h3", {}, named(image.label)), el("small", {}, named(image.path)),
      ...(image.suggested ? [el("small", { class: "wrong" }, "may be ", named(image.suggested))] : []),
      ...(data.cells.length > 1 ? [el("small", {}, `cells disagree by ${percent(image.differ)}`)] : []));
    const row = el("article", { class: "row" }, head, el("div", { class: "tiles" }, el("div", { class: "tile" }, open), ...tiles));
    row.querySelector(".tiles").addEventListener("click", () => lookCloser(chosen, chosen.indexOf(index)));
    return row;
  }

  // --- one photograph -------------------------------------------------------------------------------------------

  let looked = []; // the photographs that the arrow keys go through: indices into data.images
  let place = 0; // in `looked`

  function lookCloser(list, at) {
    [looked, place] = [list, at];
    const image = data.images[looked[at]];
    $("closer-title").replaceChildren(named(image.label));
    $("closer-path").replaceChildren(named(image.path), ` · ${image.size.join(" × ")} pixels${data.cells.length > 1 ? ` · cells disagree by ${percent(image.differ)}` : ""}`);
    $("position").textContent = `${at + 1} of ${looked.length}`;
    $("previous").disabled = at === 0;
    $("next").disabled = at === looked.length - 1;
    $("answers").replaceChildren(...data.cells.map((cell, c) => answerBlock(cell, c)));
    showLarge(image);
    if (!$("closer").open) {
      $("closer").showModal();
      $("closer-title").focus();
    }
    $("closer").scrollTop = 0;
  }

  /** Show the photograph large, with a map (a canvas) and boxes where one was chosen. */
  function showLarge(image, canvas = null, boxes = trueBoxes(image), text = "Press any map to see it large, on the photograph.") {
    const frame = picture(image, canvas, boxes);
    frame.style.maxWidth = `min(100%, ${(64 * image.size[0]) / image.size[1]}vh)`;
    $("large").replaceChildren(frame);
    $("large-text").textContent = text;
  }

  /** A map as a button that shows it large; `draw` makes its canvas of a width in pixels. */
  function mapButton(image, draw, boxes, name) {
    const button = el("button", { type: "button", class: "map", "aria-pressed": "false", "aria-label": `Show large: ${name}` },
      picture(image, draw(FINE), boxes));
    button.addEventListener("click", () => {
      const chosenBefore = button.getAttribute("aria-pressed") === "true";
      for (const other of $("answers").querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
      if (chosenBefore) return showLarge(image);
      button.setAttribute("aria-pressed", "true");
      showLarge(image, draw(LARGE), boxes, `${name}.`);
      return $("large").scrollIntoView({ block: "nearest" }); // on a phone it stands above the maps
    });
    return button;
  }

  function answerBlock(cell, c) {
    const index = looked[place];
    const image = data.images[index];
    const answer = image.answers[c];
    const [, h, w] = cell.maps.shape;
    const count = cell.letters.length;
    const whole = mapButton(image, (fine) => heatCanvas(cellMap(cell, index), h, w, null, fine), boxesOf(image, answer),
      `${cell.name}: its map${cell.map === "cam" ? "" : ` ${cell.map}`} and its box`);
    const facts = el("dl", {}, el("dt", {}, "Answer"), el("dd", {}, answerText(image, answer)));
    if (isNumber(answer.iou)) facts.append(el("dt", {}, "IoU"), el("dd", {}, answer.iou.toFixed(2)));
    if (answer.box) facts.append(el("dt", {}, "Box"), el("dd", {}, boxText(answer.box)));
    const parts = el("div", { class: "parts" });
    const part = (map, erased, name, ...words) => parts.append(el("div", { class: "tile" },
      mapButton(image, (fine) => heatCanvas(map, h, w, erased, fine), [], `${cell.name}: ${name}`), ...words));
    if (count > 1 || cell.map !== "cam")
      for (let k = 0; k < count; k++) {
        const words = `classifier ${k + 1} (${cell.letters[k]})${k ? ", hatched: erased before" : ""}`;
        part(mapOf(cell, index, k), k ? erasedBefore(cell, index, k) : null, `the map of ${words}`, words);
      }
    if (answer.rival) part(bytesOf(answer.rival), null, `the map of the class ${answer.named}`, "seen as ", named(answer.named));
    return el("div", { class: "answer" }, whole, el("div", {}, el("h3", {}, cell.name), facts, parts));
  }

  const boxText = (box) => {
    const [x0, y0, x1, y1] = box.map(Math.round);
    return `${x1 - x0} × ${y1 - y0} pixels at (${x0}, ${y0})`;
  };

  function step(by) {
    if (looked[place + by] === undefined) return;
    lookCloser(looked, place + by);
    if (document.activeElement.disabled || document.activeElement === document.body) $("closer-title").focus();
  }

  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("closer").close());
  $("closer").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  $("closer").addEventListener("click", (event) => { if (event.target === $("closer")) $("closer").close(); });

  // --- all together ---------------------------------------------------------------------------------------------

  showAnswer();
  showDifferences();
  $("all-metrics").addEventListener("change", showGrid);
  showGrid();
  showErasing();
  showClasses();
  showDeltas();
  showCurves();
  showGallery();
})();
