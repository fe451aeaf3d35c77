// What the meter pages can do beyond links and forms. Every page works without it.

const search = document.querySelector("#q");
search?.addEventListener("keydown", (event) => {
  // A pasted list has lines; Enter looks for it, Shift+Enter begins a new line.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    search.form.requestSubmit();
  }
});

for (const form of document.querySelectorAll("form.search, form.finder")) {
  form.addEventListener("formdata", ({ formData }) => {
    for (const [name, value] of [...formData]) if (value === "") formData.delete(name); // short addresses
  });
}

let before = ""; // the first of two keys, as in g d
document.addEventListener("keydown", (event) => {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (at instanceof HTMLElement && at.matches("input, textarea, select")) return;
  const key = before && event.key.length === 1 ? `${before} ${event.key}` : event.key;
  before = event.key === "g" && !before ? "g" : "";
  if (key === "/") {
    (search ?? document.querySelector("#search"))?.focus();
    event.preventDefault();
    return;
  }
  const link = document.querySelector(`a[data-key="${CSS.escape(key)}"]`);
  if (link) {
    link.click();
    event.preventDefault();
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details:has(> .sheet)[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

const upload = document.querySelector("[data-upload]");
if (upload) offerUpload(upload);

function offerUpload(form) {
  const input = form.querySelector("input[type=file]");
  const list = document.querySelector(".results");
  const waiting = [];
  let isRunning = false;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    take(input.files);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.add("over");
    });
  }
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    take(event.dataTransfer.files);
  });

  function take(files) {
    for (const file of files) {
      list.closest("section").hidden = false;
      const row = list.appendChild(document.createElement("li"));
      row.append(file.name, " ");
      row.appendChild(Object.assign(document.createElement("progress"), { max: 1, value: 0 })).ariaLabel = file.name;
      waiting.push([file, row]);
    }
    if (!isRunning) void work();
  }

  async function work() {
    isRunning = true;
    for (let next = waiting.shift(); next; next = waiting.shift()) await send(...next);
    isRunning = false;
  }

  function send(file, row) {
    return new Promise((done) => {
      const body = new FormData(form);
      body.delete("files");
      body.append("files", file);
      const request = new XMLHttpRequest(); // fetch tells nothing of an upload's progress
      request.open("POST", location.pathname);
      request.setRequestHeader("Accept", "application/json");
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        const bar = row.querySelector("progress");
        if (loaded < total) bar.value = loaded / total;
        else bar.removeAttribute("value"); // sent; it is being read
      });
      request.addEventListener("loadend", () => {
        row.replaceWith(...shown(file, request));
        done();
      });
      request.send(body);
    });
  }

  function shown(file, request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // no JSON: said below
    }
    if (answer?.results?.length) return answer.results.map(result);
    const words = answer?.problem || answer?.message || (request.status ? `The answer was ${request.status}.` : "The connection ended. Sending it again is safe.");
    return [result({ name: file.name, result: "not taken", tone: "bad", words, address: "", errors: [] })];
  }

  function result({ name, result: state, tone, words, address, errors }) {
    const row = document.createElement("li");
    const line = row.appendChild(document.createElement("p"));
    line.append(Object.assign(document.createElement("span"), { className: tone, textContent: state }), " ");
    line.append(address ? Object.assign(document.createElement("a"), { href: address, textContent: name }) : name, " ");
    line.append(Object.assign(document.createElement("span"), { className: "muted", textContent: words }));
    for (const error of errors) {
      const said = row.appendChild(Object.assign(document.createElement("p"), { className: "muted" }));
      said.append(Object.assign(document.createElement("code"), { textContent: error }));
    }
    return row;
  }
}
