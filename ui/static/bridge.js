// Clicks on our buttons become events of this component; what concerns the page alone is done here.
const small = window.matchMedia("(max-width: 900px)");
const body = document.body;
let origin = null; // what opened the source: where the focus returns
let shown = ""; // token of the panel that was scrolled to last
const verdicts = {}; // by answer, what the server keeps
let noted = ""; // token of the last verdict that the server told of

function showPane(pane) {
  const main = document.querySelector("#rag-main");
  if (main) main.dataset.pane = pane;
  for (const tab of document.querySelectorAll(".rag-tabs button")) {
    tab.setAttribute("aria-pressed", String(tab.dataset.pane === pane));
  }
  if (pane === "sources") settle();
}

function back() {
  showPane("chat");
  if (origin && document.contains(origin)) origin.focus();
  origin = null;
}

// A new panel is scrolled to its mark inside its own frame: the page itself never jumps.
function settle() {
  const panel = document.querySelector("#rag-panel .rag-panel");
  if (!panel || !panel.dataset.shown || panel.dataset.shown === shown) return;
  const text = panel.querySelector(".rag-page-text");
  if (!text.clientHeight) return; // on a phone the pane may be out of sight: it is scrolled once it is shown
  shown = panel.dataset.shown;
  const mark = text.querySelector("mark");
  if (mark) {
    const top = mark.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop;
    text.scrollTop = Math.max(0, top - text.clientHeight / 3);
    const table = mark.closest(".rag-table");
    if (table) table.scrollLeft = Math.max(0, mark.offsetLeft - table.clientWidth / 2);
  } else {
    text.scrollTop = 0;
  }
  if (origin) panel.querySelector(".rag-panel-title").focus({ preventScroll: true });
  for (const chip of document.querySelectorAll(".rag-chip[aria-current]")) chip.removeAttribute("aria-current");
  if (origin && origin.classList.contains("rag-chip")) origin.setAttribute("aria-current", "true");
}

// Which thumb is pressed is what the server says it keeps. The chat may draw an answer anew, so it is marked anew.
function markVerdicts() {
  const kept = document.querySelector("#rag-kept [data-token]");
  if (kept && kept.dataset.token !== noted) {
    noted = kept.dataset.token;
    if (kept.dataset.kept === "1") verdicts[kept.dataset.turn] = kept.dataset.verdict;
  }
  for (const group of document.querySelectorAll(".rag-thumbs")) {
    const verdict = verdicts[group.dataset.judged];
    if (verdict === undefined || group.dataset.marked === verdict) continue;
    group.dataset.marked = verdict;
    for (const thumb of group.querySelectorAll(".rag-thumb")) {
      thumb.setAttribute("aria-pressed", String(thumb.dataset.verdict === verdict));
    }
    group.querySelector(".rag-judged").textContent = verdict ? "Kept" : "";
  }
}

const pageActions = {
  back: () => back(),
  pane: (button) => showPane(button.dataset.pane),
  theme: () => body.classList.toggle("dark"),
};
const serverActions = {
  source: (data) => trigger("rag_source", data),
  view: (data) => trigger("rag_view", data),
  remove: (data) => trigger("rag_remove", data),
  dismiss: (data) => trigger("rag_dismiss", data),
  sample: (data) => trigger("rag_sample", data),
  ask: (data) => trigger("rag_ask", data),
  judge: (data) => trigger("rag_judge", data),
};

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-rag]");
  if (!button) return;
  const { rag, ...data } = button.dataset;
  if (pageActions[rag]) return pageActions[rag](button);
  if (!serverActions[rag]) return;
  if (rag === "remove") button.closest("li")?.classList.add("is-leaving");
  if (rag === "ask") showPane("chat");
  if (rag === "ask" || rag === "sample") {
    button.disabled = true;
    setTimeout(() => (button.disabled = false), 3000);
  }
  if (rag === "source" || rag === "view") {
    if (!button.closest(".rag-panel")) origin = button;
    if (small.matches) showPane("sources");
  }
  // A second press takes the verdict back.
  if (rag === "judge" && button.getAttribute("aria-pressed") === "true") data.verdict = "";
  serverActions[rag](data);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && origin) back();
});

// This may run before the rest of the page stands, so nothing here counts on an element that is not yet there.
new MutationObserver(() => {
  settle();
  markVerdicts();
}).observe(body, { childList: true, subtree: true });
