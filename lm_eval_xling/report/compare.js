"use strict";
// Two models beside each other: both barriers, their difference, one figure a family. Drawn anew for every choice.
(() => {
  const source = document.getElementById("differences");
  if (!source) return;
  const { models, colours, groups } = JSON.parse(source.textContent);
  const [first, second] = ["first", "second"].map((name) => document.getElementById(`compare-${name}`));
  const place = document.getElementById("compared");
  const MOST = 12;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const drawn = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const shown = (value, sign) => {
    if (value === null) return "–";
    const text = (Math.round(value * 10) / 10 + 0).toFixed(1).replace("-", "−");
    return sign && value > 0 && text !== "0.0" ? `+${text}` : text;
  };
  const bounds = ([, low, high]) => (low === null ? "" : `${shown(low)} to ${shown(high)}`);
  // Rows are stored once a pair; the other way round the difference changes its sign.
  const turned = ([estimate, low, high]) => [estimate, high, low].map((value) => (value === null ? null : -value));
  const rowsOf = (group, a, b) => group.rows
    .filter((row) => (row.a === a && row.b === b) || (row.a === b && row.b === a))
    .map((row) => (row.a === a ? row : { ...row, one: row.two, two: row.one, difference: turned(row.difference) }));

  const sentence = (row) => {
    if (row.why) return `${row.words}: ${shown(row.one[0])} and ${shown(row.two[0])} points. No difference: ${row.why}.`;
    const [estimate, low, high] = row.difference;
    const size = shown(Math.abs(estimate)) === "0.0"
      ? "B's barrier is as large"
      : `B's barrier is ${shown(Math.abs(estimate))} points ${estimate < 0 ? "smaller" : "larger"}`;
    const verdict = low === null ? "untested" : low > 0 || high < 0 ? "beyond chance" : "within chance";
    return `${row.words}: ${shown(row.one[0])} → ${shown(row.two[0])} points. ${size} (difference ${bounds(row.difference)}, ${verdict}, ${row.n.toLocaleString("en")} items).`;
  };

  const figure = (group, rows, a, b, width) => {
    const narrow = width < 560;
    const [label, right, step, top] = narrow ? [8, 12, 46, 52] : [Math.min(290, width * 0.4), 16, 30, 34];
    const values = rows.flatMap((row) => [...row.one, ...row.two]).filter((value) => value !== null);
    const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)];
    const unit = [1, 2, 5, 10, 20, 50, 100].find((size) => (most - least) / size <= (narrow ? 5 : 8)) ?? 200;
    const [low, high] = [Math.floor(least / unit) * unit, Math.max(Math.ceil(most / unit) * unit, unit)];
    const x = (value) => label + ((value - low) / (high - low)) * (width - label - right);
    const bottom = top + rows.length * step;
    const svg = drawn("svg", {
      viewBox: `0 0 ${width} ${bottom + 38}`, role: "img", "font-family": "sans-serif", "font-size": 12,
      "aria-label": `Barriers of ${models[a]} and of ${models[b]}, ${group.family}`,
    });
    const ink = { fill: "currentColor" };
    for (let tick = low; tick <= high + unit / 2; tick += unit) {
      const strong = tick === 0;
      svg.append(drawn("line", {
        x1: x(tick), x2: x(tick), y1: top - 6, y2: bottom, stroke: "currentColor", "stroke-opacity": strong ? 0.8 : 0.15,
      }));
      svg.append(drawn("text", { x: x(tick), y: bottom + 14, "text-anchor": "middle", ...ink }, shown(tick).replace(".0", "")));
    }
    svg.append(drawn("text", { x: (label + width - right) / 2, y: bottom + 32, "text-anchor": "middle", ...ink }, group.axis));
    const marks = [[a, "one", "A"], [b, "two", "B"]];
    marks.forEach(([model, , letter], index) => {
      const room = narrow ? width - right : (width - label) / 2;
      const [left, middle] = narrow ? [label, 12 + 18 * index] : [label + index * room, 12];
      mark(svg, letter, left + 6, middle, colours[model]);
      svg.append(drawn("text", { x: left + 16, y: middle + 4, ...ink }, cut(`${letter}: ${models[model]}`, room - 22)));
    });
    rows.forEach((row, index) => {
      const middle = top + index * step + (narrow ? 26 : step / 2);
      const at = narrow ? { x: label, y: middle - 12 } : { x: label - 10, y: middle + 4, "text-anchor": "end" };
      svg.append(drawn("text", { ...at, ...ink }, cut(row.words, narrow ? width - 16 : label - 14)));
      for (const [model, key, letter] of marks) {
        const [estimate, from, to] = row[key];
        if (estimate === null) continue;
        const y = middle + (letter === "A" ? -4 : 5);
        if (from !== null) svg.append(drawn("line", { x1: x(from), x2: x(to), y1: y, y2: y, stroke: colours[model], "stroke-width": 1.6 }));
        mark(svg, letter, x(estimate), y, colours[model]);
      }
    });
    return svg;
  };
  // Letters of 12 pixels are about 6.5 wide; the whole name stands above the figure.
  const cut = (text, room) => (text.length > room / 6.5 ? `${text.slice(0, Math.floor(room / 6.5) - 1)}…` : text);
  // A is a disc and B a square: the colours alone would not do for everybody.
  const mark = (svg, letter, x, y, colour) => svg.append(
    letter === "A"
      ? drawn("circle", { cx: x, cy: y, r: 4, fill: colour })
      : drawn("rect", { x: x - 4, y: y - 4, width: 8, height: 8, fill: colour }),
  );

  const table = (rows) => {
    const details = make("details", "table");
    const summary = make("summary", "", "All conditions ");
    summary.append(make("span", "count", String(rows.length)));
    const listed = make("table");
    const head = make("tr");
    for (const name of ["condition", "barrier of A", "barrier of B", "B − A", "95 % interval", "items"]) head.append(make("th", "plain", name));
    listed.append(make("thead"), make("tbody"));
    listed.tHead.append(head);
    for (const row of rows) {
      const line = make("tr");
      line.dataset.languages = row.languages;
      line.append(make("td", "", row.full));
      const sure = !row.why && (row.difference[1] > 0 || row.difference[2] < 0);
      line.append(make("td", "number", shown(row.one[0])), make("td", "number", shown(row.two[0])));
      line.append(make("td", `number${sure ? " strong" : ""}`, row.why ? "–" : shown(row.difference[0], true)));
      line.append(make("td", row.why ? "" : "number", row.why || bounds(row.difference)));
      line.append(make("td", "number", row.why ? "–" : row.n.toLocaleString("en")));
      listed.tBodies[0].append(line);
    }
    const scroll = make("div", "scroll");
    scroll.append(listed);
    details.append(summary, scroll);
    return details;
  };

  const show = () => {
    const [a, b] = [Number(first.value), Number(second.value)];
    const articles = groups.flatMap((group) => {
      const rows = rowsOf(group, a, b);
      if (!rows.length) return [];
      const article = make("article", "versus");
      article.dataset.family = group.family;
      const heading = make("h3", "", `${group.family} `);
      heading.append(make("span", "setting", group.setting));
      article.append(heading);
      const broad = rows.filter((row) => row.scope !== "task");
      const single = rows.filter((row) => row.scope === "task");
      const told = broad.length ? broad : rows.slice(0, 3);
      for (const row of told) article.append(make("p", !row.why && (row.difference[1] > 0 || row.difference[2] < 0) ? "sure" : "", sentence(row)));
      const size = (row) => Math.abs(row.difference[0] ?? row.two[0] - row.one[0]);
      const most = [...broad, ...single.sort((p, q) => size(q) - size(p))].slice(0, Math.max(MOST, broad.length));
      const picture = make("figure");
      picture.dataset.name = `${group.family}_${models[a]}_${models[b]}`.replace(/[^\w.+-]+/g, "_").slice(0, 120);
      const caption = make("figcaption", "", most.length < rows.length ? `Barriers: means, and conditions that differ most ` : "Barriers ");
      const button = make("button", "", "save as PNG");
      button.type = "button";
      caption.append(button);
      picture.append(caption);
      article.append(picture, table(rows));
      return [[article, picture, group, most]];
    });
    place.replaceChildren(...articles.map(([article]) => article));
    // Drawn when its width is known, so that letters have their size on a phone, too.
    for (const [, picture, group, most] of articles) {
      const width = Math.max(300, Math.min(900, picture.clientWidth - 20));
      picture.append(figure(group, most, a, b, width));
    }
    if (!articles.length) {
      const why = a === b ? "Choose two different models." : "These two models have no family and setting in common.";
      place.append(make("p", "explanation", why));
    }
    document.dispatchEvent(new Event("compared"));
  };
  for (const select of [first, second]) select.addEventListener("change", show);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; show(); } });
  show();
})();
