"use strict";
// Filtering and opening items. Text from data reaches the page through textContent alone.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // ---- filtering -----------------------------------------------------------------------------------------------
  const form = byId("filters");
  const chosen = () => Object.fromEntries(new FormData(form).entries());
  const fits = (element, filter) => {
    const { family, model, languages, subject } = element.dataset;
    if (filter.family && family !== undefined && family !== filter.family) return false;
    if (filter.model && model && model !== filter.model) return false;
    if (filter.language && languages && !languages.split(" ").includes(filter.language)) return false;
    return !(filter.subject && subject && subject !== filter.subject);
  };
  const filterElements = () => {
    const filter = chosen();
    for (const element of all("section[data-family], .card, .versus, .headline, figure, tbody tr, #findings li:not(.suspect)")) {
      element.hidden = !fits(element, filter);
    }
    for (const details of all("details.table")) {
      const rows = all("tbody tr", details);
      details.querySelector(".count").textContent = rows.filter((row) => !row.hidden).length;
    }
  };
  const applyFilter = () => {
    filterElements();
    const group = byId("group");
    if (group) {
      for (const option of group.options) option.hidden = !fits(option, { family: chosen().family });
      if (group.selectedOptions[0]?.hidden) {
        const first = [...group.options].find((option) => !option.hidden);
        if (first) group.value = first.value;
      }
      listItems();
    }
  };
  form.addEventListener("change", applyFilter);
  // New rows to filter; the items, whose data is slow to read, are as they were.
  document.addEventListener("compared", filterElements);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(applyFilter));

  // Closed tables would be missing on paper; very long ones stay closed.
  addEventListener("beforeprint", () => {
    for (const details of all("details.table")) details.open ||= all("tbody tr", details).length <= 60;
  });

  // ---- figures -------------------------------------------------------------------------------------------------
  const savePicture = async (figure) => {
    const drawing = figure.querySelector("svg").cloneNode(true);
    const { width, height } = drawing.viewBox.baseVal;
    const look = getComputedStyle(figure);
    drawing.setAttribute("width", width);
    drawing.setAttribute("height", height);
    drawing.setAttribute("style", `color: ${look.color}`);
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(drawing))}`;
    await picture.decode();
    const canvas = document.createElement("canvas");
    // Points of the drawing are small on today's screens.
    [canvas.width, canvas.height] = [width * 3, height * 3];
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(document.body).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const link = document.createElement("a");
    link.download = `${figure.dataset.name}.png`;
    link.href = canvas.toDataURL("image/png");
    link.click();
  };
  document.addEventListener("click", (event) => {
    if (event.target.matches("figcaption button")) savePicture(event.target.closest("figure"));
  });

  // ---- items ---------------------------------------------------------------------------------------------------
  if (!byId("group")) return;
  const PAGE = 50;
  const tongues = JSON.parse(byId("languages").textContent);
  const parsed = new Map();
  const data = () => {
    const index = byId("group").value;
    // Parsed when first asked for, so that the page opens at once.
    if (!parsed.has(index)) parsed.set(index, JSON.parse(byId(`items-${index}`).textContent));
    return parsed.get(index);
  };
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const written = (element, language) => {
    // Mixed text takes its direction from its first strong letter.
    element.dir = tongues[language]?.dir ?? "auto";
    if (tongues[language]) element.lang = language;
    return element;
  };
  const answers = (item) => Object.values(item.conditions).flatMap((shown) => Object.values(shown.answers));
  const wanted = (item, filter, which, needle) => {
    if (filter.subject && item.subject !== filter.subject) return false;
    const scores = answers(item).map((answer) => answer.score).filter((score) => score !== null);
    if (which === "changed" && new Set(scores).size < 2) return false;
    if (which === "wrong" && scores.some((score) => score > 0)) return false;
    if (!needle) return true;
    const texts = Object.values(item.conditions).map((shown) => `${shown.question} ${(shown.options || []).join(" ")}`);
    return `${item.id} ${texts.join(" ")}`.toLowerCase().includes(needle);
  };
  const chip = (group, model, answer, label) => {
    const name = group.models[model] + (label ? `: ${label}` : "");
    return make("span", answer.score > 0 ? "chip good" : "chip bad", name);
  };
  const showCondition = (group, name, shown, models) => {
    const box = make("div", "condition");
    const heading = make("h4", "", name);
    box.append(heading, written(make("p", "question", shown.question), shown.language));
    const list = make("ul", "options");
    (shown.options || []).forEach(([option, language], index) => {
      const entry = make("li", index === shown.answer ? "right" : "");
      // The whole line is turned, so that the mark and the models stand at the text's end.
      entry.dir = tongues[language]?.dir ?? "auto";
      entry.append(written(make("span", "", option), language));
      if (index === shown.answer) entry.append(" ✓");
      if (language) entry.append(make("span", "tongue", tongues[language]?.name ?? language));
      for (const model of models) {
        const answer = shown.answers[model];
        if (answer && answer.chosen === index) entry.append(chip(group, model, answer));
      }
      list.append(entry);
    });
    box.append(list);
    if (shown.target) box.append(written(make("p", "question", `✓ ${shown.target}`), shown.target_language));
    for (const model of models) {
      const answer = shown.answers[model];
      if (answer && answer.text !== undefined) {
        const line = written(make("p", "question", answer.text), shown.target_language);
        line.append(chip(group, model, answer, answer.score === null ? "" : String(answer.score)));
        box.append(line);
      }
    }
    return box;
  };
  const fill = (details, group, item) => {
    if (details.dataset.filled) return;
    details.dataset.filled = "yes";
    const filter = chosen();
    const models = group.models.map((_, index) => index).filter((i) => !filter.model || group.models[i] === filter.model);
    for (const [index, shown] of Object.entries(item.conditions)) {
      details.append(showCondition(group, group.conditions[index], shown, models));
    }
  };
  let visible = PAGE;
  const listItems = () => {
    const group = data();
    const filter = chosen();
    const which = byId("which").value;
    const needle = byId("search").value.trim().toLowerCase();
    const found = group.items.filter((item) => wanted(item, filter, which, needle));
    byId("found").textContent = `${found.length} of ${group.items.length} items`;
    for (const note of all(".sampled")) note.hidden = note.dataset.group !== byId("group").value;
    const entries = found.slice(0, visible).map((item) => {
      const details = make("details");
      const summary = make("summary");
      const scores = answers(item);
      const right = scores.filter((answer) => answer.score > 0).length;
      const first = Object.values(item.conditions)[0];
      summary.append(written(make("span", "", (first?.question || item.id).slice(0, 160)), first?.language));
      summary.append(make("span", "tally", ` · ${item.id} · right in ${right} of ${scores.length}`));
      const link = make("a", "link", "link");
      link.href = `#item=${byId("group").value}/${encodeURIComponent(item.id)}`;
      summary.append(" ", link);
      details.dataset.id = item.id;
      details.append(summary);
      details.addEventListener("toggle", () => details.open && fill(details, group, item));
      return details;
    });
    byId("list").replaceChildren(...entries);
    byId("more").hidden = found.length <= visible;
  };
  const restart = () => { visible = PAGE; listItems(); };
  byId("group").addEventListener("change", restart);
  byId("which").addEventListener("change", restart);
  byId("search").addEventListener("input", restart);
  byId("more").addEventListener("click", () => { visible += PAGE; listItems(); });
  const openLinked = () => {
    const [, index, written] = /^#item=(\d+)\/(.+)$/.exec(location.hash) || [];
    if (written === undefined || !byId(`items-${index}`)) return;
    let id = written;
    try { id = decodeURIComponent(written); } catch { /* A link that somebody cut is looked up as it stands. */ }
    for (const select of all("select", form)) select.value = "";
    applyFilter();
    byId("group").value = index;
    byId("which").value = "";
    byId("search").value = id;
    visible = Infinity;
    listItems();
    const found = all("#list details").find((details) => details.dataset.id === id);
    if (!found) {
      byId("found").textContent = `Item ${id} is not on this page, which shows ${data().items.length} items of this group.`;
      byId("found").scrollIntoView();
      return;
    }
    found.open = true;
    found.scrollIntoView();
  };
  addEventListener("hashchange", openLinked);
  // The list is made when it comes near the window, because parsing its data is the page's only slow step.
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    // A filter may have made it before; a second time would shut what is open.
    if (!byId("list").childElementCount) listItems();
  }, { rootMargin: "400px" });
  observer.observe(byId("items"));
  openLinked();
})();
