"use strict";
(() => {
  const main = document.querySelector("main");
  const drop = document.getElementById("drop");
  const chosen = document.getElementById("file");
  const asked = document.getElementById("asked");
  const mostBytes = Number(main.dataset.mostBytes);
  const shown = Number(main.dataset.shown);
  const SMALL = 64; // pixels: such pictures are shown with their pixels as squares
  const MOST = 100; // answers that stay on the page

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function percent(share) {
    return `${(100 * share).toFixed(1)}\u00a0%`;
  }

  function card(file) {
    const item = element("li", "");
    item.dataset.state = "asked";
    const left = element("div", "");
    const picture = element("img", "");
    picture.alt = "The picture";
    picture.addEventListener("load", () => {
      URL.revokeObjectURL(picture.src);
      if (Math.max(picture.naturalWidth, picture.naturalHeight) <= SMALL) picture.classList.add("pixel");
    });
    picture.addEventListener("error", () => picture.remove()); // a format that browsers do not show
    picture.src = URL.createObjectURL(file);
    left.append(picture, element("p", "path", file.name));
    const right = element("div", "");
    right.append(element("p", "said", "asking \u2026"));
    item.append(left, right);
    asked.prepend(item);
    while (asked.children.length > MOST) asked.lastElementChild.remove();
    return item;
  }

  function fill(item, state, parts) {
    item.lastElementChild.replaceChildren(...parts);
    item.dataset.state = state;
  }

  function bars(rows) {
    const list = element("div", "guess wide");
    for (const { label, probability } of rows) {
      const bar = element("span", "bar");
      bar.setAttribute("aria-hidden", "true");
      const part = document.createElement("i");
      part.style.width = `${(100 * probability).toFixed(1)}%`;
      bar.append(part);
      list.append(element("bdi", "", label), element("span", "", percent(probability)), bar);
    }
    return list;
  }

  function numbers(rows) {
    const list = element("div", "guess wide");
    for (const [name, number] of rows) {
      list.append(element("bdi", "", name), element("span", "", Number(number.toPrecision(6)).toString()));
    }
    return list;
  }

  // One class, any number of labels, or numbers.
  function answered(answer) {
    if ("top" in answer) return [element("p", "answer", answer.prediction), bars(answer.top)];
    if ("labels" in answer) {
      const rows = Object.entries(answer.probabilities).map(([label, probability]) => ({ label, probability }));
      rows.sort((one, other) => other.probability - one.probability);
      return [element("p", "answer", answer.labels.join(", ") || "none of its labels"), bars(rows)];
    }
    return [numbers(Object.entries(answer.numbers))];
  }

  async function ask(file) {
    const item = card(file);
    try {
      if (file.size > mostBytes) throw new Error(`the picture is larger than ${mostBytes / 2 ** 20} MiB`);
      const query = new URLSearchParams({ name: file.name.slice(0, 1000) });
      if (shown > 0) query.set("top", shown); // of labels and numbers all are told
      const response = await fetch(`/predict?${query}`, {
        method: "POST",
        headers: { "Content-Type": "application/octet-stream" },
        body: file,
      }).catch(() => {
        throw new Error("the server does not answer; is striate serve still running?");
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      fill(item, "answered", answered(answer));
    } catch (error) {
      fill(item, "refused", [element("p", "error", error.message)]);
    }
  }

  async function askAll(files) {
    for (const file of [...files].slice(0, MOST)) await ask(file);
  }

  drop.addEventListener("click", (event) => {
    if (event.target.tagName !== "LABEL" && event.target !== chosen) chosen.click();
  });
  chosen.addEventListener("change", () => {
    const files = [...chosen.files];
    chosen.value = ""; // so that the same picture can be chosen again
    askAll(files);
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // or the browser would leave the page for the picture
    askAll(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => askAll(event.clipboardData.files));
})();
